"""The names of a description: where each is defined and used, what it stands for, and its new name."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from zooc.diagnostics.diagnostic import Span
from zooc.diagnostics.words import meanings
from zooc.editor.document import Document, covers, ignore
from zooc.frontend.semantics.constants import Scope, Value
from zooc.frontend.semantics.overrides import apply_overrides, check_targets
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import BLOCKS, HEAD, RESERVED

__all__ = [
    "Hover",
    "RenameRefused",
    "Symbol",
    "definition",
    "hover",
    "references",
    "rename",
    "shown",
    "symbols",
]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_STATEMENTS = frozenset(HEAD).union(*BLOCKS.values())


class RenameRefused(Exception):
    """A name cannot be changed, or not to this; the message says why."""


@dataclass(frozen=True)
class Hover:
    """Markdown about what is at `span`."""

    span: Span
    text: str


@dataclass(frozen=True)
class Symbol:
    """One entry of a file's outline."""

    name: str
    kind: str
    span: Span
    name_span: Span
    detail: str = ""
    children: tuple[Symbol, ...] = ()


def shown(value: Value) -> str:
    """Return a value as the language writes it, shortened where it is long."""
    data = value.data
    if isinstance(data, tuple):
        text = f"[{', '.join('?' if item is None else shown(item) for item in data)}]"
    elif isinstance(data, str):
        text = f'"{data}"'
    else:
        text = repr(data)
    return text if len(text) <= 200 else f"{text[:197]}..."


def definition(document: Document, offset: int) -> Span | None:
    """Return where the name at `offset` is defined: a `let`, or the statement that a variant overrides."""
    name = _let_at(document, offset)
    if name is not None:
        return document.outline.lets[name].name.span
    for assignment in _assignments(document.tree):
        if covers(assignment.target.span, offset):
            return _target(document, assignment.target.text)
    return None


def _target(document: Document, path: str) -> Span | None:
    block, _, statement = path.partition(".")
    settings = document.outline.blocks.get(block)
    if settings is None:
        return None
    field = settings.fields.get(statement)
    return settings.name_span if field is None else field.name_span


def references(document: Document, offset: int) -> list[Span]:
    """Return every place of the `let` name at `offset`, its definition first; none for anything else."""
    name = _let_at(document, offset)
    return [] if name is None else _places(document, name)


def rename(document: Document, offset: int, new: str) -> list[Span]:
    """Return the places at which to write `new`.

    Raises:
        RenameRefused: it is no name, is taken, or would change what the text says; or the text has syntax
            errors, in which a use may hide.
    """
    name = _let_at(document, offset)
    if name is None:
        raise RenameRefused("only the names that `let` defines can be renamed")
    if not document.is_sound:
        raise RenameRefused("the file has syntax errors; correct these first, so that no use is missed")
    if not _NAME.fullmatch(new):
        raise RenameRefused(f"{new!r} is no name: a letter, then letters, digits and `_`")
    if new in RESERVED or new in _STATEMENTS:
        raise RenameRefused(f"`{new}` is a word of the language")
    if new != name and new in document.outline.lets:
        raise RenameRefused(f"`{new}` is defined already")
    if new != name and any(reference.word == new for reference in _references(document.tree)):
        raise RenameRefused(f"`{new}` is used already, as a word")
    return _places(document, name)


def _places(document: Document, name: str) -> list[Span]:
    used = [r.span for r in _references(document.tree) if r.word == name]
    return [document.outline.lets[name].name.span, *used]


def _let_at(document: Document, offset: int) -> str | None:
    for name, let in document.outline.lets.items():
        if covers(let.name.span, offset):
            return name
    for reference in _references(document.tree):
        if covers(reference.span, offset) and reference.word in document.outline.lets:
            return reference.word
    return None


def hover(document: Document, offset: int) -> Hover | None:
    """Return what to show at `offset`: a name's value, a word's meaning, or an expression's value."""
    token = document.token_at(offset)
    if token is None or document.in_comment(offset):
        return None
    span = Span(document.source, token.start_pos or 0, token.end_pos or 0)
    if (name := _let_at(document, offset)) is not None:
        return Hover(span, _about_let(document, name))
    if token.type in ("NAME", "FUNCTION", "_LET"):
        found = meanings(str(token), _section(document, offset))
        return Hover(span, "\n\n".join(one.markdown for one in found[:6])) if found else None
    for expression in _expressions(document.tree):
        if isinstance(expression, ast.Chain | ast.Negate) and covers(expression.span, offset):
            value = Scope(document.outline.lets, ignore).evaluate(expression)
            return None if value is None else Hover(expression.span, f"`{shown(value)}`")
    return None


def _about_let(document: Document, name: str) -> str:
    value = document.scope.values.get(name)
    lines = [f"`{name} = {shown(value)}`" if value is not None else f"`{name}`: it has no value yet"]
    for variant, block in document.outline.variants.items():
        layer = check_targets(block.entries or (), document.outline, ignore)
        changed = Scope(apply_overrides(document.outline, [layer]).lets, ignore).values.get(name)
        if changed is not None and (value is None or shown(changed) != shown(value)):
            lines.append(f"`{shown(changed)}` in variant `{variant}`")
    return "\n\n".join(lines)


def _section(document: Document, offset: int) -> str | None:
    """The block that an offset is in."""
    for item in document.tree.items:
        if isinstance(item, ast.Block) and covers(item.span, offset):
            return item.name.text
    return None


def symbols(document: Document) -> list[Symbol]:
    """Return the file's outline: lets with their values, blocks with statements and steps, variants."""
    found: list[Symbol] = []
    for item in document.tree.items:
        if isinstance(item, ast.Let):
            value = document.scope.values.get(item.name.text)
            detail = "" if value is None else shown(value)
            found.append(Symbol(item.name.text, "let", item.span, item.name.span, detail))
        elif isinstance(item, ast.Block):
            header = " ".join(value.span.text for value in item.header)[:80]
            children = [_entry(entry) for entry in item.entries or ()]
            for head in item.heads:
                inner = tuple(_entry(entry) for entry in head.entries)
                children.append(Symbol(head.name.text, "head", head.span, head.name.span, "", inner))
            kind = "variant" if item.name.text == "variant" else "block"
            name = header if kind == "variant" and header else item.name.text
            found.append(Symbol(name, kind, item.span, item.name.span, header, tuple(children)))
    return found


def _entry(entry: ast.Entry) -> Symbol:
    if isinstance(entry, ast.Assignment):
        detail = entry.value.span.text[:80]
        return Symbol(entry.target.text, "override", entry.span, entry.target.span, detail)
    kind = "step" if isinstance(entry, ast.Call) else "statement"
    detail = " ".join(entry.span.text[len(entry.name.text) :].split())[:80]
    return Symbol(entry.name.text, kind, entry.span, entry.name.span, detail)


def _assignments(tree: ast.File) -> Iterator[ast.Assignment]:
    for item in tree.items:
        if isinstance(item, ast.Block) and item.name.text == "variant":
            yield from (entry for entry in item.entries or () if isinstance(entry, ast.Assignment))


def _references(tree: ast.File) -> Iterator[ast.Reference]:
    """Every use of a name: in values, and as what a variant sets."""
    for assignment in _assignments(tree):
        yield assignment.target
    for expression in _expressions(tree):
        if isinstance(expression, ast.Reference):
            yield expression


def _expressions(tree: ast.File) -> Iterator[ast.Expr]:
    """Every expression, the outer ones before those within; a variant's name is none."""
    pending: deque[ast.Expr] = deque()
    for item in tree.items:
        if isinstance(item, ast.Let | ast.Assignment):
            pending.append(item.value)
        else:
            pending += () if item.name.text == "variant" else item.header
            for entry in [*(item.entries or ()), *(e for head in item.heads for e in head.entries)]:
                pending += _own(entry)
    while pending:
        expression = pending.popleft()
        yield expression
        pending += _own(expression)


def _own(node: ast.Expr | ast.Entry) -> tuple[ast.Expr, ...]:  # noqa: PLR0911 - one return a case
    match node:
        case ast.Statement(values=values):
            return values
        case ast.Assignment(value=value):
            return (value,)
        case ast.Group(inner) | ast.Negate(inner):
            return (inner,)
        case ast.Comparison(left, right):
            return (left, right)
        case ast.Chain(items) | ast.ListExpr(items):
            return items
        case ast.Call():
            return (*node.values, *(keyword.value for keyword in node.keywords))
        case _:
            return ()
