"""`zooc fmt`: one layout for all files, comments kept, checked to say the same as before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lark import Token

from zooc.diagnostics import SourceFile, Span, ZoocError, error
from zooc.frontend import ast
from zooc.frontend.parser import parse
from zooc.frontend.tokens import tokenize

__all__ = ["format_source"]

_INDENT = "  "
_OPENING = ("_LBRACE", "_LSQB", "_LPAR")
_CLOSING = ("_RBRACE", "_RSQB", "_RPAR")
_OPERATORS = ("PLUS", "MINUS", "STAR", "SLASH", "DOUBLE_SLASH", "PERCENT")
_VALUE_ENDS = ("NAME", "STRING", "NUMBER", "_RSQB", "_RPAR")


def format_source(text: str, name: str = "<text>") -> str:
    """`text` in the standard layout: two blanks a level, one blank line at most, `# ` before comments.

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
        raise ZoocError(error("Z0901", f"formatting {name} would change its meaning", hint=hint))
    return formatted


@dataclass(frozen=True, slots=True)
class _Line:
    tokens: list[Token]
    blank_before: bool


def _format(source: SourceFile, tree: ast.File) -> str:
    starts = {entry.span.start for entry in _entries(tree)}
    out: list[str] = []
    stack: list[tuple[str, int]] = []  # each open bracket's type and the level of what it holds
    depth = 0
    for line in _split(source):
        leading = 0
        for token in line.tokens:
            if token.type not in _CLOSING:
                break
            leading += 1
        closed_to = stack[-leading][1] - 1 if leading else None
        level = closed_to if closed_to is not None else (stack[-1][1] if stack else 0)
        if line.tokens[0].type != "COMMENT" and not leading and _continues(line.tokens[0], stack, starts):
            level += 1
        if line.blank_before and out:
            out.append("")
        text = _join(line.tokens, stack, starts)
        for token in line.tokens:
            if token.type in _OPENING:
                same_line = bool(stack) and stack[-1][0] == f"{token.type}@{depth}"
                stack.append((token.type, level + 1))
                depth += same_line
            elif token.type in _CLOSING:
                stack.pop()
        out.append(f"{_INDENT * level}{text}".rstrip())
    return "\n".join(out) + "\n" if out else ""


def _entries(tree: ast.File) -> Iterator[ast.Item | ast.Entry]:
    for item in tree.items:
        yield item
        if isinstance(item, ast.Block):
            yield from item.entries or ()
