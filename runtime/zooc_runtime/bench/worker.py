"""One process of the benchmark: its streams, their requests, and what each took.

A request is `batch_size` images, or a tensor of as many. With `queue_size` 0 a stream submits its next
request when it has its answer; otherwise a submitter keeps up to `queue_size` requests waiting, and the wait
counts: latency is from a request's acceptance into the queue to its answer. Making the random images is no
part of it; reading an npz file is. Requests end to end are the pipeline's affair (`bench_pipeline`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from ..errors import PackageError
from ..evaluation.npz import read_input
from ..inference.cpu import peak_memory_mb
from ..inference.model import Model, open_package
from ..support.arrays import AnyArray
from .end_to_end import measure_pipeline, warm_pipeline
from .job import STAGES, Job, Measurement, Requests

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
        _in_threads(stop, job.instances, lambda: _warm(model, source, job.warmup, stop))
    return model, result


def measure(job: Job, model: Model, result: Measurement) -> Measurement:
    """Run the measured requests and fill in `result`."""
    if job.mode == "end_to_end":
        return measure_pipeline(job, model, result)
    source = _Source(job, model)
    lock = threading.Lock()
    stop = threading.Event()
    result.start = time.monotonic()
    requests = Requests(job, stop)
    queue = _Queue(requests, job.queue_size, stop) if job.queue_size else None

    def stream() -> None:
        latencies: list[float] = []
        spent = dict.fromkeys(STAGES, 0.0)
        numbered = queue.take() if queue else ((number, time.monotonic()) for number in requests)
        for number, submitted in numbered:
            for stage, seconds in zip(STAGES, _answer(model, source, number), strict=True):
                spent[stage] += seconds
            latencies.append(time.monotonic() - submitted)
        with lock:
            result.latencies += latencies
            for stage, seconds in spent.items():
                result.stages[stage] += seconds

    _in_threads(stop, job.instances, stream, queue.fill if queue else None)
    result.end = time.monotonic()
    result.memory_mb = peak_memory_mb()
    return result


class _Queue:
    """Bounded queue of submitted requests; a request's clock starts when a place has been found for it."""

    def __init__(self, requests: Requests, size: int, stop: threading.Event) -> None:
        self._requests = requests
        self._stop = stop
        self._places = threading.Semaphore(size)
        self._filled = threading.Semaphore(0)
        self._waiting: list[tuple[int, float]] = []
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Submits all requests, as places become free."""
        for number in self._requests:
            while not self._places.acquire(timeout=0.1) and not self._stop.is_set():
                pass  # a stream that has failed frees no more places
            with self._lock:
                self._waiting.append((number, time.monotonic()))
            self._filled.release()
        self._filled.release()

    def take(self) -> Iterator[tuple[int, float]]:
        """Yield requests and when they were submitted, first come first served."""
        while True:
            self._filled.acquire()
            with self._lock:
                item = self._waiting.pop(0) if self._waiting else None
            if item is None:
                self._filled.release()  # wakes the next stream, which ends likewise
                return
            self._places.release()
            yield item


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


def _in_threads(
    stop: threading.Event, count: int, work: Callable[[], None], beside: Callable[[], None] | None = None
) -> None:
    """Runs `work` in `count` threads and `beside` in one; raises the first error that one of them met.

    After an error or Ctrl-C `stop` is set and the threads are awaited: the interpreter must not end while
    one is in an engine.
    """
    errors: list[BaseException] = []
    jobs = [work] * count + ([beside] if beside else [])
    # Not Thread.join: once interrupted, it takes the thread for ended (Python < 3.13).
    running: set[int] = set()
    ended = threading.Semaphore(0)

    def run(index: int) -> None:
        try:
            jobs[index]()
        except BaseException as error:
            errors.append(error)
            stop.set()
        finally:
            running.discard(index)
            ended.release()

    try:
        for index in range(len(jobs)):
            thread = threading.Thread(target=run, args=(index,))
            running.add(index)
            try:
                thread.start()
            except RuntimeError:
                running.discard(index)
                raise PackageError("no more threads can be started; lower --instance") from None
        while running:
            ended.acquire(timeout=1)
    except BaseException:
        stop.set()
        while running:
            ended.acquire(timeout=1)
        raise
    if errors:
        raise errors[0]


def _normalized(pixels: AnyArray) -> AnyArray:
    scaled: AnyArray = (pixels / 127.5 - 1).astype(np.float32)
    return scaled
