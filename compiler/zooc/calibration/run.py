"""The one pass over the calibration images: from the cache, resumed or run, and kept as it goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.calibration.activations import ActivationReader
from zooc.calibration.cluster import CalibrationJob, ClusterCrew
from zooc.calibration.file import Identity, model_sha256
from zooc.calibration.histogram import ActivationHistograms, NotFiniteError
from zooc.calibration.images import CalibrationImages, pixel_items
from zooc.calibration.workers import (
    BatchTask,
    CalibrationState,
    Crew,
    Run,
    ThreadCrew,
    collect,
    collect_histograms,
)
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.interface import input_of
from zooc.ir.sent import SentModel
from zooc.ir.session import open_session
from zooc.support.cache import Cache, key
from zooc.support.memory import release
from zooc.support.progress import Progress
from zooc_runtime.support.shards import WHOLE
from zooc_runtime.support.workers import HERE, Here, Workers

__all__ = ["calibrate", "calibration_identity", "no_images", "run_calibration"]

_HISTOGRAMS_VERSION = 3
"""Part of the cache key: raised when histograms of the same inputs would come out differently."""

_SAVE_EVERY = 5.0
"""Seconds of work that a killed calibration loses at most, and one batch."""


def calibration_identity(
    body: onnx.ModelProto,
    prelude: onnx.ModelProto,
    preprocess: object,
    images: CalibrationImages | None = None,
) -> Identity:
    """Return what a calibration of this network on these images is known by; `preprocess` has a JSON form."""
    return Identity(
        network=model_sha256(body),
        prelude=model_sha256(prelude),
        preprocess=json.dumps(preprocess, sort_keys=True),
        images=images.content if images else "",
        drawn=images.drawn if images else 0,
    )


def run_calibration(
    body: onnx.ModelProto,
    prelude: onnx.ModelProto,
    images: CalibrationImages,
    tensors: Sequence[str],
    open_network: Callable[[], Run],
    cache: Cache,
    progress: Progress,
    workers: Workers = HERE,
) -> ActivationHistograms:
    """Return histograms of `tensors` over all images, the same to the bit however often it was interrupted.

    The cache keeps finished histograms, and every five seconds what a run under way has done so far. Only if
    images are left to be run is `open_network` called: it gives at least the values of `tensors`. Workers
    elsewhere open the network themselves, and read the images where they are.

    Raises:
        ZoocError: Z0411, an activation is NaN or infinite; Z0413, Z0453, too few images can be used.
    """
    identity = calibration_identity(body, prelude, None, images)
    if images.verify:
        with progress.track("reading images", len(images.paths)) as advance:
            images.contents_sha256(advance)
    cache_key = key(
        _HISTOGRAMS_VERSION,
        [identity.network, identity.prelude, identity.engine],
        images.fingerprint(),
        sorted(tensors),
    )
    known, skipped = cache.get("sketches", cache_key), cache.get("skipped", cache_key)
    if known and skipped:
        progress.note("calibration from the cache")
        images.skipped = json.loads(skipped.read_text("utf-8"))
        return ActivationHistograms.load(known)
    partial = _Partial(cache, cache_key, images)
    state = partial.load(tensors)
    if state.done:
        progress.note(
            f"continues an interrupted calibration: {len(state.done)} of {len(images.paths)} images done"
        )
    _run(body, prelude, images, state, open_network, partial, progress, workers)
    images.check_enough()
    if not state.histograms.images and images.shard == WHOLE:
        raise no_images()
    cache.put("sketches", cache_key, state.histograms.save)
    text = json.dumps(images.skipped, sort_keys=True)
    cache.put("skipped", cache_key, lambda path: path.write_text(text, "utf-8"))
    partial.drop()
    return state.histograms


def _run(
    body: onnx.ModelProto,
    prelude: onnx.ModelProto,
    images: CalibrationImages,
    state: CalibrationState,
    open_network: Callable[[], Run],
    partial: _Partial,
    progress: Progress,
    workers: Workers,
) -> None:
    done = frozenset(state.done)
    if len(done) == len(images.paths):
        return
    size = input_of(body).batch
    tensors = tuple(state.histograms)
    crew: Crew
    if isinstance(workers, Here):
        items = pixel_items(prelude, images, size, open_session(prelude, threads=1), done)
        crew = ThreadCrew(items, open_network(), tensors)
    else:
        todo = [place for place in range(len(images.paths)) if place not in done]
        job = CalibrationJob(SentModel.of(body), SentModel.of(prelude), images, tensors, size)
        crew = ClusterCrew(workers, job, images, todo)
    release()
    try:
        with progress.track("calibrating", len(images.paths) - len(done)) as advance:
            collect(crew, state, on_images=advance, checkpoint=partial.save, every=_SAVE_EVERY)
    except NotFiniteError as problem:
        raise problem.of(body) from None
    except (KeyboardInterrupt, ZoocError):
        if partial.saved:
            progress.note(
                f"{len(state.done)} of {len(images.paths)} images are calibrated; "
                "the same command continues from there"
            )
        raise


@dataclass
class _Partial:
    """An unfinished calibration in the cache.

    There are two places, written in turn: a run that is killed while it writes one leaves the other.
    """

    cache: Cache
    cache_key: str
    images: CalibrationImages
    saved: int = 0

    def save(self, state: CalibrationState) -> None:
        """Keep `state`."""
        if not state.done:
            return
        skipped = json.dumps(self.images.skipped).encode()
        arrays = {
            **state.histograms.arrays(),
            "done": np.asarray(state.done, np.int64),
            "skipped": np.frombuffer(skipped, np.uint8),
        }

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)

        if self.cache.put("partial", self._place(self.saved), write):
            self.saved += 1

    def load(self, tensors: Sequence[str]) -> CalibrationState:
        """Return the furthest state kept, or an empty one."""
        best = CalibrationState(ActivationHistograms(tensors))
        for place in (0, 1):
            path = self.cache.get("partial", self._place(place))
            if path is None:
                continue
            try:
                with np.load(path, allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file.files}
                found = CalibrationState(ActivationHistograms.from_arrays(arrays), arrays["done"].tolist())
                skipped = json.loads(arrays["skipped"].tobytes())
            except (OSError, ValueError, KeyError, ZoocError):
                continue
            if len(found.done) > len(best.done) and list(found.histograms) == list(tensors):
                best, self.images.skipped, self.saved = found, skipped, place + 1
        return best

    def drop(self) -> None:
        """Forget what was kept."""
        for place in (0, 1):
            self.cache.remove("partial", self._place(place))

    def _place(self, number: int) -> str:
        return f"{self.cache_key}-{number % 2}"


Batch = npt.NDArray[Any]


def calibrate(
    body: onnx.ModelProto,
    batches: Iterable[Batch],
    tensors: Sequence[str],
    *,
    threads: int | None = None,
    on_batch: Callable[[int], None] | None = None,
    into: ActivationHistograms | None = None,
) -> ActivationHistograms:
    """Return histograms of the named tensors over all batches in one pass.

    Memory depends on the batch's size and not on the number of images. Batches of one image give the same
    bits whatever their order and the number of threads.

    Args:
        body: the float32 network.
        batches: arrays for the network's only input, images along axis 0.
        tensors: what `tensors_to_observe` names; each float32.
        threads: how many batches are worked on at a time; `None` means one a core, at most four.
        on_batch: called with the number of images of each batch once that batch is counted.
        into: histograms to continue, of the same tensors; changed in place. After an interruption (Ctrl-C
            included) it holds whole batches only, and `into.images` says how many images.

    Returns:
        `into`, or new histograms.

    Raises:
        ZoocError: Z0411, an activation is NaN or infinite; Z0413, there was not a single image;
            Z0415, `into` observed other tensors.
    """
    histograms = ActivationHistograms(tensors) if into is None else into
    if set(histograms) != set(tensors):
        raise ZoocError(error("Z0415", "the calibration to be continued observed other tensors"))
    state = CalibrationState(histograms)
    try:
        collect_histograms(
            _items(batches),
            ActivationReader(body, list(histograms)),
            state,
            workers=threads,
            on_images=on_batch,
        )
    finally:
        histograms.become(state.histograms)
    if not histograms.images:
        raise no_images()
    return histograms


def no_images() -> ZoocError:
    """Return the error Z0413: there was nothing to calibrate with."""
    return ZoocError(
        error(
            "Z0413",
            "there are no images to calibrate with",
            hint="int8 needs at least one image in `data`",
        )
    )


def _items(batches: Iterable[Batch]) -> Iterator[BatchTask]:
    first = 0
    for batch in batches:
        yield BatchTask(range(first, first + len(batch)), lambda batch=batch: (batch, len(batch)))  # type: ignore[misc]
        first += len(batch)
