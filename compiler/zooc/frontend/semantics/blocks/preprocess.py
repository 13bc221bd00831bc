"""The `preprocess` block: each step by itself; `preprocess_flow` looks at their order and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable

from zooc.deployment import InputShape, Preprocess
from zooc.diagnostics.diagnostic import Span, error
from zooc.diagnostics.suggest import all_of, did_you_mean
from zooc.frontend.semantics.blocks.image_flow import (
    Action,
    Channels,
    Convert,
    Pixel,
    Source,
    Standardize,
    check_flow,
)
from zooc.frontend.semantics.blocks.preprocess_steps import (
    read_crop,
    read_fill,
    read_letterbox,
    read_numbers,
    read_padding,
    read_resize,
    read_size,
)
from zooc.frontend.semantics.blocks.vdsp import read_inline_vdsp, read_vdsp
from zooc.frontend.semantics.declarations import BlockSettings
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import DECODINGS, MATRICES, PAD_MODES, STEPS
from zooc.support.limits import MAX_SIDE
from zooc_runtime.preprocessing.steps import CenterCrop, Decode, ECenterCrop, Grayscale, Pad, PadMode

__all__ = ["read_preprocess"]

Arguments = dict[str, ast.Expr]


def read_preprocess(
    settings: BlockSettings, shape: InputShape | None, input_span: Span | None, reader: Reader
) -> Preprocess | None:
    """Check the steps and that their result fits the model's input; `None` after an error.

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
        step = _actions(entry, alone, shape, reader)
        sound &= step is not None
        actions += step or ()
    if not sound:
        return None
    vdsp = any(isinstance(entry, ast.Call) and entry.name.text == "vdsp" for entry in settings.steps)
    return check_flow(actions, shape, input_span, settings.name_span, reader.report, vdsp=vdsp)


def _actions(entry: ast.Entry, alone: bool, shape: InputShape | None, reader: Reader) -> list[Action] | None:
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
        return _vdsp(entry, bound, alone, shape, reader)
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


def _vdsp(
    call: ast.Call, bound: Arguments, alone: bool, shape: InputShape | None, reader: Reader
) -> list[Action] | None:
    if not alone:
        message = "`vdsp(...)` is the whole preprocessing and must be the only step"
        hint = "delete the other steps, or write all of them out"
        reader.report(error("Z0312", message, call.span, hint=hint))
        return None
    if "path" not in bound:
        return read_inline_vdsp(call, bound, shape, reader)
    if len(bound) > 1:
        message = "`vdsp(...)` takes either a file or the keys of one"
        reader.report(error("Z0312", message, call.span, hint="delete the file's name or the keys"))
        return None
    path = reader.path(bound["path"], "the vdsp file")
    if path is None or not reader.check_files or not path.is_file():
        return None
    return read_vdsp(path, call.span, shape, reader.report)


def _decode(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    how = reader.word(bound["how"], DECODINGS, "way of decoding") if "how" in bound else "exact"
    return None if how is None else Pixel(Decode("scaled" if how == "scaled" else "exact", call.span))


def _nv12(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    matrix = reader.word(bound["matrix"], MATRICES, "colour matrix")
    return None if matrix is None else Source(f"nv12-{matrix}", call.span)


def _center_crop(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    size = read_size(bound["size"], "the size", reader)
    if size is None:
        return None
    height, width = size if isinstance(size, tuple) else (size, size)
    return Pixel(CenterCrop(height, width, call.span))


def _e_center_crop(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    size = reader.integer(bound["size"], "the size", 1, MAX_SIDE)
    return None if size is None else Pixel(ECenterCrop(size, call.span))


def _pad(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    padding = read_padding(bound["padding"], reader)
    fill = read_fill(bound["fill"], reader) if "fill" in bound else (0, 0, 0)
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


def _normalize(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    mean = read_numbers(bound["mean"], "the mean", reader)
    std = read_numbers(bound["std"], "the standard deviation", reader)
    divisors = std if isinstance(std, tuple) else () if std is None else (std,)
    if any(value <= 0 or math.isinf(1 / value) for value in divisors):
        message = "the standard deviation must be above 0"
        reader.report(error("Z0110", message, bound["std"].span, hint="pixels are divided by it"))
        std = 1.0  # to look on
    if mean is None or std is None:
        return None
    return Standardize(mean, std, call.span, bound["mean"].span, bound["std"].span)


def _grayscale(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    channels: int | None = 1
    if "channels" in bound:
        what = "the number of channels"
        channels = reader.integer(bound["channels"], what, 1, 3)
        if channels == 2:
            message = f"{what} of a grey image is 1, or 3 for the same value in all three"
            hint = "write `Grayscale()` or `Grayscale(channels=3)`"
            reader.report(error("Z0110", message, bound["channels"].span, hint=hint))
            return None
    return None if channels is None else Pixel(Grayscale(channels, call.span))


def _convert(divisor: float) -> Callable[[ast.Call, Arguments, Reader], Action]:
    return lambda call, _bound, _reader: Convert(divisor, call.span)


def _channels(order: str) -> Callable[[ast.Call, Arguments, Reader], Action]:
    return lambda call, _bound, _reader: Channels(order, call.span)


_READERS: dict[str, Callable[[ast.Call, Arguments, Reader], Action | None]] = {
    "Decode": _decode,
    "NV12": _nv12,
    "Resize": read_resize,
    "Letterbox": read_letterbox,
    "CenterCrop": _center_crop,
    "Crop": read_crop,
    "ECenterCrop": _e_center_crop,
    "Pad": _pad,
    "Grayscale": _grayscale,
    "Normalize": _normalize,
    "ToTensor": _convert(255.0),
    "PILToTensor": _convert(1.0),
    "BGR": _channels("BGR"),
    "RGB": _channels("RGB"),
}
