"""The prelude: from a decoded image of any size to the network's `uint8` pixels, equal to Pillow and torchvision.

Each step is followed as torchvision's PIL path takes it (torchvision.transforms.functional): the same rounding of
the long side, of crop offsets and of padding, on int64 and float64 scalars that follow from the image's shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from zooc.deployment import CenterCrop, ECenterCrop, Pad, Preprocess, Resize, Step, SwapChannels
from zooc.graph.builder import Builder, Value
from zooc.graph.resample import Axis, nearest_indices, resample_last_axis, taps

__all__ = ["ResampleOrder", "build_prelude", "resample_order_of_pillow"]

ResampleOrder = Literal["horizontal-first", "pillow-13"]
"""Which pass Pillow makes first: up to 12 always the horizontal one; from 13 on the vertical one
exactly if the height shrinks, and by more than twice as many pixels as the width."""

_PILLOW_VERTICAL_FIRST = 13


def resample_order_of_pillow(version: str) -> ResampleOrder:
    """The order of passes in Pillow `version` (`"13.0.0"`)."""
    return "pillow-13" if int(version.split(".")[0]) >= _PILLOW_VERTICAL_FIRST else "horizontal-first"


def build_prelude(preprocess: Preprocess, height: int, width: int, order: ResampleOrder) -> onnx.ModelProto:
    """The prelude as a model of its own.

    Args:
        preprocess: the checked steps; their final size must be `height x width`.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        order: whose order of passes a resize follows.

    Returns:
        A model from `image`, uint8 `[height, width, 3]` with both sizes free, to `pixels`, uint8 `[1, 3, height, width]`.
    """
    g = Builder("prelude/")
    shape = g.op("Shape", "image")
    state = _Image(
        data="image",
        layout="HWC",
        height=g.op("Slice", shape, g.i64([0]), g.i64([1])),
        width=g.op("Slice", shape, g.i64([1]), g.i64([2])),
        swapped=False,
    )
    for step, following in _with_following_crop(preprocess.steps):
        state = _apply(g, state, step, following, order)
    channels_first = state.channels_first(g)
    if state.swapped:
        channels_first = g.op("Gather", channels_first, g.i64([2, 1, 0]), axis=0)
    # The sizes are known here but not to shape inference.
    g.op("Reshape", channels_first, g.i64([1, 3, height, width]), out="pixels")
    return g.model(
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])],
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 3, height, width])],
    )


@dataclass(frozen=True)
class _Image:
    """The image between two steps; `height` and `width` are int64 `[1]`; `swapped` postpones a channel swap."""

    data: Value
    layout: Literal["HWC", "CHW"]
    height: Value
    width: Value
    swapped: bool

    def axes(self) -> list[int]:
        """Of height and width in `data`."""
        return [0, 1] if self.layout == "HWC" else [1, 2]

    def channels_first(self, g: Builder) -> Value:
        """The data as `[3, H, W]`."""
        return self.data if self.layout == "CHW" else g.op("Transpose", self.data, perm=[2, 0, 1])


def _with_following_crop(steps: tuple[Step, ...]) -> list[tuple[Step, CenterCrop | None]]:
    """Pair each `Resize` with a `CenterCrop` right after it: only the pixels that survive are computed."""
    paired: list[tuple[Step, CenterCrop | None]] = []
    for step in steps:
        if isinstance(step, CenterCrop) and paired and isinstance(paired[-1][0], Resize) and not paired[-1][1]:
            paired[-1] = (paired[-1][0], step)
        else:
            paired.append((step, None))
    return paired


def _apply(g: Builder, image: _Image, step: Step, crop: CenterCrop | None, order: ResampleOrder) -> _Image:
    match step:
        case Resize():
            return _resize_and_crop(g, image, step, crop, order)
        case ECenterCrop():
            return _ecenter_crop(g, image, step)
        case CenterCrop():
            return _center_crop(g, image, step)
        case Pad():
            return _pad(g, image, step)
        case SwapChannels():
            return replace(image, swapped=not image.swapped)


def _resize_and_crop(
    g: Builder, image: _Image, step: Resize, crop: CenterCrop | None, order: ResampleOrder
) -> _Image:
    target_h, target_w = _resized(g, image, step)
    zero = g.i64([0])
    if crop is None:
        windows = [(zero, target_h), (zero, target_w)]
    else:
        windows = [_kept(g, target_h, crop.height), _kept(g, target_w, crop.width)]
    rows = Axis(zero, image.height, target_h, *windows[0])
    columns = Axis(zero, image.width, target_w, *windows[1])
    resized = _resample(g, image, rows, columns, step.interpolation, order)
    if crop is not None and not _covers(step, crop):
        resized = _pad_to(g, resized, crop.height, crop.width)
    return resized


def _covers(resize: Resize, crop: CenterCrop) -> bool:
    """Whether the resized image is at least as large as the crop, whatever the image."""
    if isinstance(resize.size, int):
        return resize.max_size is None and max(crop.height, crop.width) <= resize.size
    return crop.height <= resize.size[0] and crop.width <= resize.size[1]


def _resized(g: Builder, image: _Image, step: Resize) -> tuple[Value, Value]:
    """Height and width after torchvision's `Resize` (`_compute_resized_output_size`)."""
    if not isinstance(step.size, int):
        return g.i64([step.size[0]]), g.i64([step.size[1]])
    short = g.cast(g.op("Min", image.height, image.width), TensorProto.DOUBLE)
    sides = []
    for side in (image.height, image.width):
        scaled = g.op("Mul", g.cast(side, TensorProto.DOUBLE), g.f64([step.size]))
        sides.append(g.cast(g.op("Div", scaled, short), TensorProto.INT64))
    if step.max_size is None:
        return sides[0], sides[1]
    # The long side would exceed max_size: it becomes max_size, the short one int(max_size * short / long).
    long = g.cast(g.op("Max", *sides), TensorProto.DOUBLE)
    fits = g.op("LessOrEqual", long, g.f64([step.max_size]))
    shrunk = g.cast(g.op("Div", g.f64([step.max_size * step.size]), long), TensorProto.INT64)
    limited = []
    for side in sides:
        is_long = g.op("Greater", side, g.i64([step.max_size]))
        shrunk_side = g.op("Where", is_long, g.i64([step.max_size]), g.op("Max", shrunk, g.i64([1])))
        limited.append(g.op("Where", fits, side, shrunk_side))
    return limited[0], limited[1]


def _kept(g: Builder, size: Value, crop: int) -> tuple[Value, Value]:
    """Start and count of what `CenterCrop` keeps of an axis; Python's `round` is `Round`, half to even."""
    spare = g.cast(g.op("Sub", size, g.i64([crop])), TensorProto.DOUBLE)
    start = g.cast(g.op("Round", g.op("Mul", spare, g.f64([0.5]))), TensorProto.INT64)
    return g.op("Max", start, g.i64([0])), g.op("Min", size, g.i64([crop]))


def _resample(
    g: Builder, image: _Image, rows: Axis, columns: Axis, interpolation: str, order: ResampleOrder
) -> _Image:
    if interpolation == "nearest":
        row_axis, column_axis = image.axes()
        data = g.op("Gather", image.data, nearest_indices(g, rows), axis=row_axis)
        data = g.op("Gather", data, nearest_indices(g, columns), axis=column_axis)
        return replace(image, data=data, height=rows.count, width=columns.count)

    down, across = taps(g, rows, interpolation), taps(g, columns, interpolation)
    needed = g.op(
        "Slice",
        image.data,
        g.op("Concat", down.first, across.first, axis=0),
        g.op("Concat", down.last, across.last, axis=0),
        g.i64(image.axes()),
    )
    perm_rows, perm_columns = ([2, 0, 1], [2, 1, 0]) if image.layout == "HWC" else ([0, 1, 2], [0, 2, 1])

    def horizontal_first(b: Builder) -> Value:
        half = resample_last_axis(b, b.op("Transpose", needed, perm=perm_rows), across)
        both = resample_last_axis(b, b.op("Transpose", half, perm=[0, 2, 1]), down)
        return b.op("Transpose", both, perm=[0, 2, 1])

    def vertical_first(b: Builder) -> Value:
        half = resample_last_axis(b, b.op("Transpose", needed, perm=perm_columns), down)
        return resample_last_axis(b, b.op("Transpose", half, perm=[0, 2, 1]), across)

    if order == "horizontal-first":
        data = horizontal_first(g)
    else:
        less_high = g.op("Sub", rows.source, rows.target)
        less_wide = g.op("Sub", columns.source, columns.target)
        shrinks = g.op("Greater", less_high, g.i64([0]))
        more_than_twice = g.op("Greater", less_high, g.op("Mul", less_wide, g.i64([2])))
        condition = g.op("Squeeze", g.op("And", shrinks, more_than_twice))
        data = g.choose(condition, vertical_first, horizontal_first)
    return replace(image, data=data, layout="CHW", height=rows.count, width=columns.count)


def _ecenter_crop(g: Builder, image: _Image, step: ECenterCrop) -> _Image:
    """ResNeSt's crop, then a bicubic resize.

    The crop is square to within one pixel of rounding, for which both orders of passes agree, so it needs no choice.
    """
    short = g.cast(g.op("Min", image.height, image.width), TensorProto.DOUBLE)
    side = g.op("Mul", short, g.f64([step.size / (step.size + 32)]))
    axes = []
    for size in (image.height, image.width):
        spare = g.op("Sub", g.cast(size, TensorProto.DOUBLE), side)
        start = g.op("Round", g.op("Mul", spare, g.f64([0.5])))
        stop = g.op("Round", g.op("Add", start, side))
        # Where Pillow would be left without a pixel (and refuse), one is kept.
        length = g.op("Max", g.op("Sub", stop, start), g.f64([1.0]))
        target = g.i64([step.size])
        axes.append(
            Axis(g.cast(start, TensorProto.INT64), g.cast(length, TensorProto.INT64), target, g.i64([0]), target)
        )
    return _resample(g, image, axes[0], axes[1], "bicubic", "horizontal-first")


def _center_crop(g: Builder, image: _Image, step: CenterCrop) -> _Image:
    top, height = _kept(g, image.height, step.height)
    left, width = _kept(g, image.width, step.width)
    data = g.op(
        "Slice",
        image.data,
        g.op("Concat", top, left, axis=0),
        g.op("Concat", g.op("Add", top, height), g.op("Add", left, width), axis=0),
        g.i64(image.axes()),
    )
    return _pad_to(g, replace(image, data=data, height=height, width=width), step.height, step.width)


def _pad_to(g: Builder, image: _Image, height: int, width: int) -> _Image:
    """Zeros around an image smaller than the crop, the odd one right and below."""
    missing = [g.op("Sub", g.i64([height]), image.height), g.op("Sub", g.i64([width]), image.width)]
    before = [g.op("Div", m, g.i64([2])) for m in missing]
    after = [g.op("Sub", m, b) for m, b in zip(missing, before, strict=True)]
    pads = g.op("Concat", *before, *after, axis=0)
    data = g.op("Pad", image.data, pads, g.constant(0, np.uint8), g.i64(image.axes()))
    return replace(image, data=data, height=g.i64([height]), width=g.i64([width]))


def _pad(g: Builder, image: _Image, step: Pad) -> _Image:
    height = g.op("Add", image.height, g.i64([step.top + step.bottom]))
    width = g.op("Add", image.width, g.i64([step.left + step.right]))
    if step.mode == "constant":
        data = _pad_constant(g, image, step)
    else:
        row_axis, column_axis = image.axes()
        rows = _reflected(g, image.height, step.top, step.bottom, step.mode)
        columns = _reflected(g, image.width, step.left, step.right, step.mode)
        data = g.op("Gather", g.op("Gather", image.data, rows, axis=row_axis), columns, axis=column_axis)
    return replace(image, data=data, height=height, width=width)


def _pad_constant(g: Builder, image: _Image, step: Pad) -> Value:
    pads = g.i64([step.top, step.left, step.bottom, step.right])
    axes = g.i64(image.axes())
    fill = step.fill[::-1] if image.swapped else step.fill
    if len(set(fill)) == 1:
        return g.op("Pad", image.data, pads, g.constant(fill[0], np.uint8), axes)
    channel_axis = 2 if image.layout == "HWC" else 0
    channels = g.ops("Split", image.data, outputs=3, axis=channel_axis, num_outputs=3)
    padded = [
        g.op("Pad", c, pads, g.constant(f, np.uint8), axes) for c, f in zip(channels, fill, strict=True)
    ]
    return g.op("Concat", *padded, axis=channel_axis)


def _reflected(g: Builder, size: Value, before: int, after: int, mode: str) -> Value:
    """Source positions of an axis padded as `numpy.pad` does, repeatedly where the pad exceeds the axis."""
    stop = g.op("Add", g.op("Squeeze", size), g.i64(after))
    at = g.op("Range", g.i64(-before), stop, g.i64(1))
    last = g.op("Sub", size, g.i64([1]))
    if mode == "edge":
        return g.op("Min", g.op("Max", at, g.i64([0])), last)
    if mode == "symmetric":
        period = g.op("Mul", size, g.i64([2]))
        folded = g.op("Mod", at, period)
        return g.op("Min", folded, g.op("Sub", g.op("Sub", period, g.i64([1])), folded))
    period = g.op("Max", g.op("Mul", last, g.i64([2])), g.i64([1]))
    folded = g.op("Mod", at, period)
    return g.op("Min", folded, g.op("Abs", g.op("Sub", period, folded)))
