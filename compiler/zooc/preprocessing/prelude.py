"""The prelude: from a decoded image of any size to the network's `uint8` pixels, equal to Pillow's.

Each step is followed as torchvision's PIL path takes it (torchvision.transforms.functional): the same
rounding of the long side, of crop offsets and of padding, on int64 and float64 vectors `[height, width]` that
follow from the image's shape.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx

from zooc.deployment import Preprocess
from zooc.ir.builder import Builder, Declaration, Value
from zooc.preprocessing.grayscale import grayscale
from zooc.preprocessing.letterbox import letterbox
from zooc.preprocessing.nv12 import frame_input, mark_source, nv12_to_rgb
from zooc.preprocessing.opencv_resize import resize_as_opencv
from zooc.preprocessing.padding import pad_centred, pad_steps
from zooc.preprocessing.pillow_resize import (
    Picture,
    ResampleOrder,
    resample_order_of_pillow,
    resize_as_pillow,
)
from zooc.preprocessing.resample import Axes
from zooc.preprocessing.torch_resize import resize_as_torch
from zooc_runtime.preprocessing.nv12 import is_nv12
from zooc_runtime.preprocessing.sources import channels_of
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Crop,
    Decode,
    ECenterCrop,
    Grayscale,
    Letterbox,
    Pad,
    Resize,
    ResizeCv,
    ResizeTorch,
    Step,
    SwapChannels,
)

__all__ = ["ResampleOrder", "build_prelude", "ecenter_box", "resample_order_of_pillow"]

_RESNEST_MARGIN = 32

_AnyResize = Resize | ResizeCv | ResizeTorch


def build_prelude(preprocess: Preprocess, height: int, width: int, order: ResampleOrder) -> onnx.ModelProto:
    """Return the prelude as a model of its own.

    Args:
        preprocess: the checked steps; their final size must be `height x width`.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        order: whose order of passes a resize follows.

    Returns:
        A model from `image`, uint8 `[height, width, channels]` with both sizes free (of NV12 `[height * 3 /
        2, width]`), to `pixels`, uint8 `[batch, channels, height, width]`, of which batch is 1.
    """
    g = Builder("prelude/")
    if is_nv12(preprocess.source):
        source: Declaration = frame_input()
        image = Picture(*nv12_to_rgb(g, "image", preprocess.source))
    else:
        channels = channels_of(preprocess.source)
        source = ("image", np.uint8, ("height", "width", channels))
        image = Picture("image", g.op("Shape", "image", start=0, end=2), channels=channels)
    for step, crop in _with_following_crop(preprocess.steps):
        image = _apply(g, image, step, crop, order)
    planes = g.op("Transpose", image.data, perm=[2, 0, 1])
    # The Gather also keeps the Transpose here: engines move it no further (docs/design/portability.md).
    order_of_channels = range(image.channels)[:: -1 if image.swapped else 1]
    planes = g.op("Gather", planes, g.i64(list(order_of_channels)), axis=0)
    # The final size is known here, but not to shape inference.
    planes = g.op("Reshape", planes, g.i64([1, image.channels, height, width]))
    # That the batch is 1 must not be known: engines would fuse what they leave alone in a body of free batch.
    # Slicing to the image's height leaves the one there is, and says nothing of how many these are.
    rows = g.op("Shape", "image", start=0, end=1)
    g.op("Slice", planes, g.i64([0]), rows, g.i64([0]), out="pixels")
    pixels: Declaration = ("pixels", np.uint8, ("batch", image.channels, height, width))
    model = g.model([source], [pixels])
    if is_nv12(preprocess.source):
        mark_source(model, preprocess.source)
    return model


def _with_following_crop(steps: tuple[Step, ...]) -> list[tuple[Step, CenterCrop | Crop | None]]:
    """Pair each resize with a crop right after it: only the pixels that survive are computed."""
    paired: list[tuple[Step, CenterCrop | Crop | None]] = []
    for step in steps:
        before, crop = paired[-1] if paired else (None, None)
        if isinstance(step, CenterCrop | Crop) and isinstance(before, _AnyResize) and crop is None:
            paired[-1] = (before, step)
        else:
            paired.append((step, None))
    return paired


def _apply(  # noqa: PLR0911 - one return a case
    g: Builder, image: Picture, step: Step, crop: CenterCrop | Crop | None, order: ResampleOrder
) -> Picture:
    match step:
        case Decode():
            return image  # the caller's part
        case Resize() | ResizeCv() | ResizeTorch():
            return _resize(g, image, step, crop, order)
        case Letterbox():
            return letterbox(g, image, step, order)
        case ECenterCrop():
            return _ecenter_crop(g, image, step)
        case CenterCrop() | Crop():
            start, count = _kept(g, image.size, step)
            data = g.op("Slice", image.data, start, g.op("Add", start, count), g.i64([0, 1]))
            return _padded_to(g, replace(image, data=data, size=count), step)
        case Pad():
            data, size = pad_steps(g, image.data, image.size, step, image.colour(step.fill))
            return replace(image, data=data, size=size)
        case SwapChannels():
            return replace(image, swapped=not image.swapped)
        case Grayscale():
            return grayscale(g, image, step)


def _resize(
    g: Builder, image: Picture, step: _AnyResize, crop: CenterCrop | Crop | None, order: ResampleOrder
) -> Picture:
    if isinstance(step, ResizeCv):
        target = g.i64([step.height, step.width])
    else:
        target = _resized_size(g, image.size, step)
    zeros = g.i64([0, 0])
    start, count = (zeros, target) if crop is None else _kept(g, target, crop)
    axes = Axes(origin=zeros, source=image.size, target=target, start=start, count=count)
    if isinstance(step, ResizeCv):
        resized = replace(image, data=resize_as_opencv(g, image.data, axes), size=count)
    elif isinstance(step, ResizeTorch):
        resized = resize_as_torch(g, image, axes, step.interpolation, antialias=step.antialias)
    else:
        resized = resize_as_pillow(g, image, axes, step.interpolation, order)
    if crop is None or _covers(step, crop):
        return resized
    return _padded_to(g, resized, crop)


def _covers(resize: _AnyResize, crop: CenterCrop | Crop) -> bool:
    """Whether the resized image is at least as large as the crop, whatever the image."""
    if isinstance(resize, ResizeCv):
        return crop.height <= resize.height and crop.width <= resize.width
    if isinstance(resize.size, int):
        return resize.max_size is None and max(crop.height, crop.width) <= resize.size
    return crop.height <= resize.size[0] and crop.width <= resize.size[1]


def _resized_size(g: Builder, size: Value, step: Resize | ResizeTorch) -> Value:
    """Height and width after torchvision's `Resize` (`_compute_resized_output_size`).

    Its `int(a / b)` of integers is their integer quotient: below `2**52` a float64 quotient that is no
    integer is too far from the next one to be rounded to it. So engines without float64 get it right, too.
    """
    if not isinstance(step.size, int):
        return g.i64(step.size)
    short = g.op("ReduceMin", size, keepdims=1)
    sides = g.op("Div", g.op("Mul", size, g.i64(step.size)), short)
    if step.max_size is None:
        return sides
    # Too long: the long side becomes max_size, the short one int(max_size * size / long).
    long, limit = g.op("ReduceMax", sides, keepdims=1), g.i64(step.max_size)
    shrunk = g.op("Div", g.i64(step.max_size * step.size), long)
    limited = g.op("Where", g.op("Greater", sides, limit), limit, g.op("Max", shrunk, g.i64(1)))
    return g.op("Where", g.op("LessOrEqual", long, limit), sides, limited)


def _kept(g: Builder, size: Value, crop: CenterCrop | Crop) -> tuple[Value, Value]:
    """Start and count of what a crop keeps; Python's `round` is `Round`, half to even."""
    wanted = g.i64([crop.height, crop.width])
    if isinstance(crop, Crop):
        return g.i64([crop.top, crop.left]), wanted
    spare = g.cast(g.op("Sub", size, wanted), np.float64)
    start = g.cast(g.op("Round", g.op("Mul", spare, g.f64(0.5))), np.int64)
    return g.op("Max", start, g.i64(0)), g.op("Min", size, wanted)


def _padded_to(g: Builder, image: Picture, crop: CenterCrop | Crop) -> Picture:
    if isinstance(crop, Crop):
        return image  # it lies inside the image: analysis or the runtime has seen to that
    wanted = g.i64([crop.height, crop.width])
    return replace(image, data=pad_centred(g, image.data, image.size, wanted), size=wanted)


def _ecenter_crop(g: Builder, image: Picture, step: ECenterCrop) -> Picture:
    """ResNeSt's crop, then a bicubic resize.

    The crop is square to within one pixel of rounding, where both orders of passes agree: it needs no choice.
    """
    start, stop = ecenter_box(g, image.size, step.size)
    # Where Pillow would be left without a pixel, and refuse, one is kept.
    length = g.op("Max", g.op("Sub", stop, start), g.i64(1))
    target = g.i64([step.size, step.size])
    axes = Axes(origin=start, source=length, target=target, start=g.i64([0, 0]), count=target)
    return resize_as_pillow(g, image, axes, "bicubic", "horizontal-first")


def ecenter_box(g: Builder, size: Value, wanted: int) -> tuple[Value, Value]:
    """Return start and stop: `round((size - side) / 2)` and `round(start + side)`.

    `side` is `short * wanted / (wanted + 32)`, in Python a float64. Only where it is a multiple of 1/2 may a
    rounding be a tie, and there float64 is exact if it rounds the quotient of `wanted` by at most `2**-54` of
    itself, as for nearly every size. Then integers give the same, in engines without float64, too.
    """
    whole = wanted + _RESNEST_MARGIN
    short = g.op("ReduceMin", size, keepdims=1)
    share = wanted / whole
    if abs(Fraction(share) / Fraction(wanted, whole) - 1) <= Fraction(1, 1 << 54):
        side = g.op("Mul", short, g.i64(wanted))  # in units of 1 / whole
        spare = g.op("Sub", g.op("Mul", size, g.i64(whole)), side)
        start = _rounded_quotient(g, spare, 2 * whole)
        return start, _rounded_quotient(g, g.op("Add", g.op("Mul", start, g.i64(whole)), side), whole)
    exact = g.cast(size, np.float64)
    side = g.op("Mul", g.cast(short, np.float64), g.f64(share))
    start = g.op("Round", g.op("Mul", g.op("Sub", exact, side), g.f64(0.5)))
    stop = g.op("Round", g.op("Add", start, side))
    return g.cast(start, np.int64), g.cast(stop, np.int64)


def _rounded_quotient(g: Builder, value: Value, divisor: int) -> Value:
    """int64 `value / divisor` of what is not negative, rounded half to even, as Python's `round` does."""
    quotient = g.op("Div", value, g.i64(divisor))
    twice = g.op("Mul", g.op("Sub", value, g.op("Mul", quotient, g.i64(divisor))), g.i64(2))
    odd = g.op("Mod", quotient, g.i64(2))
    up = g.op("Greater", g.op("Add", twice, odd), g.i64(divisor))
    return g.op("Add", quotient, g.cast(up, np.int64))
