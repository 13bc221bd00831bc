"""Ranges with the least expected squared error, from a sketch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zooc.quantize.sketches import BINS, Sketch

__all__ = ["mse_range"]

_CANDIDATES = 256
_LEVELS = 255


def mse_range(sketch: Sketch) -> tuple[float, float]:
    """Searches both limits at once for the least mean squared quantization error.

    The error of the range `[a, b]` splits into the clipped tails, `sum (x - b)^2` above and `sum (x - a)^2`
    below, and the rounding inside, `step^2 / 12` a value with `step = (b - a) / 255`: the additive-noise
    model of Banner et al., "Post training 4-bit quantization of convolutional networks" (arXiv 1810.05723),
    with the histogram in place of their Gaussian or Laplacian. The tails' sums follow from suffix sums of
    count, sum and sum of squares, so that all 256 x 256 pairs of limits are evaluated together. The bin
    around zero costs nothing: exact zeros are exact in every range.
    """
    edges = sketch.edges
    if sketch.low == sketch.high:
        return sketch.low, sketch.high
    counts = sketch.counts.astype(np.float64)
    centres = (edges[:-1] + edges[1:]) / 2
    tops = _limits(sketch.high)
    bottoms = -_limits(-sketch.low)
    above = _clipping_error(counts, centres, tops)
    below = _clipping_error(counts[::-1], -centres[::-1], -bottoms)
    rounded = sketch.seen - float(counts[BINS // 2])
    steps = (tops[None, :] - bottoms[:, None]) / _LEVELS
    total = below[:, None] + above[None, :] + rounded * steps**2 / 12
    row, column = np.unravel_index(int(np.argmin(total)), total.shape)
    return float(bottoms[row]), float(tops[column])


def _limits(extreme: float) -> npt.NDArray[np.float64]:
    """Candidates up to the extreme, widest first so that ties keep more; only 0 where that is none."""
    if extreme <= 0:
        return np.zeros(1)
    return extreme * np.arange(_CANDIDATES, 0, -1, dtype=np.float64) / _CANDIDATES


def _clipping_error(
    counts: npt.NDArray[np.float64], centres: npt.NDArray[np.float64], limits: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """`sum of (x - limit)^2` over the values above each limit."""

    def suffix(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])

    first = np.searchsorted(centres, limits, side="right")
    n, s, q = suffix(counts)[first], suffix(counts * centres)[first], suffix(counts * centres**2)[first]
    return np.maximum(q - 2 * limits * s + limits**2 * n, 0.0)
