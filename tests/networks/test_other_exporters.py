"""Networks as other exporters write them compile, and answer what the file answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image

from zooc.compilation import Request
from zooc.diagnostics.diagnostic import ZoocError
from zooc.frontend.semantics.analyze import load_deployment
from zooc.pipeline.compile import compile_graph
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import sqnr_db

SIDE, CLASSES = 24, 6
UNIT = "ToTensor() Normalize(mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.25])"
MEAN, STD = np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.3, 0.25])


@dataclass
class Net:
    """A network under construction, weights drawn from one seed."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    random: Any = field(default_factory=lambda: np.random.default_rng(0))

    def const(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        name = out or f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [name], name=f"n{len(self.nodes)}", **attributes)
        )
        return name

    def store_as(self, dtype: Any) -> None:
        for tensor in self.constants:
            values = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    def conv(self, x: str, ins: int, outs: int, k: int = 3, group: int = 1, **options: Any) -> str:
        number = len(self.nodes)
        scale = np.sqrt(2 / (k * k * ins / group))
        weight = self.random.normal(0, scale, (outs, ins // group, k, k))
        stored = self.const(f"w{number}", weight), self.const(f"b{number}", self.random.normal(0, 0.1, outs))
        pads = options.pop("pads", [k // 2] * 4)
        return self.op("Conv", x, *stored, group=group, kernel_shape=[k, k], pads=pads, **options)

    def tail(self, x: str, channels: int, out: str = "scores") -> str:
        pooled = self.op("Flatten", self.op("GlobalAveragePool", x), axis=1)
        weight = self.const("fc.w", self.random.normal(0, 1, (channels, CLASSES)))
        return self.op("Gemm", pooled, weight, self.const("fc.b", np.zeros(CLASSES)), out=out)

    def body(self, x: str, out: str = "scores") -> str:
        x = self.op("Relu", self.conv(x, 3, 8))
        return self.tail(self.op("Relu", self.conv(x, 8, 16, strides=[2, 2])), 16, out)

    def model(self, shape: Any = ("n", 3, SIDE, SIDE), dtype: int = TensorProto.FLOAT, **more: Any) -> Any:
        inputs = [helper.make_tensor_value_info("image_in", dtype, shape), *more.get("inputs", ())]
        outputs = more.get("outputs") or [scores()]
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.constants)
        opset = [helper.make_opsetid("", more.get("opset", 17))]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.checker.check_model(model)
        return model


def scores(name: str = "scores", dtype: int = TensorProto.FLOAT, dims: Any = ("n", CLASSES)) -> Any:
    return helper.make_tensor_value_info(name, dtype, dims)


@dataclass(frozen=True)
class Case:
    """A file, how the description speaks of it, and how the file itself is fed from uint8 RGB."""

    model: Any
    feed: Callable[[np.ndarray], dict[str, np.ndarray]]
    preprocess: str = UNIT
    statements: str = ""
    tolerance: float = 1e-4
    output: str = "scores"
    reference: bool = False


def unit(image: np.ndarray) -> np.ndarray:
    """float32 `[1, 24, 24, 3]`, normalized."""
    return (((image.astype(np.float32) / 255) - MEAN) / STD)[None]


def first(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def plain() -> Case:
    net = Net()
    net.body("image_in")
    return Case(net.model(), lambda image: {"image_in": first(unit(image))})


def tensorflow() -> Case:
    """tf2onnx: channels last, transposed at once."""
    net = Net()
    net.body(net.op("Transpose", "image_in", perm=[0, 3, 1, 2]))
    return Case(net.model(("n", SIDE, SIDE, 3)), lambda image: {"image_in": unit(image)})


def tensorflow_uint8() -> Case:
    """Keras with its Rescaling and Normalization inside: uint8, channels last until after them."""
    net = Net()
    x = net.op("Cast", "image_in", to=TensorProto.FLOAT)
    x = net.op("Mul", x, net.const("rescale", 1 / 255))
    x = net.op("Div", net.op("Sub", x, net.const("mean", MEAN)), net.const("std", STD))
    x = net.op("Pad", x, net.const("pads", [0, 1, 1, 0, 0, 1, 1, 0], np.int64))
    x = net.op("Transpose", x, perm=[0, 3, 1, 2])
    x = net.op("Relu", net.conv(x, 3, 8, pads=[0] * 4, strides=[2, 2]))
    net.tail(x, 8)
    shape = ("n", SIDE, SIDE, 3)
    return Case(net.model(shape, TensorProto.UINT8), lambda image: {"image_in": image[None]}, "PILToTensor()")


def uint8_inside() -> Case:
    net = Net()
    x = net.op("Cast", "image_in", to=TensorProto.FLOAT)
    x = net.op("Sub", x, net.const("mean", 255 * MEAN.reshape(1, 3, 1, 1)))
    net.body(net.op("Mul", x, net.const("scale", 1 / (255 * STD.reshape(1, 3, 1, 1)))))
    planes = lambda image: {"image_in": first(image[None])}  # noqa: E731
    return Case(net.model(dtype=TensorProto.UINT8), planes, "PILToTensor()")


def half(io: str) -> Case:
    net = Net()
    x = "image_in" if io == "half" else net.op("Cast", "image_in", to=TensorProto.FLOAT16)
    net.body(x, "scores" if io == "half" else "half_scores")
    if io != "half":
        net.op("Cast", "half_scores", to=TensorProto.FLOAT, out="scores")
    for tensor in net.constants:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    dtype = TensorProto.FLOAT16 if io == "half" else TensorProto.FLOAT
    given = np.float16 if io == "half" else np.float32
    model = net.model(dtype=dtype, outputs=[scores(dtype=dtype)])
    return Case(model, lambda image: {"image_in": first(unit(image)).astype(given)}, tolerance=5e-3)


def double() -> Case:
    net = Net()
    net.body("image_in")
    for tensor in net.constants:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
        )
    model = net.model(dtype=TensorProto.DOUBLE, outputs=[scores(dtype=TensorProto.DOUBLE)])
    return Case(model, lambda image: {"image_in": first(unit(image)).astype(np.float64)}, reference=True)


def class_id_beside() -> Case:
    """Probabilities and their ArgMax, and an input that nothing reads."""
    net = Net()
    net.op("Softmax", net.body("image_in", "raw"), axis=1, out="scores")
    net.op("ArgMax", "scores", axis=1, keepdims=0, out="class_id")
    model = net.model(
        inputs=[helper.make_tensor_value_info("training", TensorProto.BOOL, [1])],
        outputs=[scores("class_id", TensorProto.INT64, ["n"]), scores()],
    )
    feed = lambda image: {"image_in": first(unit(image)), "training": np.zeros(1, np.bool_)}  # noqa: E731
    return Case(model, feed)


def two_heads() -> Case:
    net = Net()
    net.body("image_in")
    net.op("Relu", "scores", out="other")
    model = net.model(outputs=[scores("other"), scores()])
    return Case(model, lambda image: {"image_in": first(unit(image))}, statements='output "scores"')


def paddle(spelt_out: bool = True) -> Case:
    """Paddle2ONNX: hard-swish, hard-sigmoid and BatchNorm spelt out, numbers in Constant nodes."""
    net = Net()

    def number(value: Any) -> str:
        name = f"c{len(net.nodes)}"
        tensor = numpy_helper.from_array(np.asarray(value, np.float32))
        net.nodes.append(helper.make_node("Constant", [], [name], name=f"n{len(net.nodes)}", value=tensor))
        return name

    def norm(x: str, channels: int) -> str:
        shape = (1, channels, 1, 1)
        scaled = net.op("Mul", x, net.const(f"g{len(net.nodes)}", net.random.uniform(0.5, 1.5, shape)))
        return net.op("Add", scaled, net.const(f"h{len(net.nodes)}", net.random.normal(0, 0.1, shape)))

    def hard_sigmoid(x: str) -> str:
        if not spelt_out:
            return net.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
        gate = net.op("Clip", net.op("Add", x, number(3.0)), number(0.0), number(6.0))
        return net.op("Div", gate, number(6.0))

    def hard_swish(x: str) -> str:
        if not spelt_out:
            return net.op("HardSwish", x)
        gate = net.op("Clip", net.op("Add", x, number(3.0)), number(0.0), number(6.0))
        return net.op("Div", net.op("Mul", x, gate), number(6.0))

    x = hard_swish(norm(net.conv("image_in", 3, 8), 8))
    x = hard_swish(norm(net.conv(x, 8, 8, group=8), 8))
    squeezed = net.op("Relu", net.conv(net.op("GlobalAveragePool", x), 8, 4, k=1))
    x = net.op("Mul", x, hard_sigmoid(net.conv(squeezed, 4, 8, k=1)))
    net.tail(hard_swish(norm(net.conv(x, 8, 16, k=1), 16)), 16)
    return Case(net.model(), lambda image: {"image_in": first(unit(image))})


def same_padding(spelt_out: bool = True) -> Case:
    """TF-"SAME" as torch's legacy exporter writes it: a Pad before every convolution and pool."""
    net = Net()

    def pad(x: str) -> str:
        if not spelt_out:
            return x
        pads = net.const(f"pads{len(net.nodes)}", [0, 0, 0, 0, 0, 0, 1, 1], np.int64)
        return net.op("Pad", x, pads, net.const(f"zero{len(net.nodes)}", 0.0), mode="constant")

    pads = [0, 0, 0, 0] if spelt_out else [0, 0, 1, 1]
    x = net.op("Relu", net.conv(pad("image_in"), 3, 8, pads=pads, strides=[2, 2]))
    low, high = net.const("low", 0.0), net.const("high", 6.0)
    x = net.op("Min", net.op("Max", net.conv(pad(x), 8, 8, group=8, pads=pads, strides=[2, 2]), low), high)
    x = net.op("MaxPool", pad(x), kernel_shape=[3, 3], strides=[2, 2], pads=pads)
    net.tail(net.op("Relu", net.conv(x, 8, 16)), 16)
    return Case(net.model(), lambda image: {"image_in": first(unit(image))})


CASES = {
    "plain": plain,
    "tensorflow": tensorflow,
    "tensorflow_uint8": tensorflow_uint8,
    "uint8_inside": uint8_inside,
    "half": lambda: half("half"),
    "half_inside": lambda: half("float"),
    "double": double,
    "class_id_beside": class_id_beside,
    "two_heads": two_heads,
    "paddle": paddle,
    "same_padding": same_padding,
}


TWINS = {"paddle": lambda: paddle(False), "same_padding": lambda: same_padding(False)}
"""The same network as torch's exporter writes it; of the others it is `plain`."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(1)
    found = []
    for number in range(12):
        coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        picture = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.png")
        found.append(np.asarray(picture))
    found.append(folder)  # type: ignore[arg-type]
    return found


def compiled(case: Case, folder: Path, images: list[Any], quantize: str) -> Any:
    onnx.save(case.model, folder / "net.onnx")
    text = f"""
model {{ source onnx("net.onnx") {case.statements} }}
preprocess {{ Resize([{SIDE}, {SIDE}]) {case.preprocess} }}
quantize {quantize}
package {{ name net }}
"""
    (folder / "net.zoo").write_text(text.replace("IMAGES", str(images[-1])), encoding="utf-8")
    return compile_graph(Request(folder / "net.zoo"), Context(Cache(None), Progress()))


def answers(model: bytes, images: list[Any]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": image})[0] for image in images[:-1]])


def wanted(case: Case, images: list[Any]) -> np.ndarray:
    if case.reference:
        evaluator: Any = ReferenceEvaluator(case.model)
    else:
        content = case.model.SerializeToString()
        evaluator = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    runs = [evaluator.run([case.output], case.feed(image))[0] for image in images[:-1]]
    return np.concatenate(runs).astype(np.float32)


@pytest.mark.parametrize("name", list(CASES))
def test_fp32_answers_what_the_file_answers(name: str, tmp_path: Path, images: list[Any]) -> None:
    case = CASES[name]()
    got, expected = answers(compiled(case, tmp_path, images, "fp32").model, images), wanted(case, images)
    assert np.abs(got - expected).max() <= case.tolerance * np.abs(expected).max()


@pytest.mark.parametrize("name", [name for name in CASES if name != "plain"])
def test_int8_is_as_exact_as_that_of_a_plain_network(name: str, tmp_path: Path, images: list[Any]) -> None:
    case = CASES[name]()
    done = compiled(case, tmp_path, images, 'int8 { data images("IMAGES") calibrate max }')
    (tmp_path / "plain").mkdir()
    plainer = TWINS.get(name, plain)()
    twin = compiled(plainer, tmp_path / "plain", images, 'int8 { data images("IMAGES") calibrate max }')
    own = sqnr_db(wanted(case, images), answers(done.model, images))
    usual = sqnr_db(wanted(plainer, images), answers(twin.model, images))
    assert own > usual - 3
    assert done.quantized.float_kinds() == [] or name == "class_id_beside"  # its Softmax


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow_uint8", "paddle", "same_padding"])
def test_nothing_of_the_exporters_spelling_is_left(name: str, tmp_path: Path, images: list[Any]) -> None:
    body = compiled(CASES[name](), tmp_path, images, "fp32").program.body
    left = Counter(node.op_type for node in body.graph.node)
    assert not set(left) & {"Transpose", "Div", "Clip", "Min", "Max", "Sub", "Constant"} - {"Clip"}
    assert left["Pad"] <= 1  # the constant channel of the folded normalization
    assert left["Clip"] <= (name == "same_padding")


def refused(model: Any, folder: Path, statements: str = "", blocks: str = "") -> Any:
    onnx.save(model, folder / "net.onnx")
    text = f'model {{ source onnx("net.onnx") {statements} }}\n{blocks}\npackage {{ name net }}\n'
    (folder / "net.zoo").write_text(text, encoding="utf-8")
    with pytest.raises(ZoocError) as caught:
        compile_graph(Request(folder / "net.zoo"), Context(Cache(None), Progress()))
    return caught.value.diagnostics[0]


def test_an_output_that_is_not_there_is_refused_with_a_near_name(tmp_path: Path) -> None:
    found = refused(two_heads().model, tmp_path, 'output "score"')
    assert found.code == "Z0214" and "scores" in found.hint


def test_two_outputs_of_floats_are_a_question_and_not_a_guess(tmp_path: Path) -> None:
    found = refused(two_heads().model, tmp_path)
    assert found.code == "Z0214" and 'output "other"' in found.hint


def test_a_layout_that_cannot_be_told_is_a_question(tmp_path: Path) -> None:
    net = Net()
    net.body(net.op("Transpose", "image_in", perm=[0, 3, 1, 2]))
    found = refused(net.model(("n", 3, 3, 3)), tmp_path)
    assert found.code == "Z0213" and "layout nhwc" in found.hint


def test_a_layout_that_is_told_counts(tmp_path: Path, images: list[Any]) -> None:
    case = tensorflow()
    told = Case(case.model, case.feed, statements="layout nhwc")
    assert compiled(told, tmp_path, images, "fp32").facts.channels == 3
    assert refused(case.model, tmp_path, "layout nchw", f"preprocess {{ Resize([24, 24]) {UNIT} }}")


@pytest.mark.parametrize("statement", ["layout nhwc", 'output "fc"'])
def test_only_files_have_a_layout_and_outputs(statement: str, tmp_path: Path) -> None:
    text = f"model {{ source timm.resnet18  weights random(seed=0)  input [batch, 3, 64, 64] {statement} }}\n"
    (tmp_path / "net.zoo").write_text(text + "package { name net }\n", encoding="utf-8")
    deployment, diagnostics = load_deployment(tmp_path / "net.zoo")
    assert deployment is None
    assert [diagnostic.code for diagnostic in diagnostics] == ["Z0124"]


def test_softmax_over_one_class_is_refused(tmp_path: Path) -> None:
    net = Net()
    pooled = net.op("Flatten", net.op("GlobalAveragePool", net.conv("image_in", 3, 8)), axis=1)
    net.op("MatMul", pooled, net.const("w", np.ones((8, 1))), out="scores")
    model = net.model(outputs=[scores(dims=("n", 1))])
    found = refused(model, tmp_path, blocks="postprocess { softmax }")
    assert found.code == "Z0506"


@pytest.mark.parametrize(
    ("labels", "code"), [("imagenet1k(background=first)", None), ("imagenet1k", "Z0504")]
)
def test_tensorflows_1001_classes_have_labels(labels: str, code: str | None, tmp_path: Path) -> None:
    net = Net()
    pooled = net.op("Flatten", net.op("GlobalAveragePool", net.conv("image_in", 3, 8)), axis=1)
    net.op("MatMul", pooled, net.const("w", np.ones((8, 1001))), out="scores")
    onnx.save(net.model(outputs=[scores(dims=("n", 1001))]), tmp_path / "net.onnx")
    text = f'model {{ source onnx("net.onnx") }}\npostprocess {{ labels {labels} }}\npackage {{ name net }}\n'
    (tmp_path / "net.zoo").write_text(text, encoding="utf-8")
    if code is None:
        done = compile_graph(Request(tmp_path / "net.zoo"), Context(Cache(None), Progress()))
        assert done.deployment.heads[0].labels is not None
        assert done.deployment.heads[0].labels.names[:2] == ("background", "tench")
        return
    with pytest.raises(ZoocError) as caught:
        compile_graph(Request(tmp_path / "net.zoo"), Context(Cache(None), Progress()))
    assert caught.value.diagnostics[0].code == code
    assert "background=first" in (caught.value.diagnostics[0].hint or "")
