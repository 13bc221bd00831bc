"""One open description: its text, what can be parsed of it, its findings, positions as editors count them.

The Language Server Protocol (3.17, "Position") counts columns in UTF-16 code units, and ends lines at `\\n`,
`\\r\\n` and `\\r` alone.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lark import Token

from zooc.diagnostics.diagnostic import Diagnostic, SourceFile, Span
from zooc.frontend.semantics.analyze import analyze
from zooc.frontend.semantics.constants import Scope
from zooc.frontend.semantics.declarations import Outline, outline
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.lexer import Tokens, tokenize
from zooc.frontend.syntax.parser import parse, parse_sound_items

__all__ = ["Document", "covers", "ignore"]

_LINE_END = re.compile(r"\r\n|\n|\r")
_MAX_FOUND = 500


def ignore(_: Diagnostic) -> None:
    """Take no notice of a finding."""


@dataclass(frozen=True)
class Document:
    """A text as it stands in the editor; everything else is computed once, when it is asked for.

    Attributes:
        path: where the file lies, or would; relative paths in it start there.
        text: the whole text, saved or not.
    """

    path: Path
    text: str

    @cached_property
    def source(self) -> SourceFile:
        """The text to parse: a byte order mark, which the compiler drops, is a blank here."""
        text = f" {self.text[1:]}" if self.text.startswith("\ufeff") else self.text
        return SourceFile(str(self.path), text)

    @cached_property
    def _parsed(self) -> tuple[ast.File | None, list[Diagnostic]]:
        return parse(self.source)

    @property
    def is_sound(self) -> bool:
        """Whether the text has no syntax errors."""
        return self._parsed[0] is not None

    @cached_property
    def tree(self) -> ast.File:
        """The syntax tree; of a text with syntax errors the items that can be parsed."""
        tree, _ = self._parsed
        return parse_sound_items(self.source) if tree is None else tree

    @cached_property
    def findings(self) -> list[Diagnostic]:
        """What `zooc check` finds in the text: the syntax errors, or without any all other findings."""
        tree, found = self._parsed
        if tree is not None:
            _, found = analyze(tree, path=self.path, may_miss_files=True)
        return [finding for finding in found if _is_here(finding, self.source)][:_MAX_FOUND]

    @cached_property
    def outline(self) -> Outline:
        """Lets, blocks and variants by name."""
        return outline(self.tree, ignore)

    @cached_property
    def scope(self) -> Scope:
        """The values of the lets."""
        return Scope(self.outline.lets, ignore)

    @cached_property
    def _tokens(self) -> Tokens:
        return tokenize(self.source)[0]

    @property
    def tokens(self) -> list[Token]:
        """Every token but comments."""
        return self._tokens.significant

    @property
    def comments(self) -> list[Token]:
        """The comments."""
        return self._tokens.comments

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(end.end() for end in _LINE_END.finditer(self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset in characters, from 0, the column in UTF-16 code units."""
        line = bisect.bisect_right(self._line_starts, offset) - 1
        return line, _units(self.text[self._line_starts[line] : offset])

    def offset(self, line: int, column: int) -> int:
        """Return the offset in characters of a position; one beyond the line or the text is its end."""
        if line >= len(self._line_starts):
            return len(self.text)
        offset, units = self._line_starts[line], 0
        while offset < len(self.text) and self.text[offset] not in "\r\n":
            units += _units(self.text[offset])
            if units > column:
                break
            offset += 1
        return offset

    def token_at(self, offset: int) -> Token | None:
        """Return the token that an offset is in, or at the end of: the word before one that only begins."""
        for token in self.tokens:
            start, end = token.start_pos or 0, token.end_pos or 0
            if start <= offset < end or (offset == end and token.type in ("NAME", "FUNCTION", "NUMBER")):
                return token
            if start > offset:
                break
        return None

    def in_comment(self, offset: int) -> bool:
        """Return whether an offset is in a comment, or at its end."""
        return any((c.start_pos or 0) < offset <= (c.end_pos or 0) for c in self.comments)


def _is_here(finding: Diagnostic, source: SourceFile) -> bool:
    return finding.span is None or finding.span.source is source


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def covers(span: Span, offset: int) -> bool:
    """Return whether an offset is in a span, or at its end."""
    return span.start <= offset <= span.end
