"""Runs the float network over calibration batches and sketches the activations that will be quantized."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime as ort

from zooc.diagnostics import ZoocError, error
from zooc.quantize.sketches import Sketches

__all__ = ["calibrate"]

Batch = npt.NDArray[Any]
_INLINE_LIMIT = 1 << 30


def calibrate(
    body: onnx.ModelProto,
    batches: Iterable[Batch],
    tensors: Sequence[str],
    *,
    threads: int | None = None,
    on_batch: Callable[[int], None] | None = None,
    into: Sketches | None = None,
) -> Sketches:
    """Sketches the named tensors over all batches in one pass.

    While ONNX Runtime computes a batch, a second thread counts the previous one. At most three batches'
    activations exist at a time, so memory depends on the batch's size and not on the number of images:
    batches of one or two images keep it low and cost no speed.

    Args:
        body: the float32 network.
        batches: arrays for the network's only input, images along axis 0.
        tensors: what `tensors_to_observe` names; each float32.
        threads: of ONNX Runtime for one inference; `None` leaves the choice to it.
        on_batch: called with the number of images of each batch once that batch is counted, in order, from
            another thread than the caller's.
        into: sketches to continue, of the same tensors; changed in place. After an interruption (Ctrl-C
            included) it holds whole batches only, and `into.images` says how many images, so it can be saved
            and continued.

    Returns:
        `into`, or new sketches.

    Raises:
        ZoocError: Z0411, an activation is NaN or infinite; Z0413, there was not a single image;
            Z0415, `into` observed other tensors.
    """
    sketches = Sketches(tensors) if into is None else into
    if set(sketches) != set(tensors):
        raise ZoocError(error("Z0415", "the calibration to be continued observed other tensors"))
    session = _observing_session(body, list(sketches), threads)
    source = body.graph.input[0].name
    counter = _Counter(sketches, on_batch)
    try:
        for batch in batches:
            wanted = [name for name in sketches if name != source]
            values = dict(zip(wanted, session.run(wanted, {source: batch}), strict=True)) if wanted else {}
            if source in sketches:
                values[source] = batch
            counter.put(values, len(batch))
            del values
    finally:
        counter.finish()
    counter.raise_failure()
    if not sketches.images:
        raise ZoocError(
            error(
                "Z0413",
                "there are no images to calibrate with",
                hint="int8 needs at least one image in `data`",
            )
        )
    return sketches


class _Counter:
    """A thread that folds finished batches into the sketches, one at a time and in order."""

    def __init__(self, sketches: Sketches, on_batch: Callable[[int], None] | None) -> None:
        self._sketches = sketches
        self._on_batch = on_batch
        self._queue: queue.Queue[tuple[dict[str, Batch], int] | None] = queue.Queue(maxsize=1)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="zooc-calibrate", daemon=True)
        self._thread.start()

    def put(self, values: dict[str, Batch], images: int) -> None:
        self.raise_failure()
        self._queue.put((values, images))

    def finish(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failure is not None:
                continue
            try:
                self._count(*item)
            except BaseException as failure:  # handed to the calling thread, which raises it
                self._failure = failure

    def _count(self, values: dict[str, Batch], images: int) -> None:
        for name, value in values.items():
            self._sketches.update(name, value)
        self._sketches.images += images
        if self._on_batch is not None:
            self._on_batch(images)


def _observing_session(
    body: onnx.ModelProto, tensors: Sequence[str], threads: int | None
) -> ort.InferenceSession:
    observed = onnx.ModelProto()
    observed.CopyFrom(body)
    have = {v.name for v in [*observed.graph.output, *observed.graph.input]}
    observed.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in tensors
        if name not in have
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    if threads is not None:
        options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    if observed.ByteSize() < _INLINE_LIMIT:
        return ort.InferenceSession(observed.SerializeToString(), options, providers=providers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body.onnx"
        onnx.save(observed, os.fspath(path), save_as_external_data=True, location="body.data")
        return ort.InferenceSession(os.fspath(path), options, providers=providers)
