"""How fast the compiled stages are on this machine, each against what it replaces, timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import onnx

from zooc.deployment import Preprocess
from zooc.ir.interface import input_of
from zooc.ir.session import open_session
from zooc.verification.goldens import synthetic_input
from zooc_runtime.inference.cpu import available_cores, cpu_name
from zooc_runtime.preprocessing.pillow_steps import reference_pixels

__all__ = ["Speed", "Timing", "measure_speed", "random_feed"]

_ROUNDS = 15
_IMAGE = (375, 500)


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of two ways to do one thing, on one thread; `ratio` above 1: ours is faster."""

    what: str
    baseline: str
    baseline_ms: float
    ours_ms: float

    @property
    def ratio(self) -> float:
        """Baseline over ours."""
        return self.baseline_ms / self.ours_ms


@dataclass(frozen=True)
class Speed:
    """The comparisons, and the machine they were made on."""

    machine: str
    comparisons: tuple[Timing, ...]


def measure_speed(
    preprocess: Preprocess | None,
    float_body: onnx.ModelProto,
    body: onnx.ModelProto,
    prelude: onnx.ModelProto | None,
) -> Speed:
    """Time the body against its float form and the prelude against Pillow, in turn, `_ROUNDS` times each."""
    comparisons = []
    feed = random_feed(body)
    float_run, run = _runner(float_body, feed), _runner(body, feed)
    comparisons.append(_compare("network, batch 1", "float32", float_run, run))
    if prelude is not None and preprocess is not None:
        image = synthetic_input(prelude, *_IMAGE)
        comparisons.append(
            _compare(
                f"preprocessing, {_IMAGE[1]} x {_IMAGE[0]}",
                "Pillow",
                lambda: reference_pixels(image, preprocess.source, preprocess.steps),
                _runner(prelude, {"image": image}),
            )
        )
    return Speed(f"{cpu_name()}, {available_cores()} cores", tuple(comparisons))


def _compare(what: str, baseline: str, theirs: Callable[[], Any], ours: Callable[[], Any]) -> Timing:
    times: tuple[list[float], list[float]] = ([], [])
    for round_number in range(_ROUNDS + 2):
        for taken, call in zip(times, (theirs, ours), strict=True):
            start = time.perf_counter()
            call()
            if round_number >= 2:
                taken.append(1e3 * (time.perf_counter() - start))
    return Timing(what, baseline, median(times[0]), median(times[1]))


def _runner(model: onnx.ModelProto, feed: dict[str, Any]) -> Callable[[], Any]:
    session = open_session(model, threads=1)
    return lambda: session.run(None, feed)


def random_feed(body: onnx.ModelProto) -> dict[str, Any]:
    """Return an input for timing, by name: pixels of every value, or normally distributed numbers."""
    source = input_of(body)
    shape = [size or 1 for size in source.sizes]
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, shape) if source.dtype == "uint8" else rng.standard_normal(shape)
    return {source.name: values.astype(source.dtype)}
