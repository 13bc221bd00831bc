"""Many batches through a network into histograms, on several threads, stoppable after any batch.

Each worker takes the next batch, prepares it, runs it and counts it into histograms of its own. Merging
histograms gives the same bits whatever the order, so that nothing but the total depends on who did what.
While one worker is in ONNX Runtime another counts: decoding, inference and counting overlap, and each image's
activations stay in the cache of the core that computed them.
"""

from __future__ import annotations

import array
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from zooc.calibration.histogram import ActivationHistograms
from zooc_runtime.inference.cpu import available_cores

__all__ = [
    "BatchTask",
    "CalibrationState",
    "Crew",
    "ThreadCrew",
    "collect",
    "collect_histograms",
    "workers_for",
]

_MOST_WORKERS = 4
"""More would finish sooner on large machines, but each holds one image's activations."""

_ACTIVATION_BYTES = 1 << 30
"""What the activations in flight may take together, if that is enough for one worker."""

_POLL = 0.2
"""Seconds between looks for Ctrl-C, for platforms where a waiting thread does not notice it."""

Batch = npt.NDArray[Any]
Run = Callable[[Batch], AbstractContextManager[Mapping[str, Batch]]]
"""A batch to the values of every observed tensor, and perhaps more, for as long as the context lasts; called
on several threads at once."""


@dataclass(frozen=True, slots=True)
class BatchTask:
    """A batch that is still to be made.

    Attributes:
        indices: the images' places in the list, for the account of what is done.
        load: called on a worker's thread; gives the batch, or `None` if none of its images is usable, and
            how many of its rows count (a network of a fixed batch has its last batch filled up).
    """

    indices: Sequence[int]
    load: Callable[[], tuple[Batch | None, int]]


def workers_for(each: int) -> int:
    """Return how many threads may work at a time, where each holds so many bytes of activations."""
    fitting = _ACTIVATION_BYTES // max(each, 1)
    return max(1, min(fitting, available_cores(), _MOST_WORKERS))


class CalibrationState:
    """ActivationHistograms, and the places of the images that are in them."""

    def __init__(self, histograms: ActivationHistograms, done: Iterable[int] = ()) -> None:
        self.histograms = histograms
        self.done = array.array("q", done)

    def add(self, other: CalibrationState) -> None:
        """Add what `other` holds, which stays as it is."""
        self.histograms.merge(other.histograms)
        self.done.extend(other.done)


class Crew(Protocol):
    """Those who count a calibration's images.

    Attributes:
        failure: what ended the work, to be raised by the calling thread.
        ended_early: whether images are left.
    """

    failure: BaseException | None
    ended_early: bool

    @property
    def whole(self) -> bool:
        """Whether everything that `snapshot` gives is whole batches."""

    def start(self) -> None:
        """Begin."""

    def finished_batches(self) -> Iterator[int]:
        """Yield the number of images of each batch, or of several, as they are done, until the work ends."""

    def stop(self) -> None:
        """Begin nothing more, and wait for what is under way."""

    def snapshot(self, base: CalibrationState) -> CalibrationState:
        """Return a copy of `base` with every whole batch added."""


def collect_histograms(
    items: Iterable[BatchTask],
    run: Run,
    into: CalibrationState,
    *,
    workers: int | None = None,
    on_images: Callable[[int], None] | None = None,
    checkpoint: Callable[[CalibrationState], None] | None = None,
    every: float = 2.0,
) -> None:
    """Histogram every item into `into`.

    Args:
        items: taken one at a time, when a worker is free.
        run: see `Run`.
        into: changed in place when the pass ends, also when it ends by an exception (Ctrl-C included): then
            it holds the whole batches that were done.
        workers: how many threads; `None` means one a core, at most `_MOST_WORKERS`, and fewer if activations
            are large.
        on_images: called on the calling thread with the number of images just done.
        checkpoint: called on the calling thread with a copy of everything done so far, about every `every`
            seconds, and once more when the pass ends early (but not by a failure in the midst of counting:
            then the last one holds more than what is left).
        every: seconds.

    Raises:
        ZoocError: Z0411, an activation is NaN or infinite.
        Exception: what `run`, a `load` or `items` raised.
    """
    crew = ThreadCrew(items, run, into.histograms, workers)
    collect(crew, into, on_images=on_images, checkpoint=checkpoint, every=every)


def collect(
    crew: Crew,
    into: CalibrationState,
    *,
    on_images: Callable[[int], None] | None = None,
    checkpoint: Callable[[CalibrationState], None] | None = None,
    every: float = 2.0,
) -> None:
    """Add what the crew counts to `into`; arguments and errors are those of `collect_histograms`."""
    saved = time.monotonic()
    try:
        crew.start()
        for count in crew.finished_batches():
            if on_images is not None:
                on_images(count)
            if checkpoint is not None and time.monotonic() - saved >= every:
                checkpoint(crew.snapshot(into))
                saved = time.monotonic()
    finally:
        crew.stop()
        total = crew.snapshot(into)
        into.histograms, into.done = total.histograms, total.done
        if checkpoint is not None and crew.ended_early and crew.whole:
            checkpoint(into)
    if crew.failure is not None:
        raise crew.failure


class _Worker:
    """One thread's share of the work."""

    def __init__(self, tensors: Iterable[str]) -> None:
        self.state = CalibrationState(ActivationHistograms(tensors))
        self.lock = threading.Lock()
        self.half_counted = False

    def count(self, item: BatchTask, values: Mapping[str, Batch], size: int, rows: int) -> None:
        """Add the first `rows` of a batch of `size` images; all of it or, on failure, none."""
        with self.lock:
            self.half_counted = True
            for name in self.state.histograms if values else ():
                value = values[name]
                kept = value if rows == size else value[: len(value) * rows // size]
                self.state.histograms.update(name, kept)
            self.state.histograms.images += rows
            self.state.done.extend(item.indices)
            self.half_counted = False


class ThreadCrew:
    """Threads of this process, and what they tell the calling thread; see `Crew`."""

    def __init__(
        self, items: Iterable[BatchTask], run: Run, tensors: Iterable[str], workers: int | None = None
    ) -> None:
        """Take items, one at a time, when a worker is free; the rest is as for `collect_histograms`."""
        self._items = iter(items)
        self._items_lock = threading.Lock()
        self._run = run
        names = tuple(tensors)
        self._workers = [_Worker(names) for _ in range(workers or workers_for(0))]
        self._threads: list[threading.Thread] = []
        self._events: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._bytes = 0
        self.failure: BaseException | None = None
        self.ended_early = True

    def start(self) -> None:
        """One worker; the others follow when its first batch has shown how much memory one takes."""
        self._start_up_to(1)

    def finished_batches(self) -> Iterator[int]:
        """Yield the number of images of each batch as it is done, until all workers have ended."""
        ended = 0
        while ended < len(self._threads):
            try:
                event = self._events.get(timeout=_POLL)
            except queue.Empty:
                continue
            if event is None:
                ended += 1
                continue
            if self._bytes and not self._stopping.is_set():
                self._start_up_to(_ACTIVATION_BYTES // self._bytes)
            yield event
        self.ended_early = self.failure is not None

    def stop(self) -> None:
        """Let every worker finish its batch; one that waits for an image on its way is let go."""
        self._stopping.set()
        with self._items_lock:
            if isinstance(self._items, Generator):
                self._items.close()
        for thread in self._threads:
            thread.join()

    def snapshot(self, base: CalibrationState) -> CalibrationState:
        """Return a copy of `base` with every worker's whole batches added."""
        total = CalibrationState(base.histograms.copy(), base.done)
        for worker in self._workers:
            with worker.lock:
                if not worker.half_counted:
                    total.add(worker.state)
        return total

    @property
    def whole(self) -> bool:
        """Whether every worker's histograms hold whole batches."""
        return not any(worker.half_counted for worker in self._workers)

    def _start_up_to(self, size: int) -> None:
        for worker in self._workers[len(self._threads) : size]:
            thread = threading.Thread(target=self._work, args=(worker,), name="zooc-calibrate", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self, worker: _Worker) -> None:
        try:
            while (item := self._next_item()) is not None:
                batch, rows = item.load()
                with nullcontext({}) if batch is None else self._run(batch) as values:
                    self._bytes = max(self._bytes, sum(value.nbytes for value in values.values()))
                    worker.count(item, values, 1 if batch is None else len(batch), rows)
                del batch
                self._events.put(len(item.indices))
        except BaseException as failure:  # handed to the calling thread, which raises it
            self.failure = self.failure or failure
            self._stopping.set()
        finally:
            self._events.put(None)

    def _next_item(self) -> BatchTask | None:
        with self._items_lock:
            return None if self._stopping.is_set() else next(self._items, None)
