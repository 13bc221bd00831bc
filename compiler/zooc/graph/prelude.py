"""The prelude: from a decoded image of any size to the network's `uint8` pixels, equal to Pillow's.

Each step is followed as torchvision's PIL path takes it (torchvision.transforms.functional): the same
rounding of the long side, of crop offsets and of padding, on int64 and float64 vectors `[height, width]` that
follow from the image's shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import onnx
from onnx import TensorProto, helper

from zooc.deployment import CenterCrop, ECenterCrop, Pad, Preprocess, Resize, Step, SwapChannels
from zooc.graph.builder import Builder, Value
from zooc.graph.padding import pad_centred, pad_steps
from zooc.graph.resample import Axes, bands, nearest_indices, resample_rows

__all__ = ["ResampleOrder", "build_prelude", "resample_order_of_pillow"]

ResampleOrder = Literal["horizontal-first", "pillow-13"]
"""Which pass Pillow makes first: up to 12 always the horizontal one; from 13 on the vertical one
exactly if the height shrinks, and by more than twice as many pixels as the width."""

_VERTICAL_FIRST_SINCE = 13
_RESNEST_MARGIN = 32


def resample_order_of_pillow(version: str) -> ResampleOrder:
    """The order of passes in Pillow `version` (`"13.0.0"`)."""
    major = int(version.partition(".")[0])
    return "pillow-13" if major >= _VERTICAL_FIRST_SINCE else "horizontal-first"


def build_prelude(preprocess: Preprocess, height: int, width: int, order: ResampleOrder) -> onnx.ModelProto:
    """The prelude as a model of its own.

    Args:
        preprocess: the checked steps; their final size must be `height x width`.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        order: whose order of passes a resize follows.

    Returns:
        A model from `image`, uint8 `[height, width, 3]` with both sizes free, to `pixels`, uint8
        `[1, 3, height, width]`.
    """
    g = Builder("prelude/")
    image = Picture("image", g.op("Shape", "image", start=0, end=2), swapped=False)
    for step, crop in _with_following_crop(preprocess.steps):
        image = _apply(g, image, step, crop, order)
    channels_first = g.op("Transpose", image.data, perm=[2, 0, 1])
    if image.swapped:
        channels_first = g.op("Gather", channels_first, g.i64([2, 1, 0]), axis=0)
    # The final size is known here, but not to shape inference.
    g.op("Reshape", channels_first, g.i64([1, 3, height, width]), out="pixels")
    return g.model(
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])],
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 3, height, width])],
    )


@dataclass(frozen=True)
class Picture:
    """The image between two steps: uint8 `[H, W, 3]`, `size` int64 `[2]`, and a channel swap still to do."""

    data: Value
    size: Value
    swapped: bool


def _with_following_crop(steps: tuple[Step, ...]) -> list[tuple[Step, CenterCrop | None]]:
    """Pair each `Resize` with a `CenterCrop` right after it: only the pixels that survive are computed."""
    paired: list[tuple[Step, CenterCrop | None]] = []
    for step in steps:
        before, crop = paired[-1] if paired else (None, None)
        if isinstance(step, CenterCrop) and isinstance(before, Resize) and crop is None:
            paired[-1] = (before, step)
        else:
            paired.append((step, None))
    return paired


def _apply(g: Builder, image: Picture, step: Step, crop: CenterCrop | None, order: ResampleOrder) -> Picture:
    match step:
        case Resize():
            return _resize(g, image, step, crop, order)
        case ECenterCrop():
            return _ecenter_crop(g, image, step)
        case CenterCrop():
            start, count = _kept(g, image.size, step)
            data = g.op("Slice", image.data, start, g.op("Add", start, count), g.i64([0, 1]))
            return _padded_to(g, replace(image, data=data, size=count), step)
        case Pad():
            fill = step.fill[::-1] if image.swapped else step.fill
            data, size = pad_steps(g, image.data, image.size, step, fill)
            return replace(image, data=data, size=size)
        case SwapChannels():
            return replace(image, swapped=not image.swapped)


def _resize(
    g: Builder, image: Picture, step: Resize, crop: CenterCrop | None, order: ResampleOrder
) -> Picture:
    target = _resized_size(g, image.size, step)
    zeros = g.i64([0, 0])
    start, count = (zeros, target) if crop is None else _kept(g, target, crop)
    axes = Axes(origin=zeros, source=image.size, target=target, start=start, count=count)
    resized = _resample(g, image, axes, step.interpolation, order)
    if crop is None or _covers(step, crop):
        return resized
    return _padded_to(g, resized, crop)


def _covers(resize: Resize, crop: CenterCrop) -> bool:
    """Whether the resized image is at least as large as the crop, whatever the image."""
    if isinstance(resize.size, int):
        return resize.max_size is None and max(crop.height, crop.width) <= resize.size
    return crop.height <= resize.size[0] and crop.width <= resize.size[1]


def _resized_size(g: Builder, size: Value, step: Resize) -> Value:
    """Height and width after torchvision's `Resize` (`_compute_resized_output_size`)."""
    if not isinstance(step.size, int):
        return g.i64(step.size)
    exact = g.cast(size, TensorProto.DOUBLE)
    short = g.op("ReduceMin", exact, keepdims=1)
    sides = g.cast(g.op("Div", g.op("Mul", exact, g.f64(step.size)), short), TensorProto.INT64)
    if step.max_size is None:
        return sides
    # Too long: the long side becomes max_size, the short one int(max_size * size / long).
    long = g.cast(g.op("ReduceMax", sides, keepdims=1), TensorProto.DOUBLE)
    shrunk = g.cast(g.op("Div", g.f64(step.max_size * step.size), long), TensorProto.INT64)
    limit = g.i64(step.max_size)
    limited = g.op("Where", g.op("Greater", sides, limit), limit, g.op("Max", shrunk, g.i64(1)))
    return g.op("Where", g.op("LessOrEqual", long, g.f64(step.max_size)), sides, limited)


def _kept(g: Builder, size: Value, crop: CenterCrop) -> tuple[Value, Value]:
    """Start and count of what `CenterCrop` keeps; Python's `round` is `Round`, half to even."""
    wanted = g.i64([crop.height, crop.width])
    spare = g.cast(g.op("Sub", size, wanted), TensorProto.DOUBLE)
    start = g.cast(g.op("Round", g.op("Mul", spare, g.f64(0.5))), TensorProto.INT64)
    return g.op("Max", start, g.i64(0)), g.op("Min", size, wanted)


def _padded_to(g: Builder, image: Picture, crop: CenterCrop) -> Picture:
    wanted = g.i64([crop.height, crop.width])
    return replace(image, data=pad_centred(g, image.data, image.size, wanted), size=wanted)


def _resample(g: Builder, image: Picture, axes: Axes, interpolation: str, order: ResampleOrder) -> Picture:
    if interpolation == "nearest":
        data = g.op("Gather", image.data, nearest_indices(g, axes, 0), axis=0)
        data = g.op("Gather", data, nearest_indices(g, axes, 1), axis=1)
        return replace(image, data=data, size=axes.count)

    both = bands(g, axes, interpolation)
    needed = g.op("Slice", image.data, both.first, both.last, g.i64([0, 1]))

    def horizontal_first(b: Builder) -> Value:
        """[H, W, 3] -> [W, 3, H] -> [w, 3 H] -> [H, 3 w] -> [h, w, 3]."""
        across = resample_rows(b, b.op("Transpose", needed, perm=[1, 2, 0]), both, 1)
        height = b.op("Shape", needed, start=0, end=1)
        by_column = b.op("Reshape", across, b.op("Concat", b.i64([-1]), height, axis=0))
        down = resample_rows(b, b.op("Transpose", by_column, perm=[1, 0]), both, 0)
        return b.op("Reshape", down, b.op("Concat", axes.count, b.i64([3]), axis=0))

    def vertical_first(b: Builder) -> Value:
        """[H, W, 3] -> [h, 3 W] -> [W, 3, h] -> [w, 3 h] -> [h, w, 3]."""
        down = resample_rows(b, needed, both, 0)
        by_row = b.op("Reshape", down, b.op("Concat", b.i64([0]), b.op("Shape", needed, start=1), axis=0))
        across = resample_rows(b, b.op("Transpose", by_row, perm=[1, 2, 0]), both, 1)
        return b.op("Transpose", b.op("Reshape", across, b.i64([0, 3, -1])), perm=[2, 0, 1])

    if order == "horizontal-first":
        data = horizontal_first(g)
    else:
        data = g.choose(_shrinks_much_in_height(g, axes), vertical_first, horizontal_first)
    return replace(image, data=data, size=axes.count)


def _shrinks_much_in_height(g: Builder, axes: Axes) -> Value:
    """Pillow 13's condition for making the vertical pass first, a bool scalar."""
    less_high, less_wide = g.ops("Split", g.op("Sub", axes.source, axes.target), outputs=2, num_outputs=2)
    more_than_twice = g.op("Greater", less_high, g.op("Mul", less_wide, g.i64(2)))
    return g.op("Squeeze", g.op("And", g.op("Greater", less_high, g.i64(0)), more_than_twice))


def _ecenter_crop(g: Builder, image: Picture, step: ECenterCrop) -> Picture:
    """ResNeSt's crop, then a bicubic resize.

    The crop is square to within one pixel of rounding, where both orders of passes agree: it needs no choice.
    """
    exact = g.cast(image.size, TensorProto.DOUBLE)
    share = step.size / (step.size + _RESNEST_MARGIN)
    side = g.op("Mul", g.op("ReduceMin", exact, keepdims=1), g.f64(share))
    start = g.op("Round", g.op("Mul", g.op("Sub", exact, side), g.f64(0.5)))
    stop = g.op("Round", g.op("Add", start, side))
    # Where Pillow would be left without a pixel, and refuse, one is kept.
    length = g.op("Max", g.op("Sub", stop, start), g.f64(1.0))
    target = g.i64([step.size, step.size])
    origin, source = (g.cast(v, TensorProto.INT64) for v in (start, length))
    axes = Axes(origin=origin, source=source, target=target, start=g.i64([0, 0]), count=target)
    return _resample(g, image, axes, "bicubic", "horizontal-first")
