"""`zooc fmt`: one layout for all files, comments kept, checked to say the same as before."""

from __future__ import annotations

from collections.abc import Iterator

from lark import Token

from zooc.diagnostics.diagnostic import SourceFile, ZoocError, error
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.lexer import tokenize
from zooc.frontend.syntax.parser import parse

__all__ = ["format_source"]

_INDENT = "  "
_OPENING = ("_LBRACE", "_LSQB", "_LPAR")
_CLOSING = ("_RBRACE", "_RSQB", "_RPAR")
_VALUE_ENDS = ("NAME", "STRING", "NUMBER", "PERCENTAGE", "_RSQB", "_RPAR")


def format_source(text: str, name: str = "<text>") -> str:
    """Return `text` in the standard layout: two blanks a level, one blank line at most, `# ` before comments.

    Line breaks stay where they are, except before `{`; so the layout of lists and one-line blocks is the
    writer's. Formatting twice changes nothing more.

    Args:
        text: a `.zoo` file's text.
        name: the file's name for diagnostics.

    Raises:
        ZoocError: the text has syntax errors.
    """
    source = SourceFile(name, text)
    tree, diagnostics = parse(source)
    if tree is None:
        raise ZoocError(*diagnostics)
    formatted = _format(source, tree)
    again, _ = parse(SourceFile(name, formatted))
    if again is None or again.items != tree.items:
        hint = "please report this file; nothing was written"
        raise ZoocError(error("Z0910", f"formatting {name} would change its meaning", hint=hint))
    return formatted


def _format(source: SourceFile, tree: ast.File) -> str:
    layout = _Layout({entry.span.start for entry in _entries(tree)})
    previous_end = 0
    for line in _split(source):
        start = line[0].start_pos or 0
        blank_before = source.text.count("\n", previous_end, start) > 1
        layout.add(line, blank_before=blank_before)
        previous_end = line[-1].end_pos or 0
    return "\n".join([*layout.lines, ""]) if layout.lines else ""


def _entries(tree: ast.File) -> Iterator[ast.Item | ast.Entry | ast.Head]:
    for item in tree.items:
        yield item
        if isinstance(item, ast.Block):
            yield from item.entries or ()
            for head in item.heads:
                yield head
                yield from head.entries


def _split(source: SourceFile) -> list[list[Token]]:
    """Tokens and comments by line; a `{` that begins a line moves up, unless a comment is in its way."""
    tokens, _ = tokenize(source)
    lines: list[list[Token]] = []
    for token in sorted([*tokens.significant, *tokens.comments], key=lambda token: token.start_pos or 0):
        same = bool(lines) and "\n" not in source.text[lines[-1][-1].end_pos : token.start_pos]
        moves_up = token.type == "_LBRACE" and bool(lines) and lines[-1][-1].type != "COMMENT"
        if same or moves_up:
            lines[-1].append(token)
        else:
            lines.append([token])
    return lines


class _Layout:
    """Lays out one line after the other; `starts` are the offsets at which statements begin."""

    def __init__(self, starts: set[int]) -> None:
        self.lines: list[str] = []
        self._starts = starts
        self._open: list[tuple[str, int]] = []  # each open bracket and the level of the line that opened it

    def add(self, tokens: list[Token], *, blank_before: bool) -> None:
        """Add one line's tokens."""
        level = self._level(tokens)
        text = ""
        for i, token in enumerate(tokens):
            if i:
                text += " " * self._gap(tokens, i)
            text += _comment(token) if token.type == "COMMENT" else token
            if token.type in _OPENING:
                self._open.append((token.type, level))
            elif token.type in _CLOSING:
                self._open.pop()
        if blank_before and self.lines:
            self.lines.append("")
        self.lines.append(_INDENT * level + text)

    def _level(self, tokens: list[Token]) -> int:
        leading = 0
        while leading < len(tokens) and tokens[leading].type in _CLOSING:
            leading += 1
        if leading:
            return self._open[-leading][1]
        bracket, opened_at = self._open[-1] if self._open else ("", -1)
        first = tokens[0]
        continues = bracket in ("", "_LBRACE") and first.start_pos not in self._starts
        return opened_at + 1 + (continues and first.type != "COMMENT")

    def _gap(self, tokens: list[Token], i: int) -> int:
        left, right = tokens[i - 1], tokens[i]
        if right.type == "COMMENT":
            return 2
        in_call = bool(self._open) and self._open[-1][0] == "_LPAR"
        tight = (
            left.type in ("_LSQB", "_LPAR", "_DOT")
            or right.type in ("_RSQB", "_RPAR", "_COMMA", "_COLON", "_DOT")
            or left.type == "FUNCTION"
            or (in_call and "_EQUAL" in (left.type, right.type))
            or (left.type == "_LBRACE" and right.type == "_RBRACE")
            or _in_rate(tokens, i)
            or (left.type == "MINUS" and self._is_sign(tokens, i - 1))
        )
        if tight:
            return 0
        begins = right.start_pos in self._starts and left.type not in ("_LBRACE", "_COLON")
        return 2 if begins else 1

    def _is_sign(self, tokens: list[Token], i: int) -> bool:
        if i == 0 or tokens[i - 1].type not in _VALUE_ENDS:
            return True
        return tokens[i - 1].type == "NAME" and tokens[i - 1].start_pos in self._starts


def _in_rate(tokens: list[Token], i: int) -> bool:
    """Whether no blank belongs before a token, because it is in the `/s` of `throughput >= 120/s`."""
    pair = tokens[i - 1 : i + 1] if tokens[i].type == "NAME" else tokens[i : i + 2]
    is_unit = len(pair) == 2 and pair[0].type == "SLASH" and pair[1] == "s"
    return is_unit and any(token.type == "AT_LEAST" for token in tokens[:i])


def _comment(token: Token) -> str:
    text = str(token).rstrip()
    return f"# {text[1:]}" if text[1:2] not in ("", " ", "!", "#") else text
