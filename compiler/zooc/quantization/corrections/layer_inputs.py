"""What the sums of a weighted layer take in: each a product of a weight and a value under the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.ir.graph import Node

__all__ = ["mean_inputs", "sampled_inputs"]

Floats = npt.NDArray[np.float32]

_PLACES = 64
"""Of an image's result; neighbours differ little, so that more images serve better than more places."""


def mean_inputs(node: Node, kernel: Sequence[int], values: Floats) -> Floats:
    """Return the inputs of a node's sums, averaged over the places of its result.

    The average of a layer's results is the product of its weights with this: sums are linear. Under a place
    of the kernel lie certain rows and columns of the image; to add them up is to multiply it from both sides
    with matrices of zeros and ones.

    Args:
        node: Conv, or Gemm.
        kernel: a convolution's, else empty.
        values: its input, `[batch, channels, *space]` or `[batch, inputs]`.

    Returns:
        float32 `[batch, groups, inputs]`, a convolution's inputs in the order of its weights; a copy.
    """
    for axis, taps in enumerate(_taps(node, kernel, values.shape[2:]), 2):
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ taps, -1, axis)
    return np.array(values.reshape(len(values), node.attrs.get("group", 1), -1))


def _taps(node: Node, kernel: Sequence[int], sizes: Sequence[int]) -> list[Floats]:
    """For each axis `[size, kernel]`: in which share of the results an input is under a weight."""
    found = []
    for size, width, step, spread, (before, after) in zip(
        sizes, kernel, *_windows(node, kernel), _pads(node, kernel, sizes), strict=True
    ):
        results = (before + size + after - (width - 1) * spread - 1) // step + 1
        places = np.arange(results)[:, None] * step + np.arange(width) * spread - before
        inside = (places >= 0) & (places < size)
        taps = np.zeros((size, width))
        np.add.at(taps, (places[inside], np.nonzero(inside)[1]), 1 / results)
        found.append(taps.astype(np.float32))
    return found


def sampled_inputs(node: Node, kernel: Sequence[int], values: Floats, random: np.random.Generator) -> Floats:
    """Return the inputs of the sums that make a few places of a node's result.

    Args:
        node: Conv, Gemm or MatMul.
        kernel: a convolution's, else empty.
        values: its input, `[batch, channels, *space]` or `[batch, ..., inputs]`.
        random: draws the places, the same in each image of a batch.

    Returns:
        float32 `[samples, groups, inputs]`, a convolution's inputs in the order of its weights.
    """
    if node.op != "Conv":
        rows = values.reshape(len(values), -1, values.shape[-1])
        return rows[:, _draw(random, rows.shape[1])].reshape(-1, 1, values.shape[-1])
    rank = len(kernel)
    strides, dilations = _windows(node, kernel)
    reach = _reach(kernel, dilations)
    padded = np.pad(values, [(0, 0), (0, 0), *_pads(node, kernel, values.shape[2:])])
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + rank)))
    all_channels = (slice(None), slice(None))
    every: tuple[Any, ...] = (*all_channels, *(slice(None, None, step) for step in (*strides, *dilations)))
    windows = windows[every]
    space = windows.shape[2 : 2 + rank]
    places: tuple[Any, ...] = (*all_channels, *np.unravel_index(_draw(random, int(np.prod(space))), space))
    chosen: Floats = np.moveaxis(windows[places], 2, 1)
    return chosen.reshape(chosen.shape[0] * chosen.shape[1], node.attrs.get("group", 1), -1)


def _draw(random: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    return random.permutation(count)[:_PLACES]


def _windows(node: Node, kernel: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """Strides and dilations."""
    ones = [1] * len(kernel)
    return node.attrs.get("strides", ones), node.attrs.get("dilations", ones)


def _reach(kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    return [(width - 1) * spread + 1 for width, spread in zip(kernel, dilations, strict=True)]


def _pads(node: Node, kernel: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Zeros before and after each axis."""
    kind = node.attrs.get("auto_pad", "NOTSET")
    if kind not in ("SAME_UPPER", "SAME_LOWER"):
        pads = node.attrs.get("pads", [0] * (2 * len(kernel)))
        return list(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True))
    strides, dilations = _windows(node, kernel)
    totals = [
        max((-(-size // step) - 1) * step + width - size, 0)
        for size, step, width in zip(sizes, strides, _reach(kernel, dilations), strict=True)
    ]
    fewer_and_more = [(total // 2, total - total // 2) for total in totals]
    return fewer_and_more if kind == "SAME_UPPER" else [(b, a) for a, b in fewer_and_more]
