"""Cuts a block's flat row of words and values into statements, and a file's into blocks.

A statement begins with a word. It takes as many values as the vocabulary says, and whatever else follows on
its line up to the next statement's word; so `softmax topk 5 labels "x"` is three statements, a value too many
is still seen, and so is an unknown word that begins a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from zooc.diagnostics.diagnostic import Diagnostic, Span, error
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.lexer import stray
from zooc.frontend.syntax.vocabulary import BLOCKS, HEAD, STEPS

__all__ = ["Body", "HeadName", "Piece", "group_entries", "group_items"]

Report = Callable[[Diagnostic], None]


@dataclass(frozen=True, slots=True)
class Body:
    """`{ ... }`, not yet grouped."""

    pieces: tuple[Piece, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class HeadName:
    """`name:`, with which a head begins."""

    name: ast.Name
    span: Span


Piece = ast.Expr | ast.Assignment | ast.Let | Body | HeadName


def group_items(pieces: Sequence[Piece], report: Report) -> tuple[ast.Item, ...]:
    """Return the items of a whole file."""
    items: list[ast.Item] = []
    i = 0
    while i < len(pieces):
        piece = pieces[i]
        if isinstance(piece, ast.Let | ast.Assignment):
            items.append(piece)
            i += 1
            continue
        name = _bare(piece)
        if name is None:
            hint = "a file is made of `let NAME = VALUE` and blocks such as `model { ... }`"
            thing = "a `{ ... }` without a name before it" if isinstance(piece, Body) else "a value"
            report(error("Z0001", f"expected a block or `let`, found {thing}", piece.span, hint=hint))
            i += 1
            continue
        block, i = _block(name, pieces, i + 1, report)
        items.append(block)
    return tuple(items)


def _block(name: ast.Name, pieces: Sequence[Piece], i: int, report: Report) -> tuple[ast.Block, int]:
    header: list[ast.Expr] = []
    while i < len(pieces):
        piece = pieces[i]
        if isinstance(piece, Body):
            span = _join(name.span, piece.span)
            if name.text == "heads":
                return ast.Block(name, tuple(header), (), span, _group_heads(piece.pieces, report)), i + 1
            entries = group_entries(name.text, piece.pieces, report)
            return ast.Block(name, tuple(header), entries, span), i + 1
        if isinstance(piece, ast.Let | ast.Assignment | HeadName):
            break
        word = _bare(piece)
        if word is not None and (_starts_line(piece.span) or (word.text in BLOCKS and header)):
            break
        header.append(piece)
        i += 1
    end = header[-1].span if header else name.span
    return ast.Block(name, tuple(header), None, _join(name.span, end)), i


def group_entries(block: str, pieces: Sequence[Piece], report: Report) -> tuple[ast.Entry, ...]:
    """Return the statements, assignments and steps of one block."""
    arity = _arity(block)
    entries: list[ast.Entry] = []
    i = 0
    while i < len(pieces):
        piece = pieces[i]
        i += 1
        if isinstance(piece, ast.Assignment | ast.Call):
            entries.append(piece)
            continue
        if isinstance(piece, HeadName):
            colon = Span(piece.span.source, piece.span.end - 1, piece.span.end)
            report(stray(colon))
            continue
        name = _bare(piece)
        values: list[ast.Expr] = []
        if name is None and isinstance(piece, ast.Chain):
            name, first = _split_negative(piece)
            values = [] if first is None else [first]
        if name is None:
            hint = "a statement begins with a word, and its values follow: `topk 5`"
            report(error("Z0001", "expected a statement, found a value", piece.span, hint=hint))
            continue
        while i < len(pieces) and _belongs(name, values, pieces[i], block, arity):
            values.append(pieces[i])  # type: ignore[arg-type]
            i += 1
        end = values[-1].span if values else name.span
        entries.append(ast.Statement(name, tuple(values), _join(name.span, end)))
    return tuple(entries)


def _group_heads(pieces: Sequence[Piece], report: Report) -> tuple[ast.Head, ...]:
    starts = [index for index, piece in enumerate(pieces) if isinstance(piece, HeadName)]
    for piece in pieces[: starts[0] if starts else len(pieces)]:
        hint = "write `heads { age: softmax  topk 1 }`, with the name of an output before the colon"
        report(error("Z0001", "expected a head's name and a colon", piece.span, hint=hint))
    heads: list[ast.Head] = []
    for start, end in pairwise([*starts, len(pieces)]):
        begin = pieces[start]
        assert isinstance(begin, HeadName)
        entries = group_entries("head", pieces[start + 1 : end], report)
        last = entries[-1].span if entries else begin.span
        heads.append(ast.Head(begin.name, entries, _join(begin.span, last)))
    return tuple(heads)


def _arity(block: str) -> dict[str, int]:
    if block == "preprocess":
        return dict.fromkeys(STEPS, 0)
    return HEAD if block == "head" else BLOCKS.get(block, {})


def _belongs(name: ast.Name, values: list[ast.Expr], piece: Piece, block: str, arity: dict[str, int]) -> bool:
    if isinstance(piece, ast.Assignment | ast.Let | Body | HeadName):
        return False
    if block == "preprocess" and isinstance(piece, ast.Call):
        return False
    word = _bare(piece)
    if word is None and isinstance(piece, ast.Chain):
        word, _ = _split_negative(piece)
    if word is not None and word.text in arity:
        return False
    wanted = arity.get(name.text)
    if wanted is not None and len(values) < wanted:
        return word is None or not _starts_line(piece.span) or not values or wanted > 1
    return not _starts_line(piece.span)


def _bare(piece: Piece) -> ast.Name | None:
    return piece.parts[0] if isinstance(piece, ast.Reference) and len(piece.parts) == 1 else None


def _split_negative(chain: ast.Chain) -> tuple[ast.Name | None, ast.Expr | None]:
    """`topk -5` reads as a subtraction; as a statement it is the word and its negative value."""
    first, second, *rest = chain.operands
    if isinstance(first, ast.Chain):
        name, inner = _split_negative(first)
        if name is None or inner is None:
            return None, None
        span = _join(inner.span, chain.span)
        return name, ast.Chain((inner, second, *rest), chain.operators, span)
    name = _bare(first)
    if name is None or chain.operators[0] != "-":
        return None, None
    negated = ast.Negate(second, 1, Span(chain.span.source, _minus(chain, first), second.span.end))
    if not rest:
        return name, negated
    return name, ast.Chain((negated, *rest), chain.operators[1:], _join(negated.span, chain.span))


def _minus(chain: ast.Chain, first: ast.Expr) -> int:
    return chain.span.source.text.index("-", first.span.end)


def _join(first: Span, last: Span) -> Span:
    return Span(first.source, first.start, last.end)


def _starts_line(span: Span) -> bool:
    text = span.source.text
    return not text[text.rfind("\n", 0, span.start) + 1 : span.start].strip()
