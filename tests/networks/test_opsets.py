"""One small network, written as every opset and IR version of the last years writes it, compiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from zooc.compilation import Request
from zooc.pipeline.compile import compile_graph
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import sqnr_db

SIDE, CLASSES = 24, 6
NEWEST = onnx.defs.onnx_opset_version()
OPSETS = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, *range(23, NEWEST + 1)]


class Writer:
    """Writes nodes in the form of one opset; weights come from one seed, whatever the opset."""

    def __init__(self, opset: int, constants_as_nodes: bool = False) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.constants_as_nodes = constants_as_nodes
        self.random = np.random.default_rng(0)

    def const(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.nodes)}_{len(self.constants)}"
        tensor = numpy_helper.from_array(np.asarray(values, dtype), name)
        if self.constants_as_nodes:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants.append(tensor)
        return name

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        name = out or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def given(self, kind: str, x: str, since: int, name: str, values: Any, **attributes: Any) -> str:
        """A node with integers that are an attribute before opset `since`, and an input from there on."""
        if self.opset < since:
            return self.op(kind, x, **{name: values}, **attributes)
        return self.op(kind, x, self.const(values, np.int64), **attributes)

    def conv(self, x: str, ins: int, outs: int, k: int = 3, group: int = 1, pad: int = 0) -> str:
        weight = self.random.normal(0, np.sqrt(2 / (k * k * ins / group)), (outs, ins // group, k, k))
        shift = self.random.normal(0, 0.1, outs)
        options = {"kernel_shape": [k, k], "pads": [pad] * 4, "group": group}
        return self.op("Conv", x, self.const(weight), self.const(shift), **options)

    def pad(self, x: str) -> str:
        pads = [0, 0, 1, 1, 0, 0, 1, 1]
        if self.opset < 11:
            return self.op("Pad", x, mode="constant", pads=pads, value=0.0)
        axes = [self.const([2, 3], np.int64)] if self.opset >= 18 else []
        pads = pads if not axes else [1, 1, 1, 1]
        return self.op("Pad", x, self.const(pads, np.int64), self.const(0.0), *axes)

    def batchnorm(self, x: str, channels: int) -> str:
        ranges = ((0.5, 1.5), (-0.2, 0.2), (-0.2, 0.2), (0.5, 1.5))
        stored = [self.const(self.random.uniform(*limits, channels)) for limits in ranges]
        old = {"spatial": 1} if self.opset < 9 else {}
        return self.op("BatchNormalization", x, *stored, epsilon=1e-3, **old)

    def relu6(self, x: str) -> str:
        if self.opset < 11:
            return self.op("Clip", x, min=0.0, max=6.0)
        return self.op("Clip", x, self.const(0.0), self.const(6.0))

    def dropout(self, x: str) -> str:
        if self.opset < 12:
            return self.op("Dropout", x, ratio=0.3)
        return self.op("Dropout", x, self.const(0.3), self.const(False, np.bool_))

    def halves(self, x: str, channels: int) -> list[str]:
        names = [f"{x}_left", f"{x}_right"]
        sizes = [channels // 2] * 2
        attributes: dict[str, Any] = {"axis": 1}
        inputs = [x]
        if self.opset < 13:
            attributes["split"] = sizes
        elif self.opset < 18:
            inputs.append(self.const(sizes, np.int64))
        else:
            attributes["num_outputs"] = 2
        self.nodes.append(helper.make_node("Split", inputs, names, name=f"n{len(self.nodes)}", **attributes))
        return names

    def crop(self, x: str) -> str:
        """Without the last column."""
        if self.opset < 10:
            return self.op("Slice", x, axes=[3], starts=[0], ends=[-1])
        return self.op("Slice", x, *(self.const([number], np.int64) for number in (0, -1, 3)))

    def hard_swish(self, x: str) -> str:
        if self.opset >= 14:
            return self.op("HardSwish", x)
        return self.op("Mul", x, self.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))

    def mish(self, x: str) -> str:
        if self.opset >= 18:
            return self.op("Mish", x)
        return self.op("Mul", x, self.op("Tanh", self.op("Softplus", x)))

    def enlarged(self, x: str) -> str:
        """Twice as high and as wide, by the nearest pixel."""
        scales = [1.0, 1.0, 2.0, 2.0]
        if self.opset < 9:
            return self.op("Upsample", x, mode="nearest", scales=scales)
        if self.opset < 11:
            return self.op("Upsample" if self.opset < 10 else "Resize", x, self.const(scales), mode="nearest")
        rules = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        region = self.const([]) if self.opset < 13 else ""  # of opset 11 and 12 it may not be left out
        return self.op("Resize", x, region, self.const(scales), mode="nearest", **rules)

    def network(self) -> None:
        x = self.relu6(self.batchnorm(self.conv(self.pad("image_in"), 3, 8), 8))
        x = self.op("MaxPool", self.dropout(x), kernel_shape=[2, 2], strides=[2, 2])
        left, right = self.halves(x, 8)
        x = self.op("Concat", self.op("Relu", self.conv(right, 4, 4, 1)), left, axis=1)
        x = self.hard_swish(self.batchnorm(self.conv(self.crop(x), 8, 8, group=8, pad=1), 8))
        x = self.mish(self.conv(self.op("AveragePool", x, kernel_shape=[2, 2]), 8, 8, 1))
        slope = self.const(self.random.uniform(0.1, 0.4, (8, 1, 1)))
        x = self.op("PRelu", self.conv(self.enlarged(x), 8, 8, pad=1), slope)
        squeezed = self.op("Relu", self.conv(self.op("GlobalAveragePool", x), 8, 4, 1))
        x = self.op("Mul", x, self.op("Sigmoid", self.conv(squeezed, 4, 8, 1)))
        x = self.given("ReduceMean", x, 18, "axes", [2, 3], keepdims=1)
        x = self.given("Squeeze", x, 13, "axes", [2, 3])
        x = self.given("Squeeze", self.given("Unsqueeze", x, 13, "axes", [2]), 13, "axes", [2])
        x = self.op("Flatten", x, axis=1)
        weight = self.const(self.random.normal(0, 1, (8, CLASSES)))
        self.op("Gemm", x, weight, self.const(np.zeros(CLASSES)), out="scores")


def network(opset: int, ir: int = 8, as_inputs: bool = False, constants_as_nodes: bool = False) -> Any:
    writer = Writer(opset, constants_as_nodes)
    writer.network()
    inputs = [helper.make_tensor_value_info("image_in", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])]
    if as_inputs:
        inputs += [helper.make_tensor_value_info(c.name, c.data_type, c.dims) for c in writer.constants]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])
    graph = helper.make_graph(writer.nodes, "net", inputs, [scores], writer.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(model)
    return model


def with_functions() -> Any:
    """Functions in functions, one with an attribute, as torch's exporter has them before it inlines them."""
    model = network(20)
    own = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    clamp = helper.make_node("Clip", ["x", "low", "high"], ["y"], name="clamp")
    double = helper.make_function("local", "Clamp", ["x", "low", "high"], ["y"], [clamp], own)
    mean = helper.make_node("ReduceMean", ["x", "axes"], ["mean"], name="mean")
    mean.attribute.append(onnx.AttributeProto(name="keepdims", type=2, ref_attr_name="keep"))
    inner = helper.make_node("Identity", ["mean"], ["y"])
    pool = helper.make_function("local", "Pool", ["x", "axes"], ["y"], [mean, inner], own, ["keep"])
    outer_node = helper.make_node("Pool", ["x", "axes"], ["y"], name="inside", domain="local", keep=1)
    outer = helper.make_function("local", "Head", ["x", "axes"], ["y"], [outer_node], own)
    model.functions.extend([double, pool, outer])
    model.opset_import.append(helper.make_opsetid("local", 1))
    kinds = {"Clip": "Clamp", "ReduceMean": "Head"}
    for node in model.graph.node:
        if node.op_type in kinds:
            node.op_type, node.domain = kinds[node.op_type], "local"
            del node.attribute[:]
    onnx.checker.check_model(model)
    return model


CASES: dict[str, Callable[[], Any]] = {
    **{f"opset {opset}": lambda opset=opset: network(opset) for opset in OPSETS},
    "IR 3, weights listed as inputs": lambda: network(7, ir=3, as_inputs=True),
    "IR 4, weights listed as inputs": lambda: network(11, ir=4, as_inputs=True),
    "the oldest, weights in Constant nodes": lambda: network(7, ir=3, constants_as_nodes=True),
    "weights in Constant nodes": lambda: network(17, constants_as_nodes=True),
    "IR 13": lambda: network(NEWEST, ir=13),
    "functions": with_functions,
}
"""By name: a model of the same network."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[np.ndarray]]:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(1)
    found = []
    for number in range(12):
        coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        picture = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.png")
        found.append(np.asarray(picture))
    return folder, found


def compiled(model: Any, folder: Path, quantize: str, **saving: Any) -> Any:
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / "net.onnx", **saving)
    text = f"""
model {{ source onnx("net.onnx") }}
preprocess {{ Resize([{SIDE}, {SIDE}]) ToTensor() }}
quantize {quantize}
package {{ name net }}
"""
    (folder / "net.zoo").write_text(text, encoding="utf-8")
    return compile_graph(Request(folder / "net.zoo"), Context(Cache(None), Progress()))


def answers(model: bytes, pictures: Sequence[np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": picture})[0] for picture in pictures])


def wanted(pictures: Sequence[np.ndarray]) -> np.ndarray:
    content = network(17).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    planes = [np.float32(picture).transpose(2, 0, 1)[None] / np.float32(255) for picture in pictures]
    return np.concatenate([session.run(None, {"image_in": image})[0] for image in planes])


def kinds(model: Any) -> list[str]:
    return sorted(node.op_type for node in model.graph.node)


@pytest.fixture(scope="module")
def usual(images: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[float, list[str]]:
    """The exactness in int8 of the form of opset 17, and the operators of its body in float32."""
    folder, pictures = images
    place = tmp_path_factory.mktemp("usual")
    done = compiled(network(17), place, f'int8 {{ data images("{folder}") calibrate max }}')
    body = compiled(network(17), place, "fp32").program.body
    return sqnr_db(wanted(pictures), answers(done.model, pictures)), kinds(body)


@pytest.mark.parametrize("name", list(CASES))
def test_it_answers_the_same_in_float32_and_int8(name: str, tmp_path: Path, images: Any, usual: Any) -> None:
    folder, pictures = images
    exactness, operators = usual
    expected, model = wanted(pictures), CASES[name]()
    plain = compiled(model, tmp_path, "fp32")
    assert kinds(plain.program.body) == operators
    assert np.abs(answers(plain.model, pictures) - expected).max() <= 1e-4 * np.abs(expected).max()
    int8 = compiled(model, tmp_path, f'int8 {{ data images("{folder}") calibrate max }}')
    assert sqnr_db(expected, answers(int8.model, pictures)) > exactness - 1


def test_weights_in_a_file_beside_it(tmp_path: Path, images: Any, usual: Any) -> None:
    folder, pictures = images
    saving = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0}
    done = compiled(network(13), tmp_path, f'int8 {{ data images("{folder}") calibrate max }}', **saving)
    assert (tmp_path / "net.data").stat().st_size > 1000
    assert sqnr_db(wanted(pictures), answers(done.model, pictures)) > usual[0] - 1
