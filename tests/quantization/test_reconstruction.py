"""Reconstruction: blocks, their operators in torch, and what is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from zooc.deployment import CalibrationMethod, Quantize
from zooc.ir.graph import read_graph
from zooc.ir.interface import set_batch
from zooc.quantization.corrections.bias import correct_biases
from zooc.quantization.corrections.reconstruction import reconstruct as driver
from zooc.quantization.corrections.reconstruction.blocks import blocks_of
from zooc.quantization.corrections.reconstruction.reconstruct import reconstruct
from zooc.quantization.saturation import saturation_json
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import sqnr_db

torch = pytest.importorskip("torch")
operators = pytest.importorskip("zooc.quantization.corrections.reconstruction.operators")

pytestmark = pytest.mark.slow

COARSE = Quantize(dtype="int8", calibrate=CalibrationMethod("max"), weights="per_tensor")


def residual(n: Any) -> Any:
    """Two residual units."""
    x = n.add("Relu", n.conv(n.begin(), 3, 16, name="stem"))
    for unit in "ab":
        y = n.add("Relu", n.conv(x, 16, 16, name=f"{unit}1"))
        y = n.add("Relu", n.conv(y, 16, 16, groups=16, name=f"{unit}2"))
        y = n.conv(y, 16, 16, k=1, name=f"{unit}3")
        x = n.add("Relu", n.add("Add", x, y, name=f"{unit}_add"), name=f"{unit}_out")
    n.head(x, 16)
    return coarse(n)


def coarse(n: Any) -> Any:
    """With one scale for all weights of a layer, a few large ones leave the others three bits."""
    for name, values in n.weights.items():
        if name.endswith(".weight"):
            values.reshape(-1)[:3] *= 40
    return n


def squeeze_excite(n: Any) -> Any:
    """A gate, hard-swish, a class-wise pad: what mobile networks have."""
    x = n.add("HardSwish", n.conv(n.begin(mask=True), 4, 16, name="stem"))
    gate = n.conv(n.add("GlobalAveragePool", x), 16, 16, k=1, name="gate")
    x = n.add("Mul", x, n.add("HardSigmoid", gate, alpha=1 / 6))
    n.head(n.add("Relu", n.conv(x, 16, 16, name="last")), 16)
    return coarse(n)


def learned(
    body: onnx.ModelProto, quantized: Any, images: np.ndarray, options: Quantize = COARSE, **how: Any
):
    """The int8 body before and after."""
    batches = [images[i : i + 1] for i in range(len(images))]
    model = quantized(body, images, options).model
    correct_biases(body, model, batches)
    before = onnx.ModelProto()
    before.CopyFrom(model)
    cache = how.pop("cache", Cache(None))
    better = reconstruct(body, model, batches, cache, progress=Progress(), **how)
    return before, model, better


@pytest.mark.parametrize("build", [residual, squeeze_excite])
def test_other_images_have_less_noise(
    net: Any, run: Any, quantized: Any, build: Callable[[Any], Any]
) -> None:
    n = build(net())
    body = n.model()
    before, after, better = learned(body, quantized, n.images(48))
    assert better
    others = n.images(64, seed=9)
    exact = run(body, others)
    assert sqnr_db(exact, run(after, others)) > sqnr_db(exact, run(before, others)) + 1.0


def test_weights_take_a_level_beside_their_value_and_scales_stay(net: Any, quantized: Any) -> None:
    n = residual(net())
    before, after, _ = learned(n.model(), quantized, n.images(32))
    stored = [
        {t.name: numpy_helper.to_array(t) for t in model.graph.initializer} for model in (before, after)
    ]
    moved = set()
    for name, values in stored[0].items():
        now = stored[1][name]
        if name.endswith("/weight_quantized"):
            moved |= set(np.unique(now.astype(int) - values))
        elif not name.endswith("/bias_quantized"):
            assert np.array_equal(now, values), name
    assert moved == {-1, 0, 1}


def test_no_pair_of_weights_overflows_where_it_may_not(net: Any, quantized: Any) -> None:
    n = residual(net())
    options = replace(COARSE, target="any")
    _, after, better = learned(n.model(), quantized, n.images(32), options, bounded=True)
    assert better
    assert "any" in saturation_json(after, "any")["proven"]


def test_what_was_learned_is_found_in_the_cache(
    net: Any, quantized: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = residual(net())
    cache = Cache(tmp_path)
    _, first, count = learned(n.model(), quantized, n.images(16), cache=cache)
    monkeypatch.setattr(driver._Task, "learn", None)
    _, second, again = learned(n.model(), quantized, n.images(16), cache=cache)
    assert (second.SerializeToString(), again) == (first.SerializeToString(), count)


def test_an_interrupted_run_goes_on_with_the_next_block(
    net: Any, quantized: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, done = residual(net()), []
    learn = driver._Task.learn

    def counted(task: Any, *arguments: Any, **named: Any) -> Any:
        if len(done) == stop_at:
            raise KeyboardInterrupt
        done.append([layer.node.name for layer in task.layers])
        return learn(task, *arguments, **named)

    monkeypatch.setattr(driver._Task, "learn", counted)
    stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        learned(n.model(), quantized, n.images(16), cache=Cache(tmp_path))
    stop_at = -1
    learned(n.model(), quantized, n.images(16), cache=Cache(tmp_path))
    assert len(done) == len({tuple(names) for names in done}) > 1


def test_a_damaged_entry_of_the_cache_is_learned_again(
    net: Any, quantized: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = residual(net())
    _, _, first = learned(n.model(), quantized, n.images(16), cache=Cache(tmp_path))
    entries = [e for e in (tmp_path / "reconstructions").iterdir() if not e.name.endswith(".sha256")]
    for entry in entries:
        entry.write_bytes(b"no archive")
    _, _, second = learned(n.model(), quantized, n.images(16), cache=Cache(tmp_path))
    assert second == first > 0
    monkeypatch.setattr(driver._Task, "learn", None)
    assert learned(n.model(), quantized, n.images(16), cache=Cache(tmp_path))[2] == second


def test_a_block_with_an_unknown_operator_stays(
    net: Any, quantized: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = residual(net())
    monkeypatch.delitem(operators._OPERATORS, "Add")
    before, after, better = learned(n.model(), quantized, n.images(16))
    stored = [
        {t.name: numpy_helper.to_array(t) for t in model.graph.initializer} for model in (before, after)
    ]
    changed = {
        name.split("/")[0] for name in stored[0] if not np.array_equal(stored[0][name], stored[1][name])
    }
    assert changed <= {"fc"}
    assert better <= 1


def test_a_block_that_torch_computes_otherwise_stays(
    net: Any, quantized: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = residual(net())
    monkeypatch.setitem(operators._OPERATORS, "Relu", lambda _, i: torch.relu(i[0]) * 1.3)
    before, after, better = learned(n.model(), quantized, n.images(16))
    assert better <= 1  # the classifier has no Relu
    assert before.graph.node == after.graph.node


def test_a_fixed_batch_is_kept(net: Any, run: Any, quantized: Any) -> None:
    n = residual(net())
    body, images = n.model(), n.images(16)
    after = quantized(body, images, COARSE).model
    for model in (body, after):
        set_batch(model, 1)
    batches = [images[i : i + 1] for i in range(len(images))]
    assert reconstruct(body, after, batches, Cache(None), progress=Progress())
    assert run(after, n.images(1)).shape == (1, 10)


def test_a_residual_unit_is_a_block(net: Any) -> None:
    graph = read_graph(residual(net()).model())
    layers = [node.name for node in graph.nodes if node.op in ("Conv", "Gemm")]
    ends = {tensor for node in graph.nodes for tensor in (node.outputs[0].name,)}
    blocks = blocks_of(graph, layers, ends)
    assert [[name.split("/")[0] for name in block.layers] for block in blocks] == [
        ["stem", "a1", "a2", "a3"],
        ["b1", "b2", "b3"],
        ["fc"],
    ]
    assert [block.source for block in blocks[1:]] == [block.result for block in blocks[:-1]]


def test_a_network_without_a_cut_is_one_block(net: Any) -> None:
    n = net()
    x = n.add("Relu", n.conv(n.begin(), 3, 4, name="stem"))
    for number in range(3):  # each reads all those before it
        x = n.add("Concat", x, n.conv(x, 4 * (number + 1), 4, name=f"dense{number}"), axis=1)
    n.head(x, 16)
    graph = read_graph(n.model())
    layers = [node.name for node in graph.nodes if node.op in ("Conv", "Gemm")]
    blocks = blocks_of(graph, layers, {node.outputs[0].name for node in graph.nodes})
    assert sum(len(block.layers) for block in blocks) == len(layers)


def one_operator(op: str, inputs: dict[str, np.ndarray], **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node(op, ["x", *inputs], ["y"], **attributes)
    values = [numpy_helper.from_array(value, name) for name, value in inputs.items()]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


F, INT = np.float32, np.int64
WEIGHT = np.random.default_rng(3).normal(size=(6, 2, 3, 3)).astype(F)
MATRIX = np.random.default_rng(4).normal(size=(9, 5)).astype(F)
CASES: list[tuple[str, dict[str, np.ndarray], dict[str, Any]]] = [
    ("Add", {"b": F(np.ones((1, 4, 1, 1)))}, {}),
    ("AveragePool", {}, {"kernel_shape": [3, 3], "pads": [1, 1, 0, 0], "strides": [2, 2]}),
    ("AveragePool", {}, {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1], "count_include_pad": 1}),
    ("Clip", {"low": F(-0.5), "high": F(0.7)}, {}),
    ("Conv", {"w": WEIGHT, "b": F(np.arange(6))}, {"group": 2, "pads": [0, 1, 2, 1], "strides": [2, 1]}),
    ("Conv", {"w": WEIGHT}, {"group": 2, "dilations": [2, 1]}),
    ("Div", {"b": F(3)}, {}),
    ("Erf", {}, {}),
    ("Flatten", {}, {"axis": 1}),
    ("Gelu", {}, {}),
    ("Gelu", {}, {"approximate": "tanh"}),
    ("GlobalAveragePool", {}, {}),
    ("HardSigmoid", {}, {}),
    ("HardSwish", {}, {}),
    ("Identity", {}, {}),
    ("LayerNormalization", {"s": F(np.linspace(1, 2, 9)), "b": F(np.ones(9))}, {"axis": -1}),
    ("LeakyRelu", {}, {"alpha": 0.2}),
    ("MatMul", {"b": MATRIX}, {}),
    ("MaxPool", {}, {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 2]}),
    ("Mul", {"b": F(2)}, {}),
    ("PRelu", {"slope": F(np.linspace(0, 1, 4).reshape(4, 1, 1))}, {}),
    ("Pad", {"pads": INT([0, 1, 2, 0, 0, 0, 1, 3])}, {}),
    ("ReduceMean", {"axes": INT([2, 3])}, {"keepdims": 0}),
    ("ReduceSum", {"axes": INT([-1])}, {}),
    ("Relu", {}, {}),
    ("Reshape", {"shape": INT([0, -1, 9])}, {}),
    ("Sigmoid", {}, {}),
    ("Softmax", {}, {"axis": 1}),
    ("Sub", {"b": F(2)}, {}),
    ("Unsqueeze", {"axes": INT([0, -1])}, {}),
    ("Tanh", {}, {}),
    ("Transpose", {}, {"perm": [0, 2, 3, 1]}),
]


@pytest.mark.parametrize(("op", "inputs", "attributes"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_an_operator_gives_what_onnx_runtime_gives(
    run: Any, op: str, inputs: dict[str, np.ndarray], attributes: dict[str, Any]
) -> None:
    model = one_operator(op, {name: np.asarray(value) for name, value in inputs.items()}, **attributes)
    values = np.random.default_rng(1).normal(0, 2, (2, 4, 7, 9)).astype(F)
    graph = read_graph(model)
    assert not operators.unsupported(graph)
    given = {**operators.constants_of(graph), "x": torch.from_numpy(values)}
    found = operators.run(graph, given, {})
    np.testing.assert_allclose(found.numpy(), run(model, values), rtol=1e-4, atol=1e-5)


def test_what_is_not_known_of_an_operator_is_refused() -> None:
    graph = read_graph(one_operator("MaxPool", {}, kernel_shape=[2, 2], ceil_mode=1))
    with pytest.raises(NotImplementedError):
        operators.run(graph, {"x": torch.zeros(1, 1, 5, 5)}, {})
    assert operators.unsupported(read_graph(one_operator("Sin", {}))) == ["Sin"]


@pytest.mark.parametrize("sizes", [[1, 3], None])
def test_a_split_is_taken_apart(run: Any, sizes: list[int] | None) -> None:
    stored = {} if sizes is None else {"sizes": np.asarray(sizes, INT)}
    model = one_operator("Split", stored, axis=1, **({} if sizes else {"num_outputs": 2}))
    graph = model.graph
    graph.node[0].output[:] = ["first", "second"]
    graph.node.append(helper.make_node("Squeeze", ["first", "axes"], ["narrow"]))
    graph.node.append(helper.make_node("ReduceSum", ["second", "one"], ["wide"], keepdims=0))
    graph.node.append(helper.make_node("ReduceSum", ["first", "one"], ["summed"], keepdims=0))
    graph.node.append(helper.make_node("Add", ["summed" if sizes is None else "narrow", "wide"], ["y"]))
    graph.initializer.extend(numpy_helper.from_array(INT([1]), name) for name in ("axes", "one"))
    if sizes is None:
        del graph.node[1]
    else:
        del graph.node[3]
    values = np.random.default_rng(1).normal(0, 2, (2, 4, 7, 9)).astype(F)
    read = read_graph(model)
    assert not operators.unsupported(read)
    found = operators.run(read, {**operators.constants_of(read), "x": torch.from_numpy(values)}, {})
    np.testing.assert_allclose(found.numpy(), run(model, values), rtol=1e-4, atol=1e-5)
