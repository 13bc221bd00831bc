"""The first convolution's extra channel of ones, kept exact in integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zooc.ir.graph import Constant, Node, maker, values_of
from zooc.quantization.scales import QuantizedWeight

__all__ = ["MASK_LEVEL", "compensate_mask_channel", "mask_channel"]

MASK_LEVEL = 255


def mask_channel(node: Node) -> int | None:
    """Return the index of the input channel that is 255 everywhere, `None` if a convolution has none.

    Folding the normalization into a convolution that pads appends it:
    `pixels -> Pad(one channel, 255) -> Cast -> Conv`.
    """
    cast = maker(node.inputs[0], "Cast") if node.op == "Conv" else None
    pad = None if cast is None else maker(cast.inputs[0], "Pad")
    if pad is None or not _appends_full_channel(pad) or node.attrs.get("group", 1) != 1:
        return None
    weight = node.inputs[1]
    return weight.shape[1] - 1 if isinstance(weight, Constant) else None


def _appends_full_channel(pad: Node) -> bool:
    if pad.attrs.get("mode", "constant") != "constant" or len(pad.inputs) < 3:
        return False
    pads, value = (values_of(tensor) for tensor in pad.inputs[1:3])
    if pads is None or value is None or int(value.reshape(-1)[0]) != MASK_LEVEL:
        return False
    return bool(pads.tolist() == [0, 0, 0, 0, 0, 1, 0, 0])


def compensate_mask_channel(
    weight: npt.NDArray[np.float32],
    quantized: QuantizedWeight,
    bias: npt.NDArray[np.float64],
    channel: int,
) -> npt.NDArray[np.float64]:
    """Return the bias that undoes the mask channel's rounding wherever the window lies inside the image.

    There the channel adds the constant `255 * sum of w_m` over its taps. Rounding `w_m` to `w_m + e` moves
    every interior output by `255 * sum of e`; the new bias is `b - 255 * sum of e`, so that the interior is
    exact and only windows over the edge keep an error, of those taps of `e` that fall into the padding.

    Returns:
        float64 `[channels]`.
    """
    error = quantized.dequantized()[:, channel] - weight[:, channel].astype(np.float64)
    return np.asarray(bias - MASK_LEVEL * error.reshape(len(bias), -1).sum(axis=1))
