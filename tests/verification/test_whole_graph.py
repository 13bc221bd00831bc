"""Whatever prelude stands before whatever body: the whole graph answers what its stages answer, to the bit.

At every optimization level of ONNX Runtime, whose optimizer works across the border of two stages. Freed
memory is overwritten meanwhile, so that an optimizer that reads it crashes here and not at a user's.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from zooc.deployment import Normalize, Preprocess
from zooc.diagnostics.diagnostic import ZoocError
from zooc.ir.builder import OPSET, Builder, Value
from zooc.ir.stages import assemble, build_postlude
from zooc.preprocessing.nv12 import as_image_input
from zooc.preprocessing.prelude import build_prelude
from zooc.verification.whole_graph import check_whole
from zooc_runtime.package.heads import Head
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Crop,
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

SIDE, CLASSES = 20, 5
HEADS = (Head(CLASSES, activation="softmax"),)
RNG = np.random.default_rng(0)

Operators = Callable[[Builder, Value], Value]


def _weights(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


FIRST: dict[str, Operators] = {
    "Conv": lambda g, x: g.op("Conv", x, g.f32(_weights(4, 3, 3, 3))),
    "Conv, padded": lambda g, x: g.op("Conv", x, g.f32(_weights(4, 3, 3, 3)), pads=[1, 1, 1, 1]),
    "Conv, residual": lambda g, x: g.op(
        "Relu", g.op("Add", g.op("Conv", x, g.f32(_weights(3, 3, 3, 3)), pads=[1] * 4), x)
    ),
    "Conv, residual of a Conv": lambda g, x: g.op(
        "Relu",
        g.op(
            "Add",
            g.op("Conv", x, g.f32(_weights(8, 3, 3, 3)), pads=[1] * 4),
            g.op("Conv", x, g.f32(_weights(8, 3, 1, 1))),
        ),
    ),
    "Conv, grouped": lambda g, x: g.op("Conv", x, g.f32(_weights(3, 1, 3, 3)), group=3, pads=[1] * 4),
    "ConvTranspose": lambda g, x: g.op("ConvTranspose", x, g.f32(_weights(3, 4, 2, 2)), strides=[2, 2]),
    "Pad": lambda g, x: g.op("Pad", x, g.i64([0, 0, 1, 1, 0, 0, 1, 2]), g.f32(1.0)),
    "Pad, one channel more": lambda g, x: g.op("Pad", x, g.i64([0, 0, 0, 0, 0, 1, 0, 0]), g.f32(255.0)),
    "Pad, edge": lambda g, x: g.op("Pad", x, g.i64([0, 0, 1, 1, 0, 0, 1, 2]), mode="edge"),
    "Transpose": lambda g, x: g.op("Transpose", x, perm=[0, 2, 3, 1]),
    "Transpose, Pad": lambda g, x: g.op(
        "Pad", g.op("Transpose", x, perm=[0, 2, 3, 1]), g.i64([0, 0, 0, 0, 0, 0, 0, 1]), g.f32(1.0)
    ),
    "MaxPool": lambda g, x: g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]),
    "AveragePool": lambda g, x: g.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
    "GlobalAveragePool": lambda g, x: g.op("GlobalAveragePool", x),
    "MatMul": lambda g, x: g.op("MatMul", x, g.f32(_weights(SIDE, 7))),
    "Flatten, MatMul": lambda g, x: g.op("MatMul", g.op("Flatten", x), g.f32(_weights(3 * SIDE * SIDE, 7))),
    "patches": lambda g, x: g.op(
        "MatMul",
        g.op("Transpose", g.op("Reshape", x, g.i64([0, 3, 5, 4, 5, 4])), perm=[0, 2, 4, 1, 3, 5]),
        g.f32(_weights(4, 7)),
    ),
    "Slice": lambda g, x: g.op("Slice", x, g.i64([-1]), g.i64([-9]), g.i64([-1]), g.i64([-1])),
    "space to depth": lambda g, x: g.op(
        "Concat",
        *[
            g.op("Slice", x, g.i64([a, b]), g.i64([2**62] * 2), g.i64([2, 3]), g.i64([2, 2]))
            for a in (0, 1)
            for b in (0, 1)
        ],
        axis=1,
    ),
    "Split": lambda g, x: g.op("Concat", *g.ops("Split", x, g.i64([1, 2]), outputs=2, axis=-3), axis=-3),
    "Gather": lambda g, x: g.op("Gather", x, g.i64([2, 1, 0]), axis=1),
    "ReduceMean": lambda g, x: g.op("ReduceMean", x, g.i64([2, 3]), keepdims=0),
    "ReduceMax": lambda g, x: g.op("ReduceMax", x, g.i64([1]), keepdims=0),
    "Resize": lambda g, x: g.op("Resize", x, "", "", g.i64([13, 17]), axes=[2, 3], mode="linear"),
    "BatchNormalization": lambda g, x: g.op(
        "BatchNormalization", x, *[g.f32(np.abs(_weights(3)) + 0.1) for _ in range(4)]
    ),
    "InstanceNormalization": lambda g, x: g.op(
        "InstanceNormalization", x, g.f32(_weights(3)), g.f32(_weights(3))
    ),
    "LayerNormalization": lambda g, x: g.op("LayerNormalization", x, g.f32(_weights(SIDE)), axis=-1),
    "Softmax": lambda g, x: g.op("Softmax", x, axis=1),
    "Add": lambda g, x: g.op("Add", x, g.f32(_weights(3, 1, 1))),
    "Mul": lambda g, x: g.op("Mul", x, g.f32(_weights(SIDE))),
    "PRelu": lambda g, x: g.op("PRelu", g.op("Sub", x, g.f32(99.0)), g.f32(_weights(3, 1, 1))),
    "Unsqueeze": lambda g, x: g.op("Unsqueeze", x, g.i64([2, 4])),
    "Tile": lambda g, x: g.op("Tile", x, g.i64([1, 2, 1, 3])),
    "CumSum": lambda g, x: g.op("CumSum", x, g.i64(1)),
    "computed Reshape": lambda g, x: g.op(
        "Reshape", x, g.op("Concat", g.op("Shape", x, start=0, end=1), g.i64([-1, SIDE]), axis=0)
    ),
}
"""From float32 `[batch, 3, SIDE, SIDE]`."""


def _transposed(g: Builder, value: Value, channels: int) -> Value:
    return g.op("Softmax", g.op("Transpose", value, perm=[0, 2, 3, 1]), axis=2)


def _integer(g: Builder, value: Value, channels: int) -> Value:
    """A convolution between QuantizeLinear and DequantizeLinear, which engines compute in NHWC."""

    def rounded(v: Value, scale: float, zero: int) -> Value:
        parameters = g.f32(scale), g.constant(zero, np.uint8)
        return g.op("DequantizeLinear", g.op("QuantizeLinear", v, *parameters), *parameters)

    levels = np.random.default_rng(1).integers(-60, 60, (8, channels, 1, 1))
    weight = g.op("DequantizeLinear", g.constant(levels, np.int8), g.f32(0.01), g.constant(0, np.int8))
    return rounded(g.op("Conv", rounded(value, 1.3, 3), weight), 2.0, 100)


NEXT: dict[str, Callable[[Builder, Value, int], Value]] = {
    "nothing": lambda g, value, channels: value,
    "Transpose": _transposed,
    "integer Conv": _integer,
}
"""What follows a first operator of four dimensions, channels second."""

LAST: dict[str, Operators] = {
    "MatMul": lambda g, x: g.op("MatMul", x, g.f32(_weights(1, CLASSES)), out="logits"),
    "Gemm": lambda g, x: g.op(
        "Gemm", x, g.f32(_weights(CLASSES, 1)), g.f32(_weights(CLASSES)), transB=1, out="logits"
    ),
    "Mul": lambda g, x: g.op("Mul", g.op("MatMul", x, g.f32(_weights(1, CLASSES))), g.f32(1.7), out="logits"),
    "LogSoftmax": lambda g, x: g.op(
        "LogSoftmax", g.op("MatMul", x, g.f32(_weights(1, CLASSES))), out="logits"
    ),
    "Transpose": lambda g, x: g.op(
        "Transpose",
        g.op("MatMul", g.f32(_weights(CLASSES, 1)), g.op("Transpose", x, perm=[1, 0])),
        perm=[1, 0],
        out="logits",
    ),
}
"""From float32 `[batch, 1]`."""


def small_body(first: Operators, then: str = "nothing", last: str = "MatMul") -> onnx.ModelProto:
    """`pixels` -> Cast -> `first` -> `then` -> mean -> `last` -> `logits`."""
    g = Builder()
    value = first(g, g.cast("pixels", np.float32))
    shape = _shape_of(g, value)
    if len(shape) == 4:
        value = NEXT[then](g, value, shape[1])
    mean = g.op("ReduceMean", g.op("Flatten", value, axis=1), g.i64([1]), keepdims=1)
    LAST[last](g, mean)
    return _model(g, "logits", ["batch", CLASSES])


def _shape_of(g: Builder, value: Value) -> tuple[int, ...]:
    session = onnxruntime.InferenceSession(_model(g, value, None).SerializeToString())
    shape: tuple[int, ...] = session.run(None, {"pixels": np.zeros((1, 3, SIDE, SIDE), np.uint8)})[0].shape
    return shape


def _model(g: Builder, output: Value, shape: list[str | int] | None) -> onnx.ModelProto:
    graph = helper.make_graph(
        g.nodes,
        "body",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        g.initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


STEPS: tuple[tuple[Step, ...], ...] = (
    (ECenterCrop(SIDE),),
    (Resize(24, "bilinear"), CenterCrop(SIDE, SIDE)),
    (Resize((SIDE, SIDE), "nearest"),),
    (Crop(1, 2, SIDE, SIDE),),
    (CenterCrop(SIDE, SIDE),),
    (CenterCrop(16, 16), Pad(2, 2, 2, 2, (0, 9, 0), "constant")),
    (CenterCrop(16, 16), Pad(2, 2, 2, 2, (0, 0, 0), "reflect")),
    (ResizeCv(SIDE, SIDE),),
    (ResizeTorch(SIDE + 4), CenterCrop(SIDE, SIDE)),
    (ResizeTorch((SIDE, SIDE), "bicubic", antialias=False),),
    (Letterbox(SIDE, SIDE, "bilinear", (114, 114, 114)),),
    (Resize((SIDE, SIDE), "bilinear"), Grayscale(3)),
    (Grayscale(3), Resize((SIDE, SIDE), "bilinear")),
)

PRELUDES = st.builds(
    lambda steps, swap, source: Preprocess(steps + ((SwapChannels(),) if swap else ()), Normalize(), source),
    st.sampled_from(STEPS),
    st.booleans(),
    st.sampled_from(["rgb", "rgb", "nv12-bt601"]),
)
LEVELS = [
    level for name, level in vars(onnxruntime.GraphOptimizationLevel).items() if name.startswith("ORT_")
]
STAGES = {
    "prelude": {"input": "image", "output": "pixels"},
    "body": {"input": "pixels", "output": "logits"},
    "postlude": {"input": "logits", "output": "probabilities"},
}


@pytest.fixture(scope="module", autouse=True)
def _overwrite_freed_memory():  # type: ignore[no-untyped-def]
    """glibc's M_PERTURB (mallopt(3)), for this module."""
    if not sys.platform.startswith("linux"):
        yield
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(-6, 165)
    yield
    mallopt(-6, 0)


def answer(
    model: onnx.ModelProto, level: onnxruntime.GraphOptimizationLevel, given: np.ndarray
) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: given})[0]
    return result


@given(
    PRELUDES,
    st.sampled_from(sorted(FIRST)),
    st.sampled_from(sorted(NEXT)),
    st.sampled_from(sorted(LAST)),
    st.booleans(),
    st.tuples(st.integers(22, 40), st.integers(22, 40)),
)
@settings(max_examples=120, deadline=None)
def test_the_whole_equals_its_stages(preprocess, first, then, last, softmax, size) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    prelude = build_prelude(preprocess, SIDE, SIDE, "pillow-13")
    stages = [prelude, small_body(FIRST[first], then, last)]
    if softmax:
        stages.append(build_postlude(HEADS))
    whole = assemble(prelude, stages[1], stages[2] if softmax else None, HEADS)
    given = as_image_input(prelude, image)
    for level in LEVELS:
        wanted = given
        for stage in stages:
            wanted = answer(stage, level, wanted)
        np.testing.assert_array_equal(answer(whole, level, given), wanted, err_msg=str(level))


def in_the_old_form(prelude: onnx.ModelProto) -> onnx.ModelProto:
    """Ending in Transpose and Reshape, without what keeps an optimizer from working across the border."""
    old = onnx.ModelProto()
    old.CopyFrom(prelude)
    transpose, gather, reshape, *batch = old.graph.node[-5:]
    kinds = [node.op_type for node in (transpose, gather, reshape, *batch)]
    assert kinds == ["Transpose", "Gather", "Reshape", "Shape", "Slice"]
    reshape.input[0], reshape.output[0] = transpose.output[0], "pixels"
    for node in (gather, *batch):
        old.graph.node.remove(node)
    return old


@pytest.mark.parametrize(
    ("steps", "first", "then"),
    [
        (
            (ECenterCrop(SIDE),),
            lambda g, x: g.op("Pad", x, g.i64([0, 1]), g.f32(255.0), g.i64([1])),
            "integer Conv",
        ),
        ((ResizeCv(SIDE, SIDE),), FIRST["MatMul"], "nothing"),
    ],
    ids=["a Pad that names its axes", "a MatMul that a Transpose reaches"],
)
def test_the_old_constructions_are_found_wrong(steps, first, then) -> None:
    """ONNX Runtime 1.30 to 1.32 pads another axis in the first, and reads freed memory in the second."""
    preprocess = Preprocess(steps, Normalize())
    prelude = build_prelude(preprocess, SIDE, SIDE, "pillow-13")
    body = small_body(first, then)
    image = np.random.default_rng(1).integers(0, 256, (31, 27, 3), dtype=np.uint8)
    old = assemble(in_the_old_form(prelude), body, build_postlude(HEADS), HEADS).SerializeToString()
    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) not in {(1, 30), (1, 31), (1, 32)}:
        pytest.skip(f"not known to be wrong in ONNX Runtime {onnxruntime.__version__}")
    with pytest.raises(ZoocError) as refusal:
        check_whole(old, STAGES, None, [image])
    assert refusal.value.diagnostics[0].code == "Z0902"
    new = assemble(prelude, body, build_postlude(HEADS), HEADS).SerializeToString()
    check_whole(new, STAGES, None, [image])
