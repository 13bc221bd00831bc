from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.accuracy.contract.ranges import complete_ranges
from zooc.deployment import Quantize
from zooc.quantization.placement import tensors_to_observe
from zooc.quantization.qdq import quantize_body
from zooc.tuning.regions import Region, find_regions

INT8 = Quantize("int8")


@pytest.fixture(scope="module")
def regions() -> dict[str, Region]:
    """Of a stem, an MBConv block with its residual sum and a head."""
    rng = np.random.default_rng(0)
    weights, nodes = {}, []

    def conv(source: str, result: str, shape: tuple[int, ...], **attributes: object) -> str:
        weights[f"{result}.w"] = rng.standard_normal(shape).astype(np.float32)
        nodes.append(
            helper.make_node("Conv", [source, f"{result}.w"], [result], f"{result}/Conv", **attributes)
        )
        return result

    def node(op: str, *sources: str, name: str, **attributes: object) -> str:
        nodes.append(helper.make_node(op, list(sources), [name], f"{name}/{op}", **attributes))
        return name

    def silu(source: str, module: str) -> str:
        gate = node("Sigmoid", source, name=f"{module}.gate")
        return node("Mul", source, gate, name=f"{module}.act")

    stem = silu(conv("input", "stem", (8, 3, 3, 3), strides=[2, 2], pads=[1] * 4), "stem")
    wide = silu(conv(stem, "block.expand", (16, 8, 1, 1)), "block.expand")
    deep = silu(conv(wide, "block.dw", (16, 1, 3, 3), group=16, pads=[1] * 4), "block.dw")
    mean = node("GlobalAveragePool", deep, name="block.se.mean")
    less = node("Relu", conv(mean, "block.se.reduce", (4, 16, 1, 1)), name="block.se.relu")
    gate = node("Sigmoid", conv(less, "block.se.grow", (16, 4, 1, 1)), name="block.se.gate")
    scaled = node("Mul", deep, gate, name="block.se.scale")
    out = node("Add", conv(scaled, "block.project", (8, 16, 1, 1)), stem, name="block.sum")
    small = silu(conv(out, "last", (8, 8, 3, 3), strides=[2, 2], pads=[1] * 4), "last")
    pooled = node("GlobalAveragePool", small, name="pool")
    flat = node("Flatten", pooled, name="flat")
    weights["fc.w"] = rng.standard_normal((8, 4)).astype(np.float32)
    nodes.append(helper.make_node("Gemm", [flat, "fc.w"], ["logits"], "fc/Gemm"))
    graph = helper.make_graph(
        nodes,
        "mbconv",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    body = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(body, full_check=True)
    ranges = dict.fromkeys(tensors_to_observe(body, INT8), (-1.0, 3.0))
    quantized = quantize_body(body, complete_ranges(body, ranges, INT8), INT8).model
    return {region.what: region for region in find_regions(body, quantized, INT8)}


def test_the_whole_network_comes_first(regions: dict[str, Region]) -> None:
    first = next(iter(regions.values()))
    assert first.what == "the whole network"
    assert all(set(region.layers) <= set(first.layers) for region in regions.values())


def test_parts_that_are_often_slow_in_integers_are_found(regions: dict[str, Region]) -> None:
    inside = regions["squeeze-excite at block.se.scale/Mul"].layers
    assert [name.partition("/")[0] for name in inside] == [
        *("block.se.mean", "block.se.reduce", "block.se.grow", "block.se.gate", "block.se.scale")
    ]
    assert regions["activation at stem.act/Mul"].layers == ("stem.gate/Sigmoid", "stem.act/Mul")
    assert regions["depthwise convolution at block.dw/Conv"].layers == ("block.dw/Conv",)
    assert len(regions["each activation"].layers) == 8
    assert set(regions["each activation of stage 1"].layers) < set(regions["each activation"].layers)


def test_stages_modules_and_blocks(regions: dict[str, Region]) -> None:
    assert "last/Conv" in regions["stage 2"].layers and "stem/Conv" not in regions["stage 2"].layers
    module = regions["module block"].layers
    assert module[0] == "block.expand/Conv" and module[-1] == "block.sum/Add"


def test_each_set_of_layers_is_tried_once(regions: dict[str, Region]) -> None:
    sets = [region.layers for region in regions.values()]
    assert len(sets) == len(set(sets))
    assert all(sets)
