"""What a network says of an image."""

from __future__ import annotations

from dataclasses import dataclass

from ..support.arrays import F32Array

__all__ = ["Prediction", "Result"]


@dataclass(frozen=True)
class Prediction:
    """One class: its id, its name (the id as text in a package without labels), its probability."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Result:
    """What the network says of one image: the best classes, best first, and `float32 [classes]`."""

    topk: tuple[Prediction, ...]
    probabilities: F32Array
