"""How sure a rate is."""

from __future__ import annotations

import math

__all__ = ["wilson_interval"]

_Z = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a rate, both ends in 0..1; (0, 1) for no trials.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212:
    `(p + z^2 / 2n +- z * sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`.
    """
    if count == 0:
        return 0.0, 1.0
    rate, z2 = hits / count, _Z * _Z
    centre = rate + z2 / (2 * count)
    spread = _Z * math.sqrt(rate * (1 - rate) / count + z2 / (4 * count * count))
    low, high = (centre - spread) / (1 + z2 / count), (centre + spread) / (1 + z2 / count)
    # Exactly 0 and 1 at the ends, whatever rounding does.
    return (0.0 if hits == 0 else max(low, 0.0)), (1.0 if hits == count else min(high, 1.0))
