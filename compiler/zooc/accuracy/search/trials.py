"""Whole networks in int8, tried on calibration images against float."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime

from zooc.accuracy.search.output_noise import HeldBack, Noise, OutputNoise, Part
from zooc.calibration.ranges import Ranges
from zooc.ir.session import open_session
from zooc.quantization.corrections.bias import BiasCorrection
from zooc.quantization.requantize import Requantizer
from zooc.support.cache import key

__all__ = ["Trials"]


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
        self._requantize, self._correction = requantize, correction
        self._output = OutputNoise(body, images)
        self._open: tuple[str, onnxruntime.InferenceSession] | None = None
        self._expected = list(expected)
        self.done, self.count = {} if done is None else done, 0

    def noise(self, ranges: Ranges, part: Part) -> Noise:
        """Return what int8 adds to the logits of a part of the images.

        Args:
            ranges: of all observed tensors.
            part: `search` or `held`.

        Returns:
            For each image its noise power over the mean signal power of the part, float64 `[images]`.
        """
        name = key(ranges)
        if (known := self.done.get(f"{part} {name}")) is None:
            known = self.done[f"{part} {name}"] = self._output.of(self._session(name, ranges), part).tolist()
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
