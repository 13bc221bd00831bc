"""The `preprocess` block: each step by itself; `preprocess_flow` looks at their order and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from zooc.deployment import (
    CenterCrop,
    ECenterCrop,
    InputShape,
    Interpolation,
    Pad,
    PadMode,
    Preprocess,
    Resize,
)
from zooc.diagnostics import Span, error
from zooc.frontend import ast
from zooc.frontend.model_block import MAX_SIDE
from zooc.frontend.outline import Settings
from zooc.frontend.preprocess_flow import Action, Channels, Convert, Pixel, Standardize, check_flow
from zooc.frontend.reading import Reader
from zooc.frontend.scope import Value, describe
from zooc.frontend.suggest import all_of, did_you_mean
from zooc.frontend.vdsp import read_vdsp
from zooc.frontend.vocabulary import INTERPOLATIONS, PAD_MODES, STEPS

__all__ = ["read_preprocess"]

Arguments = dict[str, ast.Expr]
Triple = tuple[float, float, float]


def read_preprocess(
    settings: Settings, shape: InputShape | None, input_span: Span | None, reader: Reader
) -> Preprocess | None:
    """Checks the steps and that their result fits the model's input; `None` after an error.

    Args:
        settings: the block.
        shape: the model's input, `None` when it is unknown.
        input_span: where the model's input is written.
        reader: reads values.
    """
    actions: list[Action] = []
    sound = True
    alone = len(settings.steps) == 1
    for entry in settings.steps:
        step = _actions(entry, alone, reader)
        sound &= step is not None
        actions += step or ()
    if not sound:
        return None
    return check_flow(actions, shape, input_span, settings.name_span, reader.report)


def _actions(entry: ast.Entry, alone: bool, reader: Reader) -> list[Action] | None:
    if not isinstance(entry, ast.Call):
        _not_a_call(entry, reader)
        return None
    name = entry.name.text
    if name not in STEPS:
        notes = (f"the steps are {all_of(STEPS)}",)
        hint = did_you_mean(name, STEPS)
        reader.report(error("Z0104", f"unknown step `{name}`", entry.name.span, notes=notes, hint=hint))
        return None
    bound = reader.bind(entry, STEPS[name])
    if bound is None:
        return None
    if name == "vdsp":
        return _vdsp(entry, bound, alone, reader)
    action = _READERS[name](entry, bound, reader)
    return None if action is None else [action]


def _not_a_call(entry: ast.Statement | ast.Assignment, reader: Reader) -> None:
    name = entry.target.text if isinstance(entry, ast.Assignment) else entry.name.text
    span = entry.span
    if name in STEPS:
        values = entry.values if isinstance(entry, ast.Statement) else (entry.value,)
        hint = f"write `{name}({', '.join(value.span.text for value in values)})`"
        reader.report(error("Z0118", f"the step `{name}` takes parentheses", span, hint=hint))
        return
    notes = (f"the steps are {all_of(STEPS)}",)
    place = entry.target.span if isinstance(entry, ast.Assignment) else entry.name.span
    reader.report(
        error("Z0104", f"unknown step `{name}`", place, notes=notes, hint=did_you_mean(name, STEPS))
    )


def _vdsp(call: ast.Call, bound: Arguments, alone: bool, reader: Reader) -> list[Action] | None:
    path = reader.path(bound["path"], "the vdsp file")
    if not alone:
        message = "`vdsp(...)` is a whole preprocessing and stands alone"
        reader.report(
            error("Z0312", message, call.span, hint="delete the other steps, or write all of them out")
        )
        return None
    if path is None or not reader.check_files:
        return None
    return read_vdsp(path, call.span, reader.report)


def _resize(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    size = _size(bound["size"], "the size", reader)
    interpolation: str | None = "bilinear"
    if "interpolation" in bound:
        interpolation = reader.word(bound["interpolation"], INTERPOLATIONS, "interpolation")
    max_size = None
    if "max_size" in bound:
        max_size = reader.integer(bound["max_size"], "`max_size`", 1, MAX_SIDE)
        if max_size is None or size is None:
            return None
        place = bound["max_size"].span
        if isinstance(size, tuple):
            message = "`max_size` needs a single `size`, not a pair"
            reader.report(
                error("Z0110", message, place, hint="delete `max_size`; both sides are given already")
            )
            return None
        if max_size <= size:
            message = f"`max_size` bounds the longer side and must be above `size`, {size}; found {max_size}"
            reader.report(error("Z0110", message, place, hint="delete it, or make it larger"))
            return None
    if size is None or interpolation is None:
        return None
    return Pixel(Resize(size, _interpolation(interpolation), max_size, call.span))


def _interpolation(word: str) -> Interpolation:
    return word  # type: ignore[return-value]


def _center_crop(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    size = _size(bound["size"], "the size", reader)
    if size is None:
        return None
    height, width = size if isinstance(size, tuple) else (size, size)
    return Pixel(CenterCrop(height, width, call.span))


def _e_center_crop(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    size = reader.integer(bound["size"], "the size", 1, MAX_SIDE)
    return None if size is None else Pixel(ECenterCrop(size, call.span))


def _size(node: ast.Expr, what: str, reader: Reader) -> int | tuple[int, int] | None:
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


def _is_list(node: ast.Expr, reader: Reader) -> bool:
    while isinstance(node, ast.Group):
        node = node.inner
    if isinstance(node, ast.ListExpr):
        return True
    known = reader.scope.values.get(node.word or "") if isinstance(node, ast.Reference) else None
    return isinstance(known, Value) and isinstance(known.data, tuple)


def _pad(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    padding = _padding(bound["padding"], reader)
    fill = _fill(bound["fill"], reader) if "fill" in bound else (0, 0, 0)
    mode: str | None = "constant"
    if "mode" in bound:
        mode = reader.word(bound["mode"], PAD_MODES, "padding mode")
    if padding is None or fill is None or mode is None:
        return None
    if "fill" in bound and mode != "constant":
        message = f"`fill` would be ignored, because mode `{mode}` takes its pixels from the image"
        reader.report(error("Z0123", message, bound["fill"].span, hint="delete it, or use mode=constant"))
        return None
    left, top, right, bottom = padding
    return Pixel(Pad(left, top, right, bottom, fill, _mode(mode), call.span))


def _mode(word: str) -> PadMode:
    return word  # type: ignore[return-value]


def _padding(node: ast.Expr, reader: Reader) -> tuple[int, int, int, int] | None:
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


def _fill(node: ast.Expr, reader: Reader) -> tuple[int, int, int] | None:
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


def _integers(
    items: Sequence[ast.Expr | Value], what: str, low: int, high: int, reader: Reader
) -> list[int] | None:
    numbers = [reader.integer(item, what, low, high) for item in items]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None


def _normalize(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    mean = _triple(bound["mean"], "the mean", reader)
    std = _triple(bound["std"], "the standard deviation", reader)
    if std is not None and (min(std) <= 0 or any(math.isinf(1 / value) for value in std)):
        message = "the standard deviation must be above 0"
        reader.report(error("Z0110", message, bound["std"].span, hint="pixels are divided by it"))
        return None
    if mean is None or std is None:
        return None
    return Standardize(mean, std, call.span)


def _triple(node: ast.Expr, what: str, reader: Reader) -> Triple | None:
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


def _convert(divisor: float) -> Callable[[ast.Call, Arguments, Reader], Action]:
    return lambda call, _bound, _reader: Convert(divisor, call.span)


def _channels(order: str) -> Callable[[ast.Call, Arguments, Reader], Action]:
    return lambda call, _bound, _reader: Channels(order, call.span)


_READERS: dict[str, Callable[[ast.Call, Arguments, Reader], Action | None]] = {
    "Resize": _resize,
    "CenterCrop": _center_crop,
    "ECenterCrop": _e_center_crop,
    "Pad": _pad,
    "Normalize": _normalize,
    "ToTensor": _convert(255.0),
    "PILToTensor": _convert(1.0),
    "BGR": _channels("BGR"),
    "RGB": _channels("RGB"),
}
