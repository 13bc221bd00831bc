"""Images answered in the background: decoding, prelude, body and postlude of different images overlap.

One worker a core takes whatever piece of work is furthest along: a batch that is ready goes through the
network if one of the engine's streams is free; else the next image is decoded and preprocessed. So all cores
are busy as long as there is work, and no more threads than cores, whichever stage is the slow one.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

import numpy as np

from ..errors import PackageError
from ..preprocessing.decode import ImageLike
from .cpu import available_cores
from .stamps import Stamps

if TYPE_CHECKING:
    from ..support.arrays import AnyArray
    from .network import Network
    from .results import Result

__all__ = ["Pipeline"]

_started: WeakSet[Pipeline] = WeakSet()


@dataclass(eq=False)
class _Request:
    """One image, how many classes to name, and the answer to come."""

    image: ImageLike
    topk: int | None
    answer: Future[Result] = field(default_factory=Future)
    pixels: AnyArray | None = None
    stamps: Stamps = field(default_factory=Stamps)
    prepared: bool = False


@dataclass(eq=False)
class _Batch:
    """Requests that go through the network together.

    Only work to be done refers to the model: idle workers keep none alive.
    """

    model: Network
    requests: list[_Request]
    open_until: float = -math.inf
    begun: int = 0
    prepared: int = 0

    def is_ready(self, now: float) -> bool:
        """Tell whether all images are prepared, and no more are waited for."""
        return self.prepared == len(self.requests) and now >= self.open_until


class Pipeline:
    """The workers of a model and what they have to do. They start with the first request.

    Args:
        streams: batches in the network at the same time.
        max_batch: images in a batch, at most.
        max_wait_us: how long a batch may wait to be filled by `submit` though a stream is free, microseconds.

    Attributes:
        seconds: what the workers have spent in each stage.
    """

    def __init__(self, streams: int, max_batch: int, max_wait_us: float) -> None:
        self._streams = streams
        self._max_batch = max_batch
        self._max_wait = max_wait_us / 1e6
        self._count = max(available_cores(), streams)
        self._workers: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._batches: deque[_Batch] = deque()
        self._filling: _Batch | None = None
        self._window = 2 + self._count // max_batch  # batches prepared ahead: bounds the pixels that wait
        self._running = 0
        self._closed = False
        self.seconds = dict.fromkeys(("decode", "prelude", "body", "postlude"), 0.0)

    def submit(
        self,
        model: Network,
        image: ImageLike,
        topk: int | None,
        *,
        prepared: bool = False,
        stamps: Stamps | None = None,
    ) -> Future[Result]:
        """Queue one image; it joins the last one's batch if that is not on its way yet.

        Args:
            model: answers it.
            image: what `Network.decode` takes.
            topk: how many classes to name; as compiled by default.
            prepared: whether `image` is the network's own input, `[channels, h, w]` of the dtype that
                `run_tensor` takes, which is neither decoded nor preprocessed.
            stamps: where to note when its stages began and ended.

        Raises:
            PackageError: the model is closed.
        """
        request = _Request(image, topk, stamps=stamps or Stamps(), prepared=prepared)
        request.stamps.submitted = time.monotonic()
        request.answer.add_done_callback(partial(_forget, ref(request)))
        with self._changed:
            if self._filling is None or self._closed:
                batch = _Batch(model, [], time.monotonic() + self._max_wait)
                self._enqueue(batch)
                self._filling = batch
            self._filling.requests.append(request)
            if len(self._filling.requests) == self._max_batch:
                self._filling.open_until = -math.inf
                self._filling = None
            self._changed.notify()
        return request.answer

    def stream(
        self, model: Network, images: Iterable[ImageLike], topk: int | None, errors: str
    ) -> Iterator[Result | PackageError]:
        """Yield the answers in order; reads `images` in this thread, a few batches ahead.

        Batches are cut from `images` in order, so that equal images make equal batches. When the reader
        stops, what is not begun is left.
        """
        source = iter(images)
        ahead = (self._streams + self._window) * self._max_batch
        waiting: deque[Future[Result]] = deque()
        try:
            while requests := [_Request(image, topk) for image in islice(source, self._max_batch)]:
                with self._changed:
                    self._enqueue(_Batch(model, requests))
                waiting.extend(request.answer for request in requests)
                while len(waiting) >= ahead:
                    yield _outcome(waiting.popleft(), errors)
            while waiting:
                yield _outcome(waiting.popleft(), errors)
        finally:
            for answer in waiting:
                answer.cancel()

    def stop(self, *, cancel: bool = False) -> None:
        """Take no more requests; the workers end once those queued are answered, or given up."""
        with self._changed:
            self._closed = True
            queued = [request.answer for batch in self._batches for request in batch.requests]
            self._changed.notify_all()
        for answer in queued if cancel else ():
            answer.cancel()

    def close(self, *, cancel: bool = False) -> None:
        """`stop`, and waits until the workers have ended."""
        self.stop(cancel=cancel)
        for worker in self._workers:
            if worker is not threading.current_thread():
                worker.join()

    def _enqueue(self, batch: _Batch) -> None:
        if self._closed:
            raise PackageError("the model is closed and takes no more images; load the package again")
        while len(self._workers) < self._count:
            worker = threading.Thread(target=self._work, name=f"zooc-{len(self._workers)}", daemon=True)
            worker.start()
            self._workers.append(worker)
            _started.add(self)
        self._batches.append(batch)
        self._changed.notify()

    def _work(self) -> None:
        while piece := self._next():
            piece()
            del piece  # it holds the model, which must not live on while this worker waits

    def _next(self) -> Callable[[], None] | None:
        """Waits for a piece of work; `None` when there will be none."""
        with self._changed:
            while (piece := self._take()) is None and (self._batches or not self._closed):
                self._changed.wait(self._patience())
            self._changed.notify()  # there may be more: whoever takes a piece wakes another worker to look
            return piece

    def _take(self) -> Callable[[], None] | None:
        now = math.inf if self._closed else time.monotonic()
        window = list(islice(self._batches, self._window))
        for batch in window if self._running < self._streams else ():
            if batch.is_ready(now):
                self._running += 1
                self._batches.remove(batch)
                if batch is self._filling:
                    self._filling = None
                return partial(self._run, batch)
        for batch in window:
            if batch.begun < len(batch.requests):
                batch.begun += 1
                return partial(self._prepare, batch, batch.requests[batch.begun - 1])
        return None

    def _patience(self) -> float | None:
        """Seconds until a prepared batch has waited for long enough; `None` if another worker will know."""
        if self._running == self._streams:
            return None
        ends = [one.open_until for one in islice(self._batches, self._window) if one.is_ready(math.inf)]
        return max(min(ends) - time.monotonic(), 0) if ends else None

    def _prepare(self, batch: _Batch, request: _Request) -> None:
        failure: BaseException | None = None
        if request.answer.set_running_or_notify_cancel():
            try:
                request.pixels = self._pixels(batch.model, request)
            except BaseException as error:
                failure = error
        with self._changed:
            batch.prepared += 1
            self._changed.notify()
        if failure is not None:
            request.answer.set_exception(failure)

    def _pixels(self, model: Network, request: _Request) -> AnyArray:
        image, stamps = request.image, request.stamps
        stamps.begun = stamps.decoded = stamps.prepared = time.monotonic()
        if request.prepared:
            return np.asarray(image)
        decoded = self._timed("decode", model.decode, image)
        stamps.decoded = time.monotonic()
        pixels: AnyArray = self._timed("prelude", model.prepare, decoded, image)
        stamps.prepared = time.monotonic()
        return pixels

    def _run(self, batch: _Batch) -> None:
        requests = [request for request in batch.requests if request.pixels is not None]
        outcomes: Sequence[Result | BaseException]
        try:
            outcomes = self._results(batch.model, requests) if requests else []
        except BaseException as error:
            outcomes = [error] * len(requests)
        with self._changed:
            self._running -= 1
            self._changed.notify()  # before the callbacks of the answers, which may take their time
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result(outcome)

    def _results(self, model: Network, requests: list[_Request]) -> list[Result]:
        entered = time.monotonic()
        tensor = np.stack([request.pixels for request in requests if request.pixels is not None])
        logits = self._timed("body", model.run_tensor, tensor)
        scores = self._timed("postlude", model.finish, logits)
        answered = time.monotonic()
        for request in requests:
            stamps = request.stamps
            stamps.entered, stamps.answered, stamps.batch = entered, answered, len(requests)
            stamps.leads = request is requests[0]
        return [model.result(row, request.topk) for row, request in zip(scores, requests, strict=True)]

    def _timed(self, stage: str, call: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.monotonic()
        try:
            return call(*arguments)
        finally:
            with self._changed:
                self.seconds[stage] += time.monotonic() - begin


def _forget(request: ref[_Request], _: Future[Result]) -> None:
    """Let go of the image, which may be large, though a cancelled request still waits to be passed over."""
    if (one := request()) is not None:
        one.image = b""


def _outcome(answer: Future[Result], errors: str) -> Result | PackageError:
    try:
        return answer.result()
    except PackageError as error:
        if errors == "raise":
            raise
        return error
    except CancelledError:
        raise PackageError(
            "the model was closed before this image was processed; close it after the last result"
        ) from None


@atexit.register
def _close_all() -> None:
    """Ends the workers while the interpreter is whole: a thread inside an engine must not outlive it."""
    for pipeline in list(_started):
        pipeline.close(cancel=True)
