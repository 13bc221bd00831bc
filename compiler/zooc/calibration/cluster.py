"""Calibration by workers: shards of images out, histograms back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from zooc.calibration.activations import ActivationReader
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.image_set import Image
from zooc.calibration.images import CalibrationImages, pixel_items
from zooc.calibration.workers import CalibrationState, collect_histograms
from zooc.ir.sent import SentModel
from zooc.ir.session import open_session
from zooc_runtime.data.elsewhere import portable
from zooc_runtime.data.source import StoredImage
from zooc_runtime.support.workers import Workers, cut

__all__ = ["CalibrationJob", "ClusterCrew"]

_SHARD, _LARGEST, _MOST = 32, 256, 4096
"""Images a task, seconds of work that are lost when a worker dies; more where that would make more than so
many tasks, because each brings histograms of all tensors to be merged here."""

Counted = tuple[dict[str, npt.NDArray[Any]], dict[str, str]]
"""What a shard has shown: the arrays of its histograms, and the images left out with the reason."""


@dataclass(frozen=True)
class CalibrationJob:
    """Counts the activations of a shard of images, in the batches and with the one thread of any calibration.

    Attributes:
        body: the float network.
        prelude: makes pixels of images.
        images: how they are read; of no importance which.
        tensors: to be observed.
        size: images of a batch.
    """

    body: SentModel
    prelude: SentModel
    images: CalibrationImages
    tensors: tuple[str, ...]
    size: int

    def open(self) -> Callable[[Sequence[Image]], Counted]:
        """See `zooc_runtime.support.workers.Job`."""
        reader = ActivationReader(self.body.model(), self.tensors, self.body.weights())
        prelude = self.prelude.model()
        session = open_session(prelude, threads=1, weights=self.prelude.weights())

        def count(paths: Sequence[Image]) -> Counted:
            images = self.images.of(paths)
            state = CalibrationState(ActivationHistograms(self.tensors))
            collect_histograms(pixel_items(prelude, images, self.size, session), reader, state, workers=1)
            return state.histograms.arrays(), images.skipped

        return count


class ClusterCrew:
    """A calibration's crew (`workers.Crew`) of processes anywhere; histograms add up as they come.

    Attributes:
        ended_early: whether images are left.
        whole: always, since a shard's histograms come whole or not at all.
        failure: never; what a worker raises is raised by `finished_batches`.
    """

    def __init__(
        self, workers: Workers, job: CalibrationJob, images: CalibrationImages, todo: Sequence[int]
    ) -> None:
        """Run `images`, of which those at the places `todo` are left; what is left out goes to `skipped`.

        Their paths are absolute, as a description's are.
        """
        wanted = min(max(_SHARD, len(todo) // _MOST), _LARGEST)
        size = max(wanted // job.size, 1) * job.size  # whole batches: of the same images as in a single run
        self._places = list(cut(todo, size))
        self._state = CalibrationState(ActivationHistograms(job.tensors))
        self._workers, self._job, self._images = workers, replace(job, images=images.of(())), images
        self.ended_early, self.whole = True, True
        self.failure: BaseException | None = None

    def start(self) -> None:
        """See `Crew`."""

    def finished_batches(self) -> Iterator[int]:
        """See `Crew`."""
        paths = self._images.paths
        shards = ([_sent(paths[place]) for place in places] for places in self._places)
        for index, (arrays, skipped) in self._workers.map(self._job, shards):
            places = self._places[index]
            self._state.add(CalibrationState(ActivationHistograms.from_arrays(arrays), places))
            self._images.skipped |= skipped
            yield len(places)
        self.ended_early = False

    def stop(self) -> None:
        """See `Crew`."""

    def snapshot(self, base: CalibrationState) -> CalibrationState:
        """See `Crew`."""
        total = CalibrationState(base.histograms.copy(), base.done)
        total.add(self._state)
        return total


def _sent(image: Image) -> Image:
    """A folder's images keep their paths, by which they are named."""
    if not isinstance(image, StoredImage):
        return image
    found = portable(image)
    assert isinstance(found, StoredImage), "as it came"
    return found
