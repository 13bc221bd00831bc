"""Text to syntax tree, or to every syntax error that can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lark import Token, UnexpectedToken

from zooc.diagnostics import Diagnostic, SourceFile, Span, error
from zooc.frontend import ast
from zooc.frontend.build import Builder
from zooc.frontend.grouping import group_items
from zooc.frontend.syntax_errors import explain_syntax_error
from zooc.frontend.tokens import grammar, tokenize
from zooc.frontend.vocabulary import BLOCKS

__all__ = ["MAX_SYNTAX_ERRORS", "OVERRIDE_SOURCE", "parse", "parse_override"]

MAX_SYNTAX_ERRORS = 100
"""No more are reported of one file: what has more is no `.zoo` file."""

OVERRIDE_SOURCE = "--set"
"""Name of the source that a command line override is, as diagnostics show it."""


def parse(source: SourceFile) -> tuple[ast.File | None, list[Diagnostic]]:
    """Parses a whole file.

    The text is parsed in one go. If that fails, each top-level item is parsed by itself, so that one run
    reports the first error of every item.

    Returns:
        The tree and no diagnostics, or `None` and at least one.
    """
    tokens, diagnostics = tokenize(source)
    builder = Builder(source, diagnostics.append)
    tree, failure = _run(source, tokens.significant, "file")
    if failure is None:
        items = group_items(builder.pieces(tree), diagnostics.append)
    else:
        items = ()
        diagnostics += _errors_by_item(source, tokens.significant, builder) or [failure]
    if diagnostics:
        return None, sorted(diagnostics, key=lambda d: d.span.start if d.span else 0)[:MAX_SYNTAX_ERRORS]
    return ast.File(items, source), []


def parse_override(text: str) -> tuple[ast.Assignment | None, list[Diagnostic]]:
    """Parses `NAME=VALUE` as the command line's `--set` takes it.

    A value that is no expression (`weights/a b.pth`) is taken as the string that it spells.
    """
    source = SourceFile(OVERRIDE_SOURCE, text)
    left, equal, right = text.partition("=")
    parts = left.split(".")
    everything = Span(source, 0, len(text))
    if not equal or not right.strip() or not all(part.strip().isidentifier() for part in parts):
        hint = "write --set NAME=VALUE, such as --set size=256 or --set model.weights=other.pth"
        return None, [error("Z0117", f"`--set {text}` is not of the form NAME=VALUE", everything, hint=hint)]
    tokens, diagnostics = tokenize(source)
    tree, failure = _run(source, tokens.significant, "setting")
    if failure is None:
        (piece,) = Builder(source, diagnostics.append).pieces(tree)
        if not diagnostics and isinstance(piece, ast.Assignment):
            return piece, []
    value_start = len(left) + 1
    value = ast.String(right.strip(), Span(source, value_start, len(text)))
    return ast.Assignment(_reference(source, parts), value, everything), []


def _reference(source: SourceFile, parts: Sequence[str]) -> ast.Reference:
    names, start = [], 0
    for part in parts:
        names.append(ast.Name(part.strip(), Span(source, start, start + len(part))))
        start += len(part) + 1
    return ast.Reference(tuple(names), Span(source, 0, start - 1))


def _run(source: SourceFile, tokens: Sequence[Token], start: str) -> tuple[Any, Diagnostic | None]:
    parser = grammar().parse_interactive("", start=start)
    end = Token("$END", "", tokens[-1].end_pos if tokens else 0)
    for i, token in enumerate([*tokens, end]):
        try:
            tree = parser.feed_token(token)
        except UnexpectedToken:
            found = None if token.type == "$END" else token
            return None, explain_syntax_error(source, tokens[:i], found, parser.accepts())
    return tree, None


def _errors_by_item(source: SourceFile, tokens: Sequence[Token], builder: Builder) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for chunk in _chunks(source, tokens):
        tree, failure = _run(source, chunk, "file")
        if failure is not None:
            found.append(failure)
        else:
            group_items(builder.pieces(tree), found.append)
    return found


def _chunks(source: SourceFile, tokens: Sequence[Token]) -> list[list[Token]]:
    """Cuts before every `let` and block name that begins a line outside of brackets, or at the margin."""
    chunks: list[list[Token]] = [[]]
    depth = 0
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        opens = token.type == "_LET" or (
            token.type == "NAME"
            and token in BLOCKS
            and following is not None
            and following.type in ("_LBRACE", "NAME", "FUNCTION")
        )
        start = token.start_pos or 0
        column = start - (source.text.rfind("\n", 0, start) + 1)
        begins_line = not source.text[start - column : start].strip()
        if opens and begins_line and (depth <= 0 or column == 0) and chunks[-1]:
            chunks.append([])
            depth = 0
        chunks[-1].append(token)
        depth += (token.type in ("_LBRACE", "_LSQB", "_LPAR")) - (token.type in ("_RBRACE", "_RSQB", "_RPAR"))
    return chunks
