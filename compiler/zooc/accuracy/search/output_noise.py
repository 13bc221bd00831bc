"""What int8 adds to a network's output, on two parts of the calibration images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from zooc.ir.session import open_session
from zooc.verification.agreement import top1_agreement
from zooc_runtime.inference.cpu import available_cores
from zooc_runtime.package.heads import Head

__all__ = ["HeldBack", "Noise", "OutputNoise", "Part", "hold_back", "is_less", "noise_db"]

_LEAST_HELD = 4
"""Images in each part: fewer say too little to accept or refuse a step."""

_CHANCE = 0.5
"""Standard errors by which the mean gain of the images must exceed zero, on each part of them."""

Batch = npt.NDArray[Any]
Noise = npt.NDArray[np.float64]
"""For each image of a part, its noise power over the mean signal power of the part, float64 `[images]`."""

Part = Literal["search", "held"]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Batches of calibration images in two parts.

    Attributes:
        search: on which a step is found.
        held: on which it is accepted or refused; `search` once more where the images do for one part only.
    """

    search: tuple[Batch, ...]
    held: tuple[Batch, ...]

    @property
    def apart(self) -> bool:
        """Whether they are two."""
        return self.held is not self.search


def hold_back(batches: Sequence[Batch]) -> HeldBack:
    """Hold every other batch back; of equal batches the first counts."""
    different = tuple({batch.tobytes(): batch for batch in batches}.values())
    if sum(map(len, different)) < 2 * _LEAST_HELD or len(different) < 2:
        return HeldBack(different, different)
    return HeldBack(different[::2], different[1::2])


class OutputNoise:
    """Compares networks' logits with those of the float network."""

    def __init__(self, body: onnx.ModelProto, images: HeldBack) -> None:
        """Run nothing yet.

        Args:
            body: the float network.
            images: at least one.
        """
        self._body = body
        self._images: dict[Part, tuple[Batch, ...]] = {"search": images.search, "held": images.held}
        self._wanted: dict[Part, npt.NDArray[np.float64]] = {}

    def of(self, session: onnxruntime.InferenceSession, part: Part) -> Noise:
        """Return what a network adds to the logits of a part of the images."""
        wanted = self._float(part)
        noise = np.square(self._logits(session, part) - wanted).sum(axis=1)
        return np.asarray(noise / (float(np.square(wanted).sum(axis=1).mean()) or 1.0))

    def agreement(self, session: onnxruntime.InferenceSession, heads: tuple[Head, ...]) -> float | None:
        """Return on which share of all images a network says what float does; `None` if it says nothing."""
        parts: list[Part] = (
            ["search", "held"] if self._images["held"] is not self._images["search"] else ["held"]
        )
        wanted = np.concatenate([self._float(part) for part in parts])
        found = np.concatenate([self._logits(session, part) for part in parts])
        return top1_agreement(wanted, found, heads)

    def _float(self, part: Part) -> npt.NDArray[np.float64]:
        if part not in self._wanted:
            self._wanted[part] = self._logits(open_session(self._body, threads=1), part)
        return self._wanted[part]

    def _logits(self, session: onnxruntime.InferenceSession, part: Part) -> npt.NDArray[np.float64]:
        """float64 `[images, classes]`; every batch alone on a thread, so that nothing depends on the rest."""
        source = session.get_inputs()[0].name
        with ThreadPoolExecutor(available_cores()) as pool:
            found = list(pool.map(lambda batch: session.run(None, {source: batch})[0], self._images[part]))
        return np.concatenate(found).astype(np.float64)


def is_less(noise: Noise, before: Noise) -> bool:
    """Tell whether the noise of the same images is less by more than chance on the average.

    A few images often have most of the noise; what suits just these says little of others.
    """
    gain = before - noise
    if len(gain) == 1:
        return bool(gain[0] > 0)
    return bool(gain.mean() > _CHANCE * gain.std(ddof=1) / math.sqrt(len(gain)))


def noise_db(noise: Noise) -> float:
    """Return the signal-to-noise ratio in decibels, `inf` without noise."""
    mean = float(noise.mean())
    return -10.0 * math.log10(mean) if mean > 0 else math.inf
