"""What the inputs of a layer's sums have in common: their mean, and how they vary together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.quantize.body_graph import attribute

__all__ = ["InputMoments", "sampled_inputs"]

Floats = npt.NDArray[np.float32]

_PLACES = 64
"""Of an image's result; neighbours differ little, so that more images serve better than more places."""

_TOGETHER = 256
"""Samples that are multiplied at once: the products are as large as a weight matrix, and take time to add."""


class InputMoments:
    """Mean and covariance of vectors, a group of channels at a time, summed up over batches."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.count = 0
        self._waiting: list[Floats] = []
        self._origin: Any = None

    def add(self, samples: Floats) -> None:
        """Takes float32 `[samples, groups, inputs]` in."""
        if self._origin is None:  # keeps the sums small, and a constant input's exactly zero
            self._origin = samples[0].copy()
            self._sum = np.zeros(samples.shape[1:], np.float64)
            self._products = np.zeros((*samples.shape[1:], samples.shape[2]), np.float32)
        self._waiting.append(samples - self._origin)
        if sum(map(len, self._waiting)) >= _TOGETHER:
            self._sum_up()

    def _sum_up(self) -> None:
        if self._waiting:
            columns = np.concatenate(self._waiting).transpose(1, 2, 0)
            self._waiting.clear()
            self.count += columns.shape[-1]
            self._sum += columns.sum(axis=-1)
            self._products += columns @ columns.transpose(0, 2, 1)

    def mean(self) -> Floats:
        """`[groups, inputs]`."""
        self._sum_up()
        return np.asarray(self._origin + self._sum / self.count, np.float32)

    def covariance(self) -> Floats:
        """`[groups, inputs, inputs]`."""
        self._sum_up()
        mean = (self._sum / self.count).astype(np.float32)
        return np.asarray(self._products / self.count - mean[..., None] * mean[:, None])


def sampled_inputs(
    node: onnx.NodeProto, kernel: Sequence[int], values: Floats, random: np.random.Generator
) -> Floats:
    """The inputs of the sums that make a few places of a node's result.

    Args:
        node: Conv, Gemm or MatMul.
        kernel: a convolution's, else empty.
        values: its input, `[batch, channels, *space]` or `[batch, ..., inputs]`.
        random: draws the places, the same in each image of a batch.

    Returns:
        float32 `[samples, groups, inputs]`, a convolution's inputs in the order of its weights.
    """
    if node.op_type != "Conv":
        rows = values.reshape(len(values), -1, values.shape[-1])
        return rows[:, _draw(random, rows.shape[1])].reshape(-1, 1, values.shape[-1])
    rank = len(kernel)
    strides = attribute(node, "strides", [1] * rank)
    dilations = attribute(node, "dilations", [1] * rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    padded = np.pad(values, [(0, 0), (0, 0), *_pads(node, values.shape[2:], reach, strides)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + rank)))
    all_channels = (slice(None), slice(None))
    every: tuple[Any, ...] = (*all_channels, *(slice(None, None, step) for step in (*strides, *dilations)))
    windows = windows[every]
    space = windows.shape[2 : 2 + rank]
    places: tuple[Any, ...] = (*all_channels, *np.unravel_index(_draw(random, int(np.prod(space))), space))
    chosen: Floats = np.moveaxis(windows[places], 2, 1)
    return chosen.reshape(chosen.shape[0] * chosen.shape[1], attribute(node, "group", 1), -1)


def _draw(random: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    return random.permutation(count)[:_PLACES]


def _pads(
    node: onnx.NodeProto, sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Zeros before and after each axis."""
    kind = attribute(node, "auto_pad", b"NOTSET")
    if kind not in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = attribute(node, "pads", [0] * (2 * len(sizes)))
        return list(zip(pads[: len(sizes)], pads[len(sizes) :], strict=True))
    totals = [
        max((-(-size // step) - 1) * step + width - size, 0)
        for size, step, width in zip(sizes, strides, reach, strict=True)
    ]
    fewer_and_more = [(total // 2, total - total // 2) for total in totals]
    return fewer_and_more if kind == b"SAME_UPPER" else [(b, a) for a, b in fewer_and_more]
