"""One resize as Pillow makes it: both passes, in the order of Pillow's version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from zooc.ir.builder import Builder, Value
from zooc.preprocessing.resample import (
    Axes,
    bands,
    nearest_indices,
    resample_columns_then_rows,
    resample_rows,
)

__all__ = ["Picture", "ResampleOrder", "resample_order_of_pillow", "resize_as_pillow"]

ResampleOrder = Literal["horizontal-first", "pillow-13"]
"""Which pass Pillow makes first: up to 12 always the horizontal one; from 13 on the vertical one
exactly if the height shrinks, and by more than twice as many pixels as the width."""

_VERTICAL_FIRST_SINCE = 13


@dataclass(frozen=True)
class Picture:
    """The image between two steps: uint8 `[H, W, C]`, `size` int64 `[2]`, and a channel swap still to do."""

    data: Value
    size: Value
    swapped: bool = False
    channels: int = 3

    def colour(self, fill: tuple[int, int, int]) -> tuple[int, ...]:
        """Return a step's `fill`, which is RGB, in the data's own channels; of other than three it is one."""
        if self.channels != len(fill):
            return fill[:1]
        return fill[::-1] if self.swapped else fill


def resample_order_of_pillow(version: str) -> ResampleOrder:
    """Return the order of passes in Pillow `version` (`"13.0.0"`)."""
    major = int(version.partition(".")[0])
    return "pillow-13" if major >= _VERTICAL_FIRST_SINCE else "horizontal-first"


def resize_as_pillow(
    g: Builder, image: Picture, axes: Axes, interpolation: str, order: ResampleOrder
) -> Picture:
    """Return the outputs that `axes` wants of `image`, resized with one of Pillow's filters."""
    if interpolation == "nearest":
        data = g.op("Gather", image.data, nearest_indices(g, axes, 0), axis=0)
        data = g.op("Gather", data, nearest_indices(g, axes, 1), axis=1)
        return replace(image, data=data, size=axes.count)

    both = bands(g, axes, interpolation)
    needed = g.op("Slice", image.data, both.first, both.last, g.i64([0, 1]))

    def horizontal_first(b: Builder) -> Value:
        return resample_columns_then_rows(b, needed, both.of(b, 1), both.of(b, 0), image.channels)

    def vertical_first(b: Builder) -> Value:
        """Return [H, W, C] -> [h, C W] -> [W, C, h] -> [w, C h] -> [h, w, C]."""
        down = resample_rows(b, needed, both.of(b, 0))
        by_row = b.op("Reshape", down, b.op("Concat", b.i64([0]), b.op("Shape", needed, start=1), axis=0))
        across = resample_rows(b, b.op("Transpose", by_row, perm=[1, 2, 0]), both.of(b, 1))
        return b.op("Transpose", b.op("Reshape", across, b.i64([0, image.channels, -1])), perm=[2, 0, 1])

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
