"""What accelerators take of a quantized graph, where that is less than, or other than, what CPUs take.

The rules are those of their documentation:

- TensorRT, "Working with Quantized Types" and its Q/DQ placement recommendations
  (docs.nvidia.com/deeplearning/tensorrt), and the operators of its ONNX parser (onnx-tensorrt,
  docs/operators.md): signed int8 with zero point 0 alone, weights by output channel; no int32 to dequantize,
  so biases are float; uint8 only at the network's input, before a Cast; in a skip connection the operand that
  comes from a convolution stays as it is, so that the sum is fused into the convolution.
- QNN, the execution provider's page of ONNX Runtime (docs/execution-providers/QNN-ExecutionProvider.md) and
  its `get_qnn_qdq_config`: scales by channel for convolutions only; every operator quantized on both sides;
  no Pad of plain uint8, as its HTP backend says when it is given one.
- OpenVINO's NPU, NNCF's src/nncf/common/hardware/configs/npu.json: signed symmetric weights, one scale for
  both operands of a sum. It says so of products, too; but these keep theirs, because an operand of a small
  range, such as a sigmoid's, would be left with few levels or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zooc.deployment import Quantize

__all__ = ["Rules", "rules_of"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a target differs from CPUs.

    Attributes:
        signed: activations are int8 with zero point 0, biases float, and what reads pixels is float: half of
            the levels would be below black.
        fused_sums: of a sum's operands one that a convolution makes for it alone is not quantized.
        channels: whether a Gemm's or MatMul's weights have a scale for each channel.
        float_results: whether a Gemm or MatMul may end in float.
        float_pad: the pixels are padded after they are made float.
        shared: operators whose operands share one scale.
    """

    signed: bool = False
    fused_sums: bool = False
    channels: bool = True
    float_results: bool = True
    float_pad: bool = False
    shared: frozenset[str] = frozenset()


_CPU = Rules()
_RULES: Mapping[str, Rules] = {
    "tensorrt": Rules(signed=True, fused_sums=True, float_pad=True),
    "qnn": Rules(channels=False, float_results=False, float_pad=True),
    "openvino_npu": Rules(shared=frozenset({"Add"})),
}


def rules_of(quantize: Quantize) -> Rules:
    """Return the rules of the description's target."""
    return _RULES.get(quantize.target, _CPU)
