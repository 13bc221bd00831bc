"""Networks whose numbers are odd: those that can be compiled are, the others are refused with the layer."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import numpy_helper

EVERYTHING = """quantize int8 {
  calibrate auto
  corrections [equalization, rounding, bias]
  data images("images")
  require drop <= 25% on images("images", labels=none)
}"""


def fill(project: Any, **values: float | tuple[int, float]) -> None:
    """Sets weights of `net.onnx` to a value, all of them or those of one channel."""
    model = onnx.load(project.folder / "net.onnx")
    for tensor in model.graph.initializer:
        if tensor.name in values:
            channel, value = wanted if isinstance(wanted := values[tensor.name], tuple) else (..., wanted)
            array = numpy_helper.to_array(tensor).copy()
            array[channel] = value
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, project.folder / "net.onnx")


@pytest.mark.parametrize(
    "weights",
    [
        {"w1": 0.0, "b1": 0.0},
        {"w1": 0.0, "b1": 2.5},
        {"w1": 0.0, "b1": 0.0, "w2": 0.0, "b2": 0.0},
        {"w1": (3, 0.0), "b1": (3, 0.0)},
        {"b1": (3, -100.0)},
    ],
    ids=["all zero", "constant", "nothing at all", "no weights in a channel", "a channel behind its ReLU"],
)
def test_idle_layers_and_channels_compile_with_all_that_int8_has(project: Any, weights: Any) -> None:
    fill(project, **weights)
    answer = project.compile("--format", "json", quantize=EVERYTHING).succeeded().json
    assert answer["ok"]
    found = project.zooc("analyze", "tiny.zoo", "--json").succeeded().json
    assert found["logits"]["sqnr_db"] > 40
    assert found["logits"]["top1_agreement"] == 1.0


@pytest.mark.parametrize(
    ("weights", "quantize", "where"),
    [
        ({"w1": 3e38}, 'quantize int8 { data images("images") }', '"r", the result of stem/Relu, has 2048'),
        ({"w2": 3e38}, 'quantize int8 { data images("images") }', '"logits", the result of fc/Gemm, has 4'),
        ({"w1": 3e38}, "quantize fp32", '"logits", the result of fc/Gemm, has 4 NaN of 4 values'),
    ],
)
def test_activations_that_overflow_are_named_with_the_layer(
    project: Any, weights: Any, quantize: str, where: str
) -> None:
    fill(project, **weights)
    project.compile(quantize=quantize).refused("Z0411", f"the activation {where}", "check the weights file")
    assert project.wrote_nothing()


def test_a_contract_on_labels_that_are_not_there_is_refused(project: Any) -> None:
    limit = 'require drop <= 25% on images("images"'
    data = 'quantize int8 { data images("images")  '
    project.compile(quantize=f"{data}{limit}, labels=folders) }}").refused(
        "Z0491", "is not in a class folder", "without labels write `labels=none`"
    )
    project.compile(quantize=f'{data}{limit}, labels="truth.txt") }}').refused("Z0119", "truth.txt")
    assert project.wrote_nothing()
