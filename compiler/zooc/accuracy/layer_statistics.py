"""Runs the float reference and the quantized body side by side and compares every layer's result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.accuracy.integer_graph import IntegerGraph, Layer
from zooc.ir.graph import read_graph
from zooc.ir.interface import input_of, output_of
from zooc.ir.session import open_session
from zooc.verification.agreement import Agreement, compare_logits
from zooc_runtime.package.heads import Head

__all__ = ["LayerStatistics", "compare_layers", "decibels"]

Array = npt.NDArray[Any]


def decibels(signal: float, noise: float) -> float:
    """Return `10 log10(signal / noise)`: `inf` without noise, `-inf` without signal."""
    if noise <= 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


@dataclass
class LayerStatistics:
    """Sums over all values of a layer's result so far; its size does not depend on the number of images.

    Attributes:
        signal, noise: per channel, sums of squares of float and of int8 minus float, float64 `[channels]`.
        rounding: of float rounded to the layer's own levels, minus float: no earlier layer's errors.
        product, power: sums of float times int8 and of int8 squared.
        low, high: extremes of float.
        outside, seen: float values beyond the levels' limits by more than half a step, and all.
    """

    signal: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    noise: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rounding: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    product: float = 0.0
    power: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    outside: int = 0
    seen: int = 0

    def update(self, expected: Array, got: Array, layer: Layer) -> None:
        """Add one batch; both arrays float32 of one shape, channels along axis 1 (else the last, rank 3)."""
        axis = 1 if expected.ndim in (2, 4, 5) else expected.ndim - 1
        first, second = (_channels(a, axis) for a in (expected, got))
        difference = second - first
        signal, noise = (np.einsum("cx,cx->c", a, a, dtype=np.float64) for a in (first, difference))
        if not len(self.signal):
            self.signal, self.noise, self.rounding = (np.zeros_like(signal) for _ in range(3))
        self.signal += signal
        self.noise += noise
        self.product += float(np.einsum("cx,cx->c", first, second, dtype=np.float64).sum())
        self.power += float(np.einsum("cx,cx->c", second, second, dtype=np.float64).sum())
        self.low, self.high = min(self.low, float(first.min())), max(self.high, float(first.max()))
        self.seen += first.size
        if layer.output is not None:
            own = layer.output.rounded(first) - first
            self.rounding += np.einsum("cx,cx->c", own, own, dtype=np.float64)
            half = layer.output.scale / 2
            above = np.count_nonzero(first > layer.output.high + half)
            self.outside += int(above + np.count_nonzero(first < layer.output.low - half))

    @property
    def sqnr_db(self) -> float:
        """Return the ratio of the whole tensor."""
        return decibels(float(self.signal.sum()), float(self.noise.sum()))

    @property
    def channel_sqnr_db(self) -> float:
        """Return the median over channels of what rounding to the layer's own levels leaves of them.

        It is low where a few large channels set the scale for all.
        """
        alive = self.signal > 0
        if not alive.any():
            return math.inf
        with np.errstate(divide="ignore"):
            values = 10.0 * np.log10(self.signal[alive] / self.rounding[alive])
        return float(np.sort(values)[(len(values) - 1) // 2])

    @property
    def cosine(self) -> float:
        """Return the cosine of the angle between float and int8; 1 where both are zero."""
        lengths = math.sqrt(float(self.signal.sum()) * self.power)
        return self.product / lengths if lengths > 0 else float(self.power == self.signal.sum())

    @property
    def saturated(self) -> float:
        """Return the share of float values that the levels cannot reach."""
        return self.outside / self.seen if self.seen else 0.0


def compare_layers(
    reference: onnx.ModelProto,
    graph: IntegerGraph,
    layers: Sequence[Layer],
    batches: Iterable[Array],
    on_batch: Callable[[int], None] = lambda _count: None,
    heads: tuple[Head, ...] = (),
) -> tuple[list[LayerStatistics], Agreement, int]:
    """Compare the results of `layers`, batch by batch; the errors of what precedes a layer are in them.

    One batch's results of both networks exist at a time.

    Args:
        reference: the float body.
        graph: the quantized body, with the reference's tensor names.
        layers: some of `graph.layers`.
        batches: for the networks' only input.
        on_batch: called with each batch's number of images.
        heads: what the logits mean.

    Returns:
        One entry a layer, the agreement of the logits, the number of images.
    """
    made = read_graph(reference).tensors()
    wanted = [layer.tensor if layer.tensor in made else _rounded_name(layer) for layer in layers]
    taken = [layer.output.levels if layer.output else layer.tensor for layer in layers]
    source, logits = input_of(reference).name, output_of(reference).name
    floats = open_session(reference, outputs=[name for name in dict.fromkeys(wanted) if name != logits])
    integers = open_session(graph.model, outputs=[name for name in dict.fromkeys(taken) if name != logits])
    statistics = [LayerStatistics() for _ in layers]
    answers: tuple[list[Array], list[Array]] = ([], [])
    for batch in batches:
        names = list(dict.fromkeys([*wanted, logits]))
        expected = dict(zip(names, floats.run(names, {source: batch}), strict=True))
        names = list(dict.fromkeys([*taken, logits]))
        got = dict(zip(names, integers.run(names, {source: batch}), strict=True))
        for layer, one, reference_name, name in zip(layers, statistics, wanted, taken, strict=True):
            value = got[name]
            if layer.output is not None:
                value = (value.astype(np.float32) - layer.output.zero_point) * np.float32(layer.output.scale)
            one.update(expected[reference_name], value, layer)
        answers[0].append(expected[logits])
        answers[1].append(got[logits])
        on_batch(len(batch))
    first, second = (np.concatenate(rows) for rows in answers)
    return statistics, compare_logits(first, second, heads), len(first)


def _rounded_name(layer: Layer) -> str:
    """A rounded graph output has a name of its own before it is rounded."""
    return layer.tensor if layer.output is None else layer.output.result


def _channels(values: Array, axis: int) -> npt.NDArray[np.float32]:
    moved = np.moveaxis(values, axis, 0)
    return np.ascontiguousarray(moved.reshape(len(moved), -1), np.float32)
