"""A body quantized again with other ranges is the body that `quantize_body` makes of them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from zooc.calibration.ranges import Ranges
from zooc.deployment import Quantize
from zooc.passes.legalize.legalize import legalize
from zooc.passes.simplify.simplify import simplify
from zooc.quantization.placement import tensors_to_observe
from zooc.quantization.qdq import quantize_body
from zooc.quantization.requantize import Requantizer

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.mark.parametrize("network", ["resnest", "iresnet"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weights": "per_tensor"},
        {"activations": "symmetric"},
        {"target": "tensorrt"},
        {"target": "qnn"},
        {"target": "openvino_npu"},
    ],
)
def test_the_bytes_are_the_same(network: str, settings: dict[str, str]) -> None:
    body = legalize(simplify(onnx.load(DIGITS / f"digits_{network}.onnx")))
    quantize = Quantize("int8", **settings)  # type: ignore[arg-type]
    tensors = tensors_to_observe(body, quantize)
    first: Ranges = dict.fromkeys(tensors, (-1.0, 3.0))
    requantize = Requantizer(body, first, quantize)
    # From tiny, where a large bias decides the weights' scale, to large.
    for scale in (1e-7, 0.5, 40.0):
        ranges = {name: (-scale, scale * (1 + i % 3)) for i, name in enumerate(tensors)}
        expected = quantize_body(body, ranges, quantize).model
        assert requantize(ranges).SerializeToString(deterministic=True) == expected.SerializeToString(
            deterministic=True
        )
    assert requantize(first) == requantize.template
