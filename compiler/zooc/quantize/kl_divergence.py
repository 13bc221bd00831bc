"""Ranges with the least loss of information (Kullback-Leibler divergence), from a sketch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zooc.quantize.sketches import BINS, Sketch

__all__ = ["kl_divergence_range"]

_CANDIDATES = 128
_LEVELS = 256
_ZERO = BINS // 2

Floats = npt.NDArray[np.float64]


def kl_divergence_range(sketch: Sketch) -> tuple[float, float]:
    """Searches the threshold whose quantized histogram diverges least from the full one.

    The algorithm of Szymon Migacz, "8-bit Inference with TensorRT" (GTC 2017), for 256 levels of uint8: for
    each threshold `t` the reference P is the histogram within `[-t, t]` with the outliers added to the
    outermost bins; Q is the same histogram without them, its bins collected into 256 levels and each level
    spread evenly over its nonempty bins; the threshold with the least `KL(P || Q)` wins. Bins that P fills
    and Q leaves empty (outliers only) count with a small probability instead of an infinite divergence. Like
    NVIDIA's tools the bin around zero takes its neighbours' height, since zeros are exact at any threshold.
    128 thresholds are tried, evenly spaced from where a level holds a single bin to the extreme; a one-sided
    tensor uses its 256 levels for one side.
    """
    if sketch.low == sketch.high:
        return sketch.low, sketch.high
    counts = sketch.counts.astype(np.float64)
    counts[_ZERO] = min(counts[_ZERO], max(counts[_ZERO - 1], counts[_ZERO + 1]))
    used = np.flatnonzero(counts)
    if not used.size:
        return sketch.low, sketch.high
    reach = int(np.abs(used - _ZERO).max())
    two_sided = bool(used[0] < _ZERO < used[-1])
    smallest = min(_LEVELS // (2 if two_sided else 1), reach)
    bounds = np.unique(np.linspace(smallest, reach, _CANDIDATES).round().astype(np.int64))[::-1]
    first, last = min(int(used[0]), _ZERO), max(int(used[-1]), _ZERO)
    divergences = [_divergence(counts, max(_ZERO - b, first), min(_ZERO + b, last)) for b in bounds.tolist()]
    best = int(bounds[int(np.argmin(divergences))])
    limit = (best + 1) * 2.0 ** (sketch.exponent - 11)
    return max(sketch.low, -limit), min(sketch.high, limit)


def _divergence(counts: Floats, first: int, last: int) -> float:
    """KL(P || Q) in nats when bins `first` to `last` (inclusive) are kept."""
    inside = counts[first : last + 1]
    reference = inside.copy()
    reference[0] += counts[:first].sum()
    reference[-1] += counts[last + 1 :].sum()
    size = inside.size
    starts = np.unique(np.arange(_LEVELS) * size // _LEVELS)
    filled = (inside > 0).astype(np.float64)
    mean = np.add.reduceat(inside, starts) / np.maximum(np.add.reduceat(filled, starts), 1.0)
    spread = np.repeat(mean, np.diff(np.append(starts, size))) * filled
    total = reference.sum()
    p = reference / total
    q = np.maximum(spread / max(spread.sum(), 1.0), 1e-4 / total)
    mask = p > 0
    return float(np.sum(p[mask] * np.log(p[mask] / q[mask])))
