"""Runs the float network over calibration batches and sketches the activations that will be quantized."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy.typing as npt
import onnx

from zooc.diagnostics import ZoocError, error
from zooc.quantize.observer import Observer
from zooc.quantize.sketches import Sketches
from zooc.quantize.workers import Item, Tally, stream

__all__ = ["calibrate", "no_images"]

Batch = npt.NDArray[Any]


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
        stream(_items(batches), Observer(body, list(sketches)), tally, workers=threads, on_images=on_batch)
    finally:
        sketches.become(tally.sketches)
    if not sketches.images:
        raise no_images()
    return sketches


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
