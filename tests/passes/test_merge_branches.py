from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.passes.simplify.simplify import simplify

KERNELS = {"one": 1, "three": 3}


def block(*, channels=4, groups=1, strides=(1, 1), pads=1, identity=True, read_elsewhere=False):
    """RepVGG's: a 3 x 3 convolution, a 1 x 1 convolution, and where it fits a BatchNormalization, added."""
    random = np.random.default_rng(0)
    nodes, stored = [], []

    def store(name, shape, low=-1.0, high=1.0):
        values = random.uniform(low, high, shape).astype(np.float32)
        stored.append(numpy_helper.from_array(values, name))
        return name

    for name, k in KERNELS.items():
        weight = [store(f"{name}.weight", (4, channels // groups, k, k)), store(f"{name}.bias", 4)]
        around = [pads * (k // 2)] * 4
        options = {"group": groups, "strides": strides, "pads": around}
        nodes.append(helper.make_node("Conv", ["input", *weight], [name], name=f"{name}/Conv", **options))
    nodes.append(helper.make_node("Add", list(KERNELS), ["sum"], name="sum/Add"))
    result = "sum"
    if identity:
        norm = [store("gamma", 4), store("beta", 4), store("mean", 4), store("variance", 4, 0.5)]
        nodes.append(helper.make_node("BatchNormalization", ["input", *norm], ["id"], name="id/Norm"))
        nodes.append(helper.make_node("Add", ["id", "sum"], ["total"], name="total/Add"))
        result = "total"
    nodes.append(helper.make_node("Relu", [result], ["relu"], name="act/Relu"))
    logits = "relu"
    if read_elsewhere:
        nodes.append(helper.make_node("Concat", ["relu", "one"], ["both"], name="both/Concat", axis=1))
        logits = "both"
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", channels, 9, 9])
    end = helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["batch", None, None, None])
    graph = helper.make_graph(nodes, "net", [source], [end], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    channels = session.get_inputs()[0].shape[1]
    image = np.random.default_rng(7).standard_normal((2, channels, 9, 9)).astype(np.float32)
    return session.run(None, {"input": image})[0]


def operators(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_parallel_branches_become_one_convolution(groups) -> None:
    before = block(groups=groups)
    after = simplify(before)
    onnx.checker.check_model(after, full_check=True)
    assert operators(after) == ["Conv", "Relu"]
    assert after.graph.node[0].name == "three/Conv"
    np.testing.assert_allclose(run(after), run(before), atol=1e-4)


def test_strided_convolutions_merge() -> None:
    before = block(strides=(2, 2), identity=False)
    after = simplify(before)
    assert operators(after) == ["Conv", "Relu"]
    np.testing.assert_allclose(run(after), run(before), atol=1e-4)


def test_a_branch_that_is_read_elsewhere_stays() -> None:
    before = block(identity=False, read_elsewhere=True)
    after = simplify(before)
    assert operators(after).count("Conv") == 2
    np.testing.assert_allclose(run(after), run(before), atol=1e-4)


def test_convolutions_of_other_dilations_do_not_merge() -> None:
    model = block(identity=False)
    del model.graph.node[0].attribute[:]
    model.graph.node[0].attribute.append(helper.make_attribute("dilations", [1, 1]))
    model.graph.node[1].attribute.append(helper.make_attribute("dilations", [2, 2]))
    pads = next(a for a in model.graph.node[1].attribute if a.name == "pads")
    pads.ints[:] = [2, 2, 2, 2]
    after = simplify(model)
    assert operators(after).count("Conv") == 2
    np.testing.assert_allclose(run(after), run(model), atol=1e-4)
