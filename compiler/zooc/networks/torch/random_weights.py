"""Reproducible random weights: every tensor is drawn by its own name, so no library's version changes them.

A library's own initialization is no good here: it sets the last BatchNorm of each residual branch to zero,
which leaves branches that do nothing, and it differs between versions.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["draw_weight", "norm_factor"]


_DEEP = 150
"""Number of norms up to which the usual factor does."""


def norm_factor(norms: int) -> float:
    """Return the mean factor of norms for a network that has so many.

    Each residual block adds to the sum's variance. In the deepest ResNeSts it would grow until the attention
    saturates, and float32's rounding would decide the scores; there the factors are smaller.
    """
    return 0.75 * min(1.0, math.pow(_DEEP / max(norms, 1), 1 / 3))


def draw_weight(key: str, shape: tuple[int, ...], seed: int, factor: float = 0.75) -> npt.NDArray[np.float32]:
    """Return the float32 tensor of `shape` for the state-dict entry `key`.

    Convolutions get He's variance `2 / fan_in` (arXiv:1502.01852), matrices and embeddings 0.02, the factors
    of norms lie within 0.25 of `factor`, running variances above 1, biases and running means around 0 with
    0.05.
    """
    rng = np.random.default_rng((seed, zlib.crc32(key.encode())))
    z = rng.standard_normal(shape)
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "running_var":
        z = 1 + 0.1 * np.abs(z)
    elif leaf == "weight" and len(shape) > 2:
        z = z * np.sqrt(2.0 / np.prod(shape[1:]))
    elif len(shape) > 1:
        z = 0.02 * z
    elif leaf in ("weight", "gamma"):
        z = np.clip(factor + 0.1 * z, factor - 0.25, factor + 0.25)
    else:
        z = 0.05 * z
    return np.asarray(z, dtype=np.float32)
