"""Whole networks in int8, tried on calibration images against float."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from zooc.calibration.ranges import Ranges
from zooc.ir.session import open_session
from zooc.quantization.corrections.bias import BiasCorrection
from zooc.quantization.requantize import Requantizer
from zooc.support.cache import key
from zooc_runtime.inference.cpu import available_cores

__all__ = ["HeldBack", "Noise", "Trials", "hold_back"]

_LEAST_HELD = 4
"""Images in each part: fewer say too little to accept or refuse a step."""

Batch = npt.NDArray[Any]
Noise = npt.NDArray[np.float64]


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


class Trials:
    """Tries ranges: quantizes, corrects biases, runs, and compares the logits with float's.

    Attributes:
        done: the noise of everything that was tried, by part and a key of the ranges.
        count: how many ranges were tried; what was in `done` from the start does not count.
    """

    def __init__(
        self,
        body: onnx.ModelProto,
        images: HeldBack,
        requantize: Requantizer,
        correction: BiasCorrection | None,
        expected: Sequence[Ranges] = (),
        done: dict[str, list[float]] | None = None,
    ) -> None:
        """Prepare to compare with `body`, the float network that is quantized.

        Args:
            body: float32.
            images: at least one.
            requantize: of `body`.
            correction: of its biases, `None` to leave them.
            expected: ranges whose scales will be tried: what they need is measured in one pass.
            done: what an interrupted search of the same network on the same images has found; added to.
        """
        self._body, self._requantize, self._correction = body, requantize, correction
        self._images = {"search": images.search, "held": images.held}
        self._wanted: dict[str, npt.NDArray[Any]] = {}
        self._open: tuple[str, onnxruntime.InferenceSession] | None = None
        self._expected = list(expected)
        self.done, self.count = {} if done is None else done, 0

    def noise(self, ranges: Ranges, part: str) -> Noise:
        """Return what int8 adds to the logits of a part of the images.

        Args:
            ranges: of all observed tensors.
            part: `search` or `held`.

        Returns:
            For each image its noise power over the mean signal power of the part, float64 `[images]`.
        """
        name = key(ranges)
        if (known := self.done.get(f"{part} {name}")) is None:
            known = self.done[f"{part} {name}"] = self._compare(self._session(name, ranges), part).tolist()
        return np.asarray(known)

    def _session(self, name: str, ranges: Ranges) -> onnxruntime.InferenceSession:
        if self._open is None or self._open[0] != name:
            self.count += 1
            model = self._requantize(ranges)
            if self._correction is not None:
                expected = [self._requantize(one) for one in self._expected]
                self._expected.clear()
                self._correction.measure([model, *expected])
                self._correction.apply(model)
            self._open = name, open_session(model, threads=1)
        return self._open[1]

    def _compare(self, session: onnxruntime.InferenceSession, part: str) -> Noise:
        if part not in self._wanted:
            self._wanted[part] = self._logits(open_session(self._body, threads=1), part)
        wanted = self._wanted[part]
        noise = np.square(self._logits(session, part) - wanted).sum(axis=1)
        return np.asarray(noise / (float(np.square(wanted).sum(axis=1).mean()) or 1.0))

    def _logits(self, session: onnxruntime.InferenceSession, part: str) -> npt.NDArray[np.float64]:
        """float64 `[images, classes]`; every batch alone on a thread, so that nothing depends on the rest."""
        source = session.get_inputs()[0].name
        with ThreadPoolExecutor(available_cores()) as pool:
            found = list(pool.map(lambda batch: session.run(None, {source: batch})[0], self._images[part]))
        return np.concatenate(found).astype(np.float64)
