"""A sequential test of a mean over a finite set, by betting: stops as soon as the answer is clear.

The images of a contract are a finite set, and the question is about that set: is the mean of `x`, the loss
an image (1 lost, -1 won, 0 unchanged), at most the limit? Images are looked at in a random order, without
replacement. Two gamblers bet on the next image, one against "the limit is exceeded", one against "it is
kept". Under the hypothesis that it bets against, a gambler's wealth is a nonnegative supermartingale that
begins at 1, so it ever reaches `1 / alpha` with a probability of at most `alpha` (Ville's inequality).
Whoever gets there has refuted its hypothesis. Only discordant images move the wealth much, as in McNemar's
test of paired proportions, whose sequential counterpart this is; and unlike a fixed-size test's, the error
rates hold whenever one looks.

Sources: J. Ville, "Etude critique de la notion de collectif" (1939); Q. McNemar, Psychometrika 12 (1947),
153-157; I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", Journal of
the Royal Statistical Society B 86 (2024), 1-27 (section 5: sampling without replacement; the wealth here is
their grid-Kelly mixture).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

__all__ = ["SequentialTest", "Verdict"]

Verdict = Literal["holds", "fails"]

_STAKES = np.array([0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95])
"""Shares of what a gambler can lose on an image; the wealth is the mean over all of them."""


class SequentialTest:
    """Whether `mean(x) <= limit` over a set of `total` images, of which some may turn out not to count.

    An image that does not count is neither lost nor won and weighs nothing: with `y = x - limit` for the
    others and `y = 0` for it, the limit is kept exactly if the sum of `y` over all `total` is at most 0,
    however many they are.

    Attributes:
        seen: images looked at so far.
        verdict: `None` while nothing is clear.
        early: whether the verdict came before the last image.
    """

    def __init__(self, limit: float, total: int, *, least: float, alpha: float) -> None:
        """Begins a test.

        Args:
            limit: from 0 to 1.
            total: images in the set.
            least: the smallest `x` possible, -1 or 0; the largest is 1.
            alpha: the probability, at most, of stopping early with "holds" on a set that fails; and likewise
                the other way round.
        """
        self.seen = 0
        self.verdict: Verdict | None = None
        self.early = False
        self._limit, self._total, self._alpha = limit, total, alpha
        self._low, self._high = least - limit, 1.0 - limit
        self._sum = 0.0
        self._against_failing = np.zeros(len(_STAKES))
        self._against_holding = np.zeros(len(_STAKES))

    def add(self, x: float | None) -> Verdict | None:
        """Look at one more image, `None` if it does not count; after a verdict nothing changes any more."""
        if self.verdict is not None:
            return self.verdict
        y = 0.0 if x is None else x - self._limit
        # What the rest must have on the average for the whole to be exactly at the limit.
        null = -self._sum / (self._total - self.seen)
        with np.errstate(divide="ignore"):
            self._against_failing += np.log1p(-_STAKES * (y - null) / (self._high - null))
            if null > self._low:
                self._against_holding += np.log1p(_STAKES * (y - null) / (null - self._low))
        self._sum += y
        self.seen += 1
        self.verdict = self._judge()
        self.early = self.verdict is not None and self.seen < self._total
        return self.verdict

    def _judge(self) -> Verdict | None:
        left = self._total - self.seen
        tolerance = 1e-9 * self._total
        if self._sum + left * max(self._high, 0.0) <= tolerance:
            return "holds"
        if self._sum + left * min(self._low, 0.0) > tolerance:
            return "fails"
        if _log_mean(self._against_failing) >= -math.log(self._alpha):
            return "holds"
        if _log_mean(self._against_holding) >= -math.log(self._alpha):
            return "fails"
        return None


def _log_mean(logs: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """The logarithm of the mean wealth, of logarithms of wealth."""
    top = float(logs.max())
    return top if math.isinf(top) else top + math.log(float(np.exp(logs - top).mean()))
