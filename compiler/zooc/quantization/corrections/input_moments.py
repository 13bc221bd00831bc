"""What the inputs of a layer's sums have in common: their mean, and how they vary together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["InputMoments"]

Floats = npt.NDArray[np.float32]

_TOGETHER = 256
"""Samples that are multiplied at once: the products are as large as a weight matrix, and take time to add."""


class InputMoments:
    """Mean and covariance of vectors, a group of channels at a time, summed up over batches."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.count = 0
        self._waiting: list[Floats] = []
        self._origin: Any = None

    def add(self, samples: Floats) -> None:
        """Take float32 `[samples, groups, inputs]` in."""
        if self._origin is None:  # keeps the sums small, and a constant input's exactly zero
            self._origin = samples[0].copy()
            self._sum = np.zeros(samples.shape[1:], np.float64)
            self._products = np.zeros((*samples.shape[1:], samples.shape[2]), np.float32)
        self._waiting.append(samples - self._origin)
        if sum(map(len, self._waiting)) >= _TOGETHER:
            self._sum_up()

    def _sum_up(self) -> None:
        if self._waiting:
            columns = np.concatenate(self._waiting).transpose(1, 2, 0)
            self._waiting.clear()
            self.count += columns.shape[-1]
            self._sum += columns.sum(axis=-1)
            self._products += columns @ columns.transpose(0, 2, 1)

    def mean(self) -> Floats:
        """Return `[groups, inputs]`."""
        self._sum_up()
        return np.asarray(self._origin + self._sum / self.count, np.float32)

    def covariance(self) -> Floats:
        """Return `[groups, inputs, inputs]`."""
        self._sum_up()
        mean = (self._sum / self.count).astype(np.float32)
        return np.asarray(self._products / self.count - mean[..., None] * mean[:, None])
