"""NV12 frames to RGB, in the fixed point of the runtime's `nv12` (BT.601: OpenCV's, on every pixel)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.builder import Builder, Declaration, Value
from zooc_runtime.preprocessing.nv12 import BITS, MATRICES, rgb_to_nv12

__all__ = ["as_image_input", "frame_input", "mark_source", "nv12_to_rgb"]

_SOURCE = "zooc.source"


def frame_input() -> Declaration:
    """Return the graph's input `image`: uint8 `[height * 3 / 2, width]`."""
    return ("image", np.uint8, ("height * 3 / 2", "width"))


def mark_source(prelude: onnx.ModelProto, source: str) -> None:
    """Record in the prelude's own metadata what kind of frames it takes."""
    prelude.metadata_props.add(key=_SOURCE, value=source)


def as_image_input(prelude: onnx.ModelProto, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What the prelude's `image` takes to see an image: itself, or the frame that a camera makes of RGB.

    An odd last row or column is doubled: frames have even sides.
    """
    source = next((prop.value for prop in prelude.metadata_props if prop.key == _SOURCE), None)
    if source is None:
        return image
    height, width = image.shape[:2]
    return rgb_to_nv12(np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"), source)


def nv12_to_rgb(g: Builder, frame: Value, source: str) -> tuple[Value, Value]:
    """Append the conversion; return uint8 `[H, W, 3]` RGB and its size, int64 `[2]`.

    Per 2 x 2 pixels chroma adds the same to each luma. Sums stay below `2**30`, and what is negative is
    clipped to 0 before the division, so that it need not round down.
    """
    matrix = MATRICES[source]
    shape = g.op("Shape", frame)
    size = g.op("Div", g.op("Mul", shape, g.i64([2, 1])), g.i64([3, 1]))
    height = g.op("Slice", size, g.i64([0]), g.i64([1]))
    luma = g.cast(g.op("Slice", frame, g.i64([0]), height, g.i64([0])), np.int32)
    luma = g.op("Max", g.op("Sub", luma, g.i32(16)), g.i32(0))
    luma = g.op("Add", g.op("Mul", luma, g.i32(matrix.luma)), g.i32(1 << (BITS - 1)))
    blocks = g.op("Div", size, g.i64(2))
    rows, columns = g.ops("Split", blocks, outputs=2, num_outputs=2)
    one, two, three = g.i64([1]), g.i64([2]), g.i64([3])
    luma = g.op("Reshape", luma, g.op("Concat", rows, two, columns, two, one, axis=0))
    chroma = g.op("Slice", frame, height, g.i64([2**62]), g.i64([0]))
    chroma = g.op("Reshape", chroma, g.op("Concat", rows, columns, two, axis=0))
    chroma = g.op("Sub", g.cast(chroma, np.int32), g.i32(128))
    colour = g.op("MatMul", chroma, g.constant([matrix.cb, matrix.cr], np.int32))
    colour = g.op("Reshape", colour, g.op("Concat", rows, one, columns, one, three, axis=0))
    pixels = g.op("Clip", g.op("Add", luma, colour), g.i32(0), g.i32(255 << BITS))
    pixels = g.cast(g.op("Div", pixels, g.i32(1 << BITS)), np.uint8)
    return g.op("Reshape", pixels, g.op("Concat", size, three, axis=0)), size
