"""The first convolution's extra channel of ones, kept exact in integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.body_graph import BodyGraph, attribute
from zooc.quantization.scales import QuantizedWeight

__all__ = ["MASK_LEVEL", "compensate_mask_channel", "mask_channel"]

MASK_LEVEL = 255


def mask_channel(graph: BodyGraph, index: int) -> int | None:
    """Index of the input channel that is 255 everywhere, `None` if the convolution has none.

    Folding the normalization into a convolution that pads appends it:
    `pixels -> Pad(one channel, 255) -> Cast -> Conv`.
    """
    node = graph.nodes[index]
    cast = graph.producer.get(node.input[0])
    if node.op_type != "Conv" or cast is None or graph.nodes[cast].op_type != "Cast":
        return None
    before = graph.producer.get(graph.nodes[cast].input[0])
    if before is None or not _appends_full_channel(graph, graph.nodes[before]):
        return None
    weight = graph.constant(node.input[1])
    return None if weight is None or attribute(node, "group", 1) != 1 else weight.shape[1] - 1


def _appends_full_channel(graph: BodyGraph, node: onnx.NodeProto) -> bool:
    if node.op_type != "Pad" or attribute(node, "mode", b"constant") != b"constant" or len(node.input) < 3:
        return False
    pads, value = graph.constant(node.input[1]), graph.constant(node.input[2])
    if pads is None or value is None or int(value.reshape(-1)[0]) != MASK_LEVEL:
        return False
    return bool(pads.tolist() == [0, 0, 0, 0, 0, 1, 0, 0])


def compensate_mask_channel(
    weight: npt.NDArray[np.float32],
    quantized: QuantizedWeight,
    bias: npt.NDArray[np.float64],
    channel: int,
) -> npt.NDArray[np.float64]:
    """The bias that undoes the mask channel's rounding wherever the window lies inside the image.

    There the channel adds the constant `255 * sum of w_m` over its taps. Rounding `w_m` to `w_m + e` moves
    every interior output by `255 * sum of e`; the new bias is `b - 255 * sum of e`, so that the interior is
    exact and only windows over the edge keep an error, of those taps of `e` that fall into the padding.

    Returns:
        float64 `[channels]`.
    """
    error = quantized.dequantized()[:, channel] - weight[:, channel].astype(np.float64)
    return np.asarray(bias - MASK_LEVEL * error.reshape(len(bias), -1).sum(axis=1))
