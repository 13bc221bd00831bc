"""NV12 frames to RGB, in the fixed point of `zooc_runtime.nv12` (BT.601: OpenCV's, on every pixel)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from zooc.graph.builder import Builder, Value
from zooc_runtime.nv12 import BITS, MATRICES

__all__ = ["frame_input", "nv12_to_rgb"]


def frame_input() -> onnx.ValueInfoProto:
    """The graph's input `image`: uint8 `[height * 3 / 2, width]`."""
    return helper.make_tensor_value_info("image", TensorProto.UINT8, ["height * 3 / 2", "width"])


def nv12_to_rgb(g: Builder, frame: Value, source: str) -> tuple[Value, Value]:
    """uint8 `[H, W, 3]` RGB and its size, int64 `[2]`.

    Per 2 x 2 pixels chroma adds the same to each luma. Sums stay below `2**30`, and what is negative is
    clipped to 0 before the division, so that it need not round down.
    """
    matrix = MATRICES[source]
    shape = g.op("Shape", frame)
    size = g.op("Div", g.op("Mul", shape, g.i64([2, 1])), g.i64([3, 1]))
    height = g.op("Slice", size, g.i64([0]), g.i64([1]))
    luma = g.cast(g.op("Slice", frame, g.i64([0]), height, g.i64([0])), TensorProto.INT32)
    luma = g.op("Max", g.op("Sub", luma, g.i32(16)), g.i32(0))
    luma = g.op("Add", g.op("Mul", luma, g.i32(matrix.luma)), g.i32(1 << (BITS - 1)))
    blocks = g.op("Div", size, g.i64(2))
    rows, columns = g.ops("Split", blocks, outputs=2, num_outputs=2)
    one, two, three = g.i64([1]), g.i64([2]), g.i64([3])
    luma = g.op("Reshape", luma, g.op("Concat", rows, two, columns, two, one, axis=0))
    chroma = g.op("Slice", frame, height, g.i64([2**62]), g.i64([0]))
    chroma = g.op("Reshape", chroma, g.op("Concat", rows, columns, two, axis=0))
    chroma = g.op("Sub", g.cast(chroma, TensorProto.INT32), g.i32(128))
    colour = g.op("MatMul", chroma, g.constant([matrix.cb, matrix.cr], np.int32))
    colour = g.op("Reshape", colour, g.op("Concat", rows, one, columns, one, three, axis=0))
    pixels = g.op("Clip", g.op("Add", luma, colour), g.i32(0), g.i32((256 << BITS) - 1))
    pixels = g.cast(g.op("Div", pixels, g.i32(1 << BITS)), TensorProto.UINT8)
    return g.op("Reshape", pixels, g.op("Concat", size, three, axis=0)), size
