"""Ranges with the least loss of information (Kullback-Leibler divergence), from a histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.calibration.histogram import BINS, Histogram

__all__ = ["kl_divergence_range"]

_CANDIDATES = 128
_LEVELS = 256
_ZERO = BINS // 2

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


def kl_divergence_range(histogram: Histogram) -> tuple[float, float]:
    """Search the threshold whose quantized histogram diverges least from the full one.

    The algorithm of Szymon Migacz, "8-bit Inference with TensorRT" (GTC 2017), for 256 levels of uint8: for
    each threshold `t` the reference P is the histogram within `[-t, t]` with the outliers added to the
    outermost bins; Q is the same histogram without them, its bins collected into 256 levels and each level
    spread evenly over its nonempty bins; the threshold with the least `KL(P || Q)` wins. Bins that P fills
    and Q leaves empty (outliers only) count with a small probability instead of an infinite divergence. Like
    NVIDIA's tools the bin around zero takes its neighbours' height, since zeros are exact at any threshold.
    128 thresholds are tried, evenly spaced from where a level holds a single bin to the extreme; a one-sided
    tensor uses its 256 levels for one side.
    """
    if histogram.low == histogram.high:
        return histogram.low, histogram.high
    counts = histogram.counts.astype(np.float64)
    counts[_ZERO] = min(counts[_ZERO], max(counts[_ZERO - 1], counts[_ZERO + 1]))
    used = np.flatnonzero(counts)
    if not used.size:
        return histogram.low, histogram.high
    reach = int(np.abs(used - _ZERO).max())
    two_sided = bool(used[0] < _ZERO < used[-1])
    smallest = min(_LEVELS // (2 if two_sided else 1), reach)
    bounds = np.unique(np.linspace(smallest, reach, _CANDIDATES).round().astype(np.int64))[::-1]
    first, last = min(int(used[0]), _ZERO), max(int(used[-1]), _ZERO)
    divergences = _divergences(counts, np.maximum(_ZERO - bounds, first), np.minimum(_ZERO + bounds, last))
    best = int(bounds[int(np.argmin(divergences))])
    limit = (best + 1) * 2.0 ** (histogram.exponent - 11)
    return max(histogram.low, -limit), min(histogram.high, limit)


def _divergences(counts: Floats, first: Places, last: Places) -> Floats:
    """KL(P || Q) in nats for each pair of bins, when those from `first` to `last` (inclusive) are kept.

    With `c` the counts, `r` those of P before they are divided by their sum T, and `m_l / S` what Q gives
    each nonempty bin of level l: `KL = (sum r log r - sum r log Q) / T - log T`. `r` is `c` but in the
    outermost bins, so that both sums are differences of running sums: none is over bins.
    """
    below, filled, entropy = (_running(v) for v in (counts, counts > 0, _x_log_x(counts)))
    total, end = below[-1], last + 1
    kept = below[end] - below[first]
    edges = first[:, None] + np.arange(_LEVELS + 1) * (end - first)[:, None] // _LEVELS
    sums = np.diff(below[edges], axis=1)
    means = sums / np.maximum(np.diff(filled[edges], axis=1), 1.0)
    log_levels = np.log(np.maximum(means, 1.0) / np.maximum(kept, 1.0)[:, None])
    own = entropy[end] - entropy[first]
    cross = (sums * log_levels).sum(axis=1)
    for place, level, outliers in ((first, 0, below[first]), (last, -1, total - below[end])):
        own += _x_log_x(counts[place] + outliers) - _x_log_x(counts[place])
        cross += outliers * np.where(
            counts[place] > 0, _level_of(log_levels, sums, level), np.log(1e-4 / total)
        )
    return np.asarray((own - cross) / total - np.log(total))


def _level_of(log_levels: Floats, sums: Floats, side: int) -> Floats:
    """The outermost bin's level: with fewer bins than levels some levels hold none."""
    held = sums > 0
    nearest = np.argmax(held if side == 0 else held[:, ::-1], axis=1)
    nearest = nearest if side == 0 else _LEVELS - 1 - nearest
    return np.asarray(np.take_along_axis(log_levels, nearest[:, None], axis=1)[:, 0])


def _running(values: npt.NDArray[Any]) -> Floats:
    """Sums of the first 0, 1, 2 ... values."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _x_log_x(counts: Floats) -> Floats:
    return np.asarray(counts * np.log(np.maximum(counts, 1.0)))
