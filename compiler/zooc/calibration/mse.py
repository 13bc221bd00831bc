"""Ranges with the least expected error, of the values or of what is computed from them, from a histogram."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from zooc.calibration.histogram import BINS, Histogram

__all__ = ["CLIPPING_WEIGHT", "estimated_sqnr_db", "least_error_range", "mse_range"]

CLIPPING_WEIGHT = 10.0
"""How much more than rounding errors squared clipping errors count in sums; see `least_error_range`."""

_CANDIDATES = 192
_LEVELS = 255
_ZERO = BINS // 2

Floats = npt.NDArray[np.float64]


def mse_range(histogram: Histogram) -> tuple[float, float]:
    """Search both limits at once for the least mean squared quantization error.

    The error of the range `[a, b]` splits into the clipped tails, `sum (x - b)^2` above and `sum (x - a)^2`
    below, and the rounding inside, `step^2 / 12` a value with `step = (b - a) / 255`: the additive-noise
    model of Banner et al., "Post training 4-bit quantization of convolutional networks" (arXiv 1810.05723),
    with the histogram in place of their Gaussian or Laplacian. The tails' sums follow from suffix sums of
    count, sum and sum of squares, so that all pairs of 192 lower and 192 upper limits are evaluated
    together. Each pair is first moved so that zero is a level, as it will be in the end: a lower limit a
    few levels below zero moves by a notable part. The bin around zero costs nothing: exact zeros are exact
    in every range.
    """
    return _search(histogram, 1.0)


def least_error_range(histogram: Histogram) -> tuple[float, float]:
    """Return the range with the least estimated error in what the next layers make of the tensor.

    They sum it up: a convolution over taps and channels, a pool over space. Rounding errors of different
    elements are independent and have no sign, so `n` of them give a sum with the variance `n e^2`. Clipping
    errors always point towards zero and come in clusters, because a peak covers neighbouring elements: their
    sum grows up to `n e`, its square to `n^2 e^2`. So this is the search of `mse_range` with the clipped part
    of the error weighed by the number of elements that err together, for which the nine taps of a peak under
    a 3 x 3 window stand; `docs/design/quantization.md` has what was measured.
    """
    return _search(histogram, CLIPPING_WEIGHT)


def estimated_sqnr_db(histogram: Histogram, scale: float, zero_point: int) -> float | None:
    """Return what 256 levels leave of a tensor by the error of `mse_range`, as a signal-to-noise ratio in dB.

    Args:
        histogram: of the tensor.
        scale, zero_point: of its levels, `scale * (level - zero_point)`.

    Returns:
        `inf` where every value is exact; `None` of a tensor that is zero throughout.
    """
    counts = histogram.counts.astype(np.float64)
    width = 2.0 ** (histogram.exponent - 11)
    sides = ((counts, _LEVELS - zero_point), (counts[::-1], zero_point))
    beyond = sum(float(_clipping_error(side, width, np.asarray(scale * levels))) for side, levels in sides)
    signal = sum(float(_clipping_error(side, width, np.zeros(()))) for side, _ in sides)
    noise = beyond + (histogram.seen - float(counts[_ZERO])) * scale**2 / 12
    if signal <= 0.0:
        return None
    return 10.0 * math.log10(signal / noise) if noise > 0.0 else math.inf


def _search(histogram: Histogram, clipping_weight: float) -> tuple[float, float]:
    """The pair of limits with the least `clipping_weight * clipping error + rounding error`."""
    if histogram.low == histogram.high:
        return histogram.low, histogram.high
    tops, bottoms = _limits(histogram.high)[None, :], -_limits(-histogram.low)[:, None]
    steps = (tops - bottoms) / _LEVELS
    levels_below = np.rint(-bottoms / steps)
    counts = histogram.counts.astype(np.float64)
    width = 2.0 ** (histogram.exponent - 11)
    above = _clipping_error(counts, width, (_LEVELS - levels_below) * steps)
    below = _clipping_error(counts[::-1], width, levels_below * steps)
    rounded = histogram.seen - float(counts[_ZERO])
    error = clipping_weight * (above + below) + rounded * steps**2 / 12
    row, column = np.unravel_index(int(np.argmin(error)), steps.shape)
    return float(bottoms[row, 0]), float(tops[0, column])


def _limits(extreme: float) -> Floats:
    """Candidates up to the extreme, widest first so that ties keep more; only 0 where there is none."""
    if extreme <= 0:
        return np.zeros(1)
    return extreme * np.arange(_CANDIDATES, 0, -1, dtype=np.float64) / _CANDIDATES


def _clipping_error(counts: Floats, width: float, limits: Floats) -> Floats:
    """`sum of (x - limit)^2` over the positive values above each limit; values sit at their bins' centres."""
    positive = counts[_ZERO + 1 :]
    centres = (np.arange(positive.size) + 1.5) * width

    def suffix(values: Floats) -> Floats:
        return np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])

    first = np.clip(np.ceil(limits / width - 1.5), 0, positive.size).astype(np.intp)
    n, s, q = suffix(positive)[first], suffix(positive * centres)[first], suffix(positive * centres**2)[first]
    return np.asarray(np.maximum(q - 2 * limits * s + limits**2 * n, 0.0))
