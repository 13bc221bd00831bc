"""The benchmark from image files to answers, through the pipeline.

A request is one image file. So many are on their way as the streams hold in their batches, and `queue_size`
more; latency is from submission to answer. At a `rate` the same number bounds what is on its way: what comes
beyond it is refused, and latency is from when the request was due.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

from ..inference.cpu import peak_memory_mb
from ..inference.model import Model, Result
from .job import Job, Measurement, Requests
from .load import arrivals

__all__ = ["measure_pipeline", "warm_pipeline"]


def warm_pipeline(job: Job, model: Model) -> None:
    """`warmup` requests a stream, not counted."""
    count = job.warmup * job.instances
    answers = [
        model.pipeline.submit(model, job.files[number % len(job.files)], None) for number in range(count)
    ]
    for answer in answers:
        answer.result()


def measure_pipeline(job: Job, model: Model, result: Measurement) -> Measurement:
    """Run the measured requests, fill in `result`, and close the model.

    Raises:
        PackageError: an image that cannot be read, named.
    """
    places = threading.Semaphore(job.instances * job.batch_size + job.queue_size)
    failures: list[BaseException] = []
    stop = threading.Event()
    before = dict(model.pipeline.seconds)

    def submit(number: int, begin: float) -> None:
        def answered(answer: Future[Result]) -> None:
            result.latencies.append(time.monotonic() - begin)
            if not answer.cancelled() and (error := answer.exception()):
                failures.append(error)
                stop.set()
            places.release()

        file = job.files[number % len(job.files)]
        model.pipeline.submit(model, file, None).add_done_callback(answered)

    with model:
        result.start = time.monotonic()
        if job.rate is None:
            for number in Requests(job, stop):
                places.acquire()
                submit(number, time.monotonic())
        else:
            for number, due in arrivals(job, stop):
                if places.acquire(blocking=False):
                    submit(number, due)
                else:
                    result.refused += 1
    result.end = time.monotonic()
    if failures:
        raise failures[0]
    result.stages = {name: spent - before[name] for name, spent in model.pipeline.seconds.items()}
    result.memory_mb = peak_memory_mb()
    return result
