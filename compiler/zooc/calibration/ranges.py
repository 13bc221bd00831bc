"""From histograms to ranges: which interval of a tensor's values the 256 levels of uint8 cover."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zooc.calibration.histogram import ActivationHistograms, Histogram
from zooc.calibration.kl_divergence import kl_divergence_range
from zooc.calibration.mse import least_error_range, mse_range
from zooc.deployment import DEFAULT_PERCENTILE, CalibrationMethod

__all__ = [
    "Range",
    "Ranges",
    "choose_ranges",
    "max_range",
    "percentile_range",
    "symmetric",
    "with_zero",
]

Range = tuple[float, float]
"""`(low, high)` with `low <= 0 <= high`: zero is a level of every quantized tensor."""

Ranges = dict[str, Range]
"""Tensor name to its range."""


def choose_ranges(histograms: ActivationHistograms, method: CalibrationMethod) -> Ranges:
    """Return ranges of all observed tensors by one method.

    `auto` searches by running the network; from histograms alone it is the range with the least estimated
    error in what is computed from the tensor. An all-zero tensor has the range `(0, 0)`, a constant one
    `(0, c)` or `(c, 0)`.
    """
    choose = _chooser(method)
    return {name: with_zero(choose(histograms[name])) for name in histograms}


def _chooser(method: CalibrationMethod) -> Callable[[Histogram], Range]:
    if method.name == "max":
        return max_range
    if method.name == "kl_divergence":
        return kl_divergence_range
    if method.name == "mse":
        return mse_range
    if method.name == "auto":
        return least_error_range
    percentile = DEFAULT_PERCENTILE if method.percentile is None else method.percentile
    return lambda histogram: percentile_range(histogram, percentile)


def max_range(histogram: Histogram) -> Range:
    """Return the exact extremes."""
    return histogram.low, histogram.high


def percentile_range(histogram: Histogram, percentile: float) -> Range:
    """Return the interval that keeps `percentile` % of the values.

    A tensor without negative values (a ReLU's output) is clipped at the top only: its upper limit is the
    percentile itself. Of others each tail loses half of what is to be clipped. Within a bin the values count
    as evenly spread; bins are 1/2048 of the range wide. Zeros count as values, as in ONNX Runtime and in
    Vastai's tools.

    Args:
        histogram: of at least one value.
        percentile: above 0, at most 100, which is `max`.
    """
    clipped = histogram.seen * (1.0 - percentile / 100.0)
    if histogram.low >= 0.0:
        return histogram.low, _upper(histogram, clipped)
    if histogram.high <= 0.0:
        return -_upper(_mirrored(histogram), clipped), histogram.high
    return -_upper(_mirrored(histogram), clipped / 2), _upper(histogram, clipped / 2)


def _mirrored(histogram: Histogram) -> Histogram:
    return Histogram(histogram.counts[::-1].copy(), histogram.exponent, -histogram.high, -histogram.low)


def _upper(histogram: Histogram, clipped: float) -> float:
    """The smallest limit above which at most `clipped` values lie."""
    if clipped <= 0:
        return histogram.high
    kept = histogram.seen - clipped
    below = np.concatenate([[0], np.cumsum(histogram.counts)])
    index = max(int(np.searchsorted(below, kept, side="left")) - 1, 0)
    edges = histogram.edges
    share = (kept - below[index]) / max(int(histogram.counts[index]), 1)
    return float(edges[index] + share * (edges[index + 1] - edges[index]))


def symmetric(limits: Range) -> Range:
    """Return a two-sided range widened to the same reach on both sides; a one-sided one as it is."""
    low, high = limits
    if low >= 0.0 or high <= 0.0:
        return limits
    reach = max(-low, high)
    return -reach, reach


def with_zero(limits: Range) -> Range:
    """Return a range widened to contain zero."""
    return min(limits[0], 0.0) + 0.0, max(limits[1], 0.0) + 0.0
