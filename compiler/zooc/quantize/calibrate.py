"""Runs the float network over calibration batches and sketches the activations that will be quantized."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from zooc.diagnostics import ZoocError, error
from zooc.quantize.sketches import NotFiniteError, Sketches
from zooc.quantize.workers import Item, Run, Tally, stream

__all__ = ["calibrate", "no_images", "observer"]

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

    Memory depends on the batch's size and not on the number of images. Batches of one image give the same
    bits whatever their order and the number of threads.

    Args:
        body: the float32 network.
        batches: arrays for the network's only input, images along axis 0.
        tensors: what `tensors_to_observe` names; each float32.
        threads: how many batches are worked on at a time; `None` means one a core, at most four.
        on_batch: called with the number of images of each batch once that batch is counted.
        into: sketches to continue, of the same tensors; changed in place. After an interruption (Ctrl-C
            included) it holds whole batches only, and `into.images` says how many images.

    Returns:
        `into`, or new sketches.

    Raises:
        ZoocError: Z0411, an activation is NaN or infinite; Z0413, there was not a single image;
            Z0415, `into` observed other tensors.
    """
    sketches = Sketches(tensors) if into is None else into
    if set(sketches) != set(tensors):
        raise ZoocError(error("Z0415", "the calibration to be continued observed other tensors"))
    tally = Tally(sketches)
    try:
        stream(_items(batches), observer(body, list(sketches)), tally, workers=threads, on_images=on_batch)
    finally:
        sketches.become(tally.sketches)
    if not sketches.images:
        raise no_images()
    return sketches


def observer(body: onnx.ModelProto, tensors: Sequence[str]) -> Run:
    """A function from a batch to the values of the named tensors, to be called on any number of threads.

    A call computes on the thread that makes it: a result does not depend on what else runs. It raises
    `NotFiniteError` if the logits, which are not sketched, are the first to be NaN or infinite.
    """
    session = _observing_session(body, tensors)
    source, answer = body.graph.input[0].name, body.graph.output[0].name
    wanted = [name for name in tensors if name not in (source, answer)]

    def run(batch: Batch) -> dict[str, Batch]:
        *found, logits = session.run([*wanted, answer], {source: batch})
        if not np.isfinite(logits).all() and all(np.isfinite(values).all() for values in found):
            raise NotFiniteError(answer, logits)
        every = {source: batch, **dict(zip(wanted, found, strict=True)), answer: logits}
        return {name: every[name] for name in tensors}

    return run


def no_images() -> ZoocError:
    """Z0413: there was nothing to calibrate with."""
    return ZoocError(
        error(
            "Z0413",
            "there are no images to calibrate with",
            hint="int8 needs at least one image in `data`",
        )
    )


def _items(batches: Iterable[Batch]) -> Iterator[Item]:
    first = 0
    for batch in batches:
        yield Item(range(first, first + len(batch)), lambda batch=batch: (batch, len(batch)))  # type: ignore[misc]
        first += len(batch)


def _observing_session(body: onnx.ModelProto, tensors: Sequence[str]) -> ort.InferenceSession:
    have = {v.name for v in [*body.graph.output, *body.graph.input]}
    extra = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in tensors
        if name not in have
    ]
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.enable_mem_pattern = False
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    if body.ByteSize() < _INLINE_LIMIT:
        return ort.InferenceSession(_with_outputs(body, extra), options, providers=providers)
    observed = onnx.ModelProto()
    observed.CopyFrom(body)
    observed.graph.output.extend(extra)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body.onnx"
        onnx.save(observed, os.fspath(path), save_as_external_data=True, location="body.data")
        return ort.InferenceSession(os.fspath(path), options, providers=providers)


def _with_outputs(body: onnx.ModelProto, extra: Sequence[onnx.ValueInfoProto]) -> bytes:
    """The serialized body with more outputs, without a second copy of its weights."""
    own = len(body.graph.output)
    try:
        body.graph.output.extend(extra)
        return bytes(body.SerializeToString())
    finally:
        del body.graph.output[own:]
