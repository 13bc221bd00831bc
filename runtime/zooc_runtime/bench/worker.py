"""One process of the benchmark: its streams, their requests, and what each took.

A request is `batch_size` images, or a tensor of as many. With `queue_size` 0 a stream submits its next
request when it has its answer; otherwise a submitter keeps up to `queue_size` requests waiting, and the wait
counts: latency is from a request's acceptance into the queue to its answer. At a `rate` it is from when the
request was due (`load`). Making the random images is no part of it; reading an npz file is. Requests end to
end are the pipeline's affair (`end_to_end`), those to a server `served`'s.
"""

from __future__ import annotations

import threading
import time

import numpy as np

from ..errors import PackageError
from ..evaluation.npz import read_input
from ..inference.cpu import peak_memory_mb
from ..inference.model import Model, open_package
from ..support.arrays import AnyArray
from .end_to_end import measure_pipeline, warm_pipeline
from .job import STAGES, Job, Measurement
from .load import open_load
from .threads import in_threads

__all__ = ["measure", "prepare"]

_RANDOM_IMAGES = 4


class _Source:
    """What each request runs on: random images or a tensor, made once, or the listed npz files in turn."""

    def __init__(self, job: Job, model: Model) -> None:
        self._files = job.files
        self._batch = job.batch_size
        self._random: list[AnyArray] = []
        self.tensor: AnyArray | None = None
        random = np.random.default_rng(0)
        self._channels = model.image_channels
        channels, height, width = job.shape
        if job.mode == "network_only":
            pixels = random.integers(0, 256, (job.batch_size, *model.input_shape), dtype=np.uint8)
            self.tensor = pixels if model.takes_images else _normalized(pixels)
        elif not job.files:
            for _ in range(_RANDOM_IMAGES):
                frame = (height // 2 * 3, width // 2 * 2)
                shape = frame if model.takes_frames else (height, width, channels)
                pixels = random.integers(0, 256, shape, dtype=np.uint8)
                self._random.append(pixels if model.takes_images else _normalized(pixels.transpose(2, 0, 1)))

    def images(self, request: int) -> list[AnyArray]:
        """Return the images of a request; numbers begin at 0 and wrap around the files."""
        numbers = range(request * self._batch, (request + 1) * self._batch)
        if self._random:
            return [self._random[i % len(self._random)] for i in numbers]
        return [read_input(self._files[i % len(self._files)], self._channels) for i in numbers]


def prepare(job: Job) -> tuple[Model, Measurement]:
    """Load the package and warm it up: `warmup` requests on each stream, not counted."""
    begin = time.monotonic()
    model = open_package(
        job.directory,
        job.engine,
        job.threads,
        job.batch_size,
        job.vdsp_params,
        streams=job.instances,
        **job.placement.arguments,
    )
    result = Measurement(load=time.monotonic() - begin, engine=model.engine, runs_on=model.runs_on)
    if job.files and model.takes_frames:
        raise PackageError("the files contain RGB images, but this package was compiled to take NV12 frames")
    if job.mode == "end_to_end":
        warm_pipeline(job, model)
    elif job.warmup:
        source = _Source(job, model)
        stop = threading.Event()
        in_threads(stop, job.instances, lambda: _warm(model, source, job.warmup, stop))
    return model, result


def measure(job: Job, model: Model, result: Measurement) -> Measurement:
    """Run the measured requests and fill in `result`."""
    if job.mode == "end_to_end":
        return measure_pipeline(job, model, result)
    source = _Source(job, model)
    lock = threading.Lock()
    stop = threading.Event()
    result.start = time.monotonic()
    load = open_load(job, stop)

    def stream() -> None:
        latencies: list[float] = []
        spent = dict.fromkeys(STAGES, 0.0)
        for number, submitted in load.take():
            for stage, seconds in zip(STAGES, _answer(model, source, number), strict=True):
                spent[stage] += seconds
            latencies.append(time.monotonic() - submitted)
        with lock:
            result.latencies += latencies
            for stage, seconds in spent.items():
                result.stages[stage] += seconds

    in_threads(stop, job.instances, stream, load.fill)
    result.end = time.monotonic()
    result.refused = load.refused
    result.memory_mb = peak_memory_mb()
    return result


def _answer(model: Model, source: _Source, number: int) -> tuple[float, float, float, float]:
    """Answers one request; returns the seconds that each of `STAGES` took."""
    begin = time.monotonic()
    if source.tensor is not None:
        model.run_tensor(source.tensor)
        return 0.0, 0.0, time.monotonic() - begin, 0.0
    images = source.images(number)
    decoded = time.monotonic()
    prelude = model.stages.prelude
    tensor = np.stack([prelude.pixels(image) for image in images] if prelude else images)
    prepared = time.monotonic() if prelude else decoded  # stacking tensors is the body's affair
    logits = model.run_tensor(tensor)
    inferred = time.monotonic()
    model.finish(logits)
    return decoded - begin, prepared - decoded, inferred - prepared, time.monotonic() - inferred


def _warm(model: Model, source: _Source, count: int, stop: threading.Event) -> None:
    for number in range(count):
        if not stop.is_set():
            _answer(model, source, number)


def _normalized(pixels: AnyArray) -> AnyArray:
    scaled: AnyArray = (pixels / 127.5 - 1).astype(np.float32)
    return scaled
