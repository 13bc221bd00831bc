"""Reproducible random weights: every tensor is drawn by its own name, so no library's version changes them.

A library's own initialization is no good here: it sets the last BatchNorm of each residual branch to zero,
which leaves branches that do nothing, and it differs between versions.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["draw_weight"]


def draw_weight(key: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """The float32 tensor of `shape` for the state-dict entry `key`.

    Convolutions get He's variance `2 / fan_in` (arXiv:1502.01852), matrices and embeddings 0.02, the factors
    of norms lie in 0.5 to 1, running variances above 1, biases and running means around 0 with 0.05.
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
        z = np.clip(0.75 + 0.1 * z, 0.5, 1.0)
    else:
        z = 0.05 * z
    return np.asarray(z, dtype=np.float32)
