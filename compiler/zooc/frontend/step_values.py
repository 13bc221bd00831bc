"""The values that steps take: sizes, paddings, colours, numbers a channel."""

from __future__ import annotations

from collections.abc import Sequence

from zooc.diagnostics import error
from zooc.frontend import ast
from zooc.frontend.model_block import MAX_SIDE
from zooc.frontend.reading import Reader
from zooc.frontend.scope import Value, describe

__all__ = ["Triple", "read_fill", "read_padding", "read_size", "read_triple"]

Triple = tuple[float, float, float]


def read_size(node: ast.Expr, what: str, reader: Reader) -> int | tuple[int, int] | None:
    """`n`, or `[height, width]`."""
    if not _is_list(node, reader):
        return reader.integer(node, what, 1, MAX_SIDE)
    items = reader.items(node, what, "`[height, width]`")
    if items is None:
        return None
    if len(items) != 2:
        message = f"{what} is one number or a pair, found {len(items)}"
        reader.report(error("Z0114", message, node.span, hint="write `224` or `[height, width]`"))
        return None
    height = reader.integer(items[0], "the height", 1, MAX_SIDE)
    width = reader.integer(items[1], "the width", 1, MAX_SIDE)
    return None if height is None or width is None else (height, width)


def read_padding(node: ast.Expr, reader: Reader) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom."""
    if not _is_list(node, reader):
        n = reader.integer(node, "the padding", 0, MAX_SIDE)
        return None if n is None else (n, n, n, n)
    form = "`[left_right, top_bottom]` or `[left, top, right, bottom]`"
    items = reader.items(node, "the padding", form)
    if items is None:
        return None
    if len(items) not in (2, 4):
        message = f"the padding is one number, a pair or four, found {len(items)}"
        reader.report(error("Z0114", message, node.span, hint=f"write {form}"))
        return None
    sizes = _integers(items, "the padding", 0, MAX_SIDE, reader)
    if sizes is None:
        return None
    left, top = sizes[:2]
    return (left, top, left, top) if len(sizes) == 2 else (left, top, sizes[2], sizes[3])


def read_fill(node: ast.Expr, reader: Reader) -> tuple[int, int, int] | None:
    """Red, green and blue."""
    if not _is_list(node, reader):
        grey = reader.integer(node, "the fill", 0, 255)
        return None if grey is None else (grey, grey, grey)
    items = reader.items(node, "the fill", "`[red, green, blue]`")
    if items is None:
        return None
    if len(items) != 3:
        message = f"the fill is one number or three, found {len(items)}"
        reader.report(error("Z0114", message, node.span, hint="write `[red, green, blue]`"))
        return None
    colour = _integers(items, "the fill", 0, 255, reader)
    return None if colour is None else (colour[0], colour[1], colour[2])


def read_triple(node: ast.Expr, what: str, reader: Reader) -> Triple | None:
    """Three numbers, or one for all."""
    if not _is_list(node, reader):
        value = reader.value(node)
        if value is None:
            return None
        if not isinstance(value.data, int | float):
            message = f"{what} must be a number or a list of three, found {describe(value)}"
            reader.report(error("Z0109", message, value.span))
            return None
        return (float(value.data),) * 3
    items = reader.items(node, what, "`[0.485, 0.456, 0.406]`")
    if items is None:
        return None
    if len(items) != 3:
        message = f"{what} has three numbers, one a channel, found {len(items)}"
        reader.report(error("Z0114", message, node.span, hint="write three numbers, or one for all channels"))
        return None
    numbers = [reader.number(item, what) for item in items]
    known = [number for number in numbers if number is not None]
    return (known[0], known[1], known[2]) if len(known) == 3 else None


def _is_list(node: ast.Expr, reader: Reader) -> bool:
    while isinstance(node, ast.Group):
        node = node.inner
    if isinstance(node, ast.ListExpr):
        return True
    known = reader.scope.values.get(node.word or "") if isinstance(node, ast.Reference) else None
    return isinstance(known, Value) and isinstance(known.data, tuple)


def _integers(
    items: Sequence[ast.Expr | Value], what: str, low: int, high: int, reader: Reader
) -> list[int] | None:
    numbers = [reader.integer(item, what, low, high) for item in items]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None
