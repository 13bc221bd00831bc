"""`Letterbox`: the whole image, its sides' ratio kept, in the middle of a filled canvas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zooc.ir.builder import Builder
from zooc.preprocessing.opencv_resize import resize_as_opencv
from zooc.preprocessing.padding import pad_constant
from zooc.preprocessing.pillow_resize import Picture, ResampleOrder, resize_as_pillow
from zooc.preprocessing.resample import Axes
from zooc_runtime.preprocessing.steps import Letterbox

__all__ = ["letterbox"]


def letterbox(g: Builder, image: Picture, step: Letterbox, order: ResampleOrder) -> Picture:
    """Scale by the smaller ratio of the sides, to at least one pixel each, and pad.

    Sides are rounded half to even, as Python rounds. The odd row or column of the
    border lies below or on the right.
    """
    canvas, zeros = g.i64([step.height, step.width]), g.i64([0, 0])
    sides = g.cast(image.size, np.float64)
    ratio = g.op("ReduceMin", g.op("Div", g.f64([float(step.height), float(step.width)]), sides), keepdims=1)
    inner = g.cast(g.op("Round", g.op("Mul", sides, ratio)), np.int64)
    inner = g.op("Max", inner, g.i64(1))
    axes = Axes(origin=zeros, source=image.size, target=inner, start=zeros, count=inner)
    if step.interpolation == "bilinear_cv":
        data = resize_as_opencv(g, image.data, axes)
    else:
        data = resize_as_pillow(g, image, axes, step.interpolation, order).data
    missing = g.op("Sub", canvas, inner)
    before = g.op("Div", missing, g.i64(2))
    after = g.op("Sub", missing, before)
    data = pad_constant(g, data, before, after, image.colour(step.fill))
    return replace(image, data=data, size=canvas)
