"""The syntax tree of a `.zoo` file: what is written, where; nothing that analysis learns.

Spans take no part in comparison: two trees are equal when they say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zooc.diagnostics.diagnostic import SourceFile, Span

__all__ = [
    "Assignment",
    "Block",
    "Call",
    "Chain",
    "Comparison",
    "Entry",
    "Expr",
    "File",
    "Group",
    "Head",
    "Item",
    "Keyword",
    "Let",
    "ListExpr",
    "Name",
    "Negate",
    "Number",
    "Reference",
    "Statement",
    "String",
]


@dataclass(frozen=True, slots=True)
class Name:
    """One word."""

    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """A word or a dotted path: `size`, `timm.resnest50d`."""

    parts: tuple[Name, ...]
    span: Span = field(compare=False)

    @property
    def text(self) -> str:
        """The path as one string, without blanks."""
        return ".".join(part.text for part in self.parts)

    @property
    def word(self) -> str | None:
        """The only word, `None` for a dotted path."""
        return self.parts[0].text if len(self.parts) == 1 else None


@dataclass(frozen=True, slots=True)
class Number:
    """An integer or a float."""

    value: int | float
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class String:
    """A string, its escapes decoded."""

    value: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class ListExpr:
    """`[a, b]`."""

    items: tuple[Expr, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Group:
    """`(a)`; kept, because a parenthesised word is never taken for a statement."""

    inner: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Negate:
    """`-a`, `times` times over."""

    operand: Expr
    times: int
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """Operators of one precedence, applied from the left: `a - b + c`; flat, so a long one is not deep."""

    operands: tuple[Expr, ...]
    operators: tuple[str, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Keyword:
    """`name=value` in a call."""

    name: Name
    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`name(values, keyword=value)`."""

    name: Name
    values: tuple[Expr, ...]
    keywords: tuple[Keyword, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left <= right` or `left >= right`, only as a value of a statement."""

    left: Expr
    right: Expr
    span: Span = field(compare=False)
    operator: str = "<="


Expr = Reference | Number | String | ListExpr | Group | Negate | Chain | Call | Comparison


@dataclass(frozen=True, slots=True)
class Statement:
    """A word and its values in a block: `topk 5`."""

    name: Name
    values: tuple[Expr, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Assignment:
    """`path = value`, as variants and `--set` have it."""

    target: Reference
    value: Expr
    span: Span = field(compare=False)


Entry = Statement | Assignment | Call


@dataclass(frozen=True, slots=True)
class Head:
    """`name: statements` in a `heads` block; the name of an output that is no word is a string."""

    name: Name
    entries: tuple[Entry, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value`."""

    name: Name
    value: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Block:
    """`name header { entries }`, or `name header` with `entries is None`; `heads` has heads for entries."""

    name: Name
    header: tuple[Expr, ...]
    entries: tuple[Entry, ...] | None
    span: Span = field(compare=False)
    heads: tuple[Head, ...] = ()


Item = Let | Block | Assignment


@dataclass(frozen=True, slots=True)
class File:
    """A whole `.zoo` file."""

    items: tuple[Item, ...]
    source: SourceFile = field(compare=False)
