"""Calibration: the images that `data images(...)` stands for, and how they become pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from zooc.calibration.image_hashes import (
    CHEAP_BYTES,
    CHEAP_FILES,
    facts_of,
    file_hashes,
    fits,
    listing_sha256,
)
from zooc.calibration.image_set import Image, draw_images, name_below, read_usable, skip_notes
from zooc.calibration.workers import BatchTask
from zooc.deployment import ImageSet
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error, warning
from zooc.ir.session import open_session
from zooc.preprocessing.nv12 import as_image_input
from zooc_runtime.data.read_ahead import ReadAhead
from zooc_runtime.preprocessing.steps import Step, decodes_scaled, without_decoding
from zooc_runtime.support.arrays import fill_batch
from zooc_runtime.support.shards import WHOLE, Shard

__all__ = ["CalibrationImages", "pixel_batches", "pixel_items", "pixel_pairs"]

_LEAST_SHARE = 0.5
"""Of the images drawn, so many must be readable."""


@dataclass
class CalibrationImages:
    """A reproducible draw from a folder, or another source of images.

    Attributes:
        paths: what was drawn, in the source's order: sorted paths, of a local folder.
        steps: the preprocessing, of which an image can be too small.
        source: what it takes, as `Preprocess.source` has it.
        shard: which part of the draw `paths` is.
        drawn: how many images the whole draw has.
        content: hash of the names and sizes of the whole draw: the same on every machine that has the images.
        verify: know the images by what is in them, however many there are.
        skipped: what could not be read or was too small, with the reason, known after a pass of `decoded`.
    """

    image_set: ImageSet
    paths: list[Image]
    steps: Sequence[Step] = ()
    source: str = "rgb"
    shard: Shard = WHOLE
    drawn: int = 0
    content: str = ""
    verify: bool = False
    warnings: list[Diagnostic] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    _hashes: dict[Image, str] = field(default_factory=dict, repr=False)

    @classmethod
    def find(
        cls,
        image_set: ImageSet,
        steps: Sequence[Step] = (),
        source: str = "rgb",
        shard: Shard = WHOLE,
        *,
        verify: bool = False,
    ) -> CalibrationImages:
        """List the folder, draw, and take a shard of what was drawn.

        With `verify`, `fingerprint` reads the images whatever their size.

        Raises:
            ZoocError: Z0451, no image there; the folder cannot be read; Z0329, another source cannot.
        """
        found = draw_images(image_set, "Z0451")
        wanted, drawn = image_set.count or found.found, found.images
        images = cls(image_set, drawn, steps, source, shard, len(drawn), verify=verify)
        images.content = images._hash(with_times=False)
        images.paths = [drawn[place] for place in shard.take(len(drawn))]
        if len(drawn) == 1:
            images.warnings.append(_single(image_set))
        if wanted > found.found:
            images.warnings.append(
                warning(
                    "Z0452",
                    f"{wanted} calibration images asked for, but only {found.found} are there",
                    image_set.span,
                    hint=f"lower `count` to {found.found} or add images to {image_set.folder}",
                )
            )
        return images

    def sample(self, count: int) -> CalibrationImages:
        """Return at most `count` of the whole range, since the first may be of one class; none unusable."""
        paths = [path for path in self.paths if not self.skipped or self.name(path) not in self.skipped]
        step = max(len(paths) // count, 1)
        return replace(self, paths=paths[::step][:count], skipped={}, warnings=[])

    def without(self, others: CalibrationImages) -> CalibrationImages:
        """Return those that are not among the others."""
        left_out = set(others.paths)
        return replace(self, paths=[path for path in self.paths if path not in left_out], warnings=[])

    def of(self, paths: Sequence[Image]) -> CalibrationImages:
        """Return other images to be read in the same way, of which nothing is known yet."""
        return replace(self, paths=list(paths), warnings=[], skipped={}, _hashes={})

    def decoded_exactly(self) -> CalibrationImages:
        """Return the same images, to be decoded in full though the preprocessing says `Decode(scaled)`."""
        return replace(self, steps=without_decoding(self.steps), skipped={}, warnings=[])

    def name(self, path: Image) -> str:
        """Return the name below the folder, or in the source."""
        return name_below(self.image_set.folder, path)

    def fingerprint(self) -> str:
        """Return a hash that this shard's images are known by, for cache keys.

        It is of what is in them where that is known (`contents_sha256`), else of their names, sizes and times
        of change, or what else marks an archive's or an address's state: reading a million images would take
        longer than many a calibration. How they are decoded counts, because their pixels depend on it.
        """
        found = self.contents_sha256() or self._hash(with_times=True)
        return f"{found} scaled" if decodes_scaled(self.steps) else found

    def contents_sha256(self, on_image: Callable[[int], None] = lambda _count: None) -> str | None:
        """Return the sha256 of what `sha256sum NAMES` prints of this shard's images, in order of their paths.

        `None` where they are more than `CHEAP_FILES`, or `CHEAP_BYTES` together, and `verify` is not set.
        Each file is read once.

        Args:
            on_image: called with the number of images each time that some are read.
        """
        unread = [path for path in self.paths if path not in self._hashes]
        if unread and not self.verify and not fits(self.paths, CHEAP_BYTES, CHEAP_FILES):
            return None
        self._hashes.update(file_hashes(unread, on_image))
        return listing_sha256((self.name(path), self._hashes[path]) for path in self.paths)

    def _hash(self, *, with_times: bool) -> str:
        digest = hashlib.sha256()
        for path in self.paths:
            facts = facts_of(path, with_time=with_times)
            digest.update(f"{self.name(path)}\0{facts}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def usable(self, path: Image) -> npt.NDArray[np.uint8] | None:
        """Return an image, uint8 `[H, W, channels]`; `None` if it cannot be used: why is in `skipped`."""
        return read_usable(path, self.steps, self.skipped, self.name(path), self.source)

    def decoded(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield each usable image, uint8 `[H, W, channels]`.

        Raises:
            ZoocError: Z0453, at the end, if fewer than half could be read.
        """
        self.skipped.clear()
        with ReadAhead(self.paths) as ahead:
            yield from (image for path in ahead if (image := self.usable(path)) is not None)
        self.check_enough()

    def check_enough(self) -> None:
        """Raise Z0453 if fewer than half of the images drawn could be read; a shard alone may be unlucky."""
        if self.shard == WHOLE and len(self.skipped) > (1 - _LEAST_SHARE) * len(self.paths):
            raise ZoocError(
                error(
                    "Z0453",
                    f"{len(self.skipped)} of {len(self.paths)} calibration images cannot be read",
                    self.image_set.span,
                    notes=skip_notes(self.skipped, 10),
                    hint="replace the damaged images, or point `data images(...)` at a sound folder",
                )
            )

    def skip_warnings(self) -> list[Diagnostic]:
        """Return one warning for all images left out."""
        if not self.skipped:
            return []
        return [
            warning(
                "Z0454",
                f"{len(self.skipped)} of {len(self.paths)} calibration images were left out",
                self.image_set.span,
                notes=skip_notes(self.skipped),
            )
        ]


def pixel_batches(
    prelude: onnx.ModelProto, images: CalibrationImages, size: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the images as uint8 `[size, channels, h, w]`, through the very prelude that will be shipped."""
    session = open_session(prelude, threads=1)
    waiting: list[npt.NDArray[np.uint8]] = []
    for image in images.decoded():
        waiting.append(session.run(None, {"image": as_image_input(prelude, image)})[0])
        if len(waiting) == size:
            yield np.concatenate(waiting)
            waiting.clear()
    if waiting:
        # A network of a fixed batch cannot take less. Repetitions count: they are of all images in turn.
        yield np.resize(np.concatenate(waiting), (size, *waiting[0].shape[1:]))


def pixel_pairs(
    prelude: onnx.ModelProto, images: CalibrationImages, size: int
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Yield `pixel_batches` twice, in pairs: of images decoded in full, and as the package decodes them."""
    if not decodes_scaled(images.steps):
        yield from ((batch, batch) for batch in pixel_batches(prelude, images, size))
        return
    session, exactly = open_session(prelude, threads=1), images.decoded_exactly()

    def pixels(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        found: npt.NDArray[np.uint8] = session.run(None, {"image": as_image_input(prelude, image)})[0]
        return found

    both = ((exactly.usable(path), images.usable(path)) for path in images.paths)
    usable = ((pixels(full), pixels(own)) for full, own in both if full is not None and own is not None)
    while some := list(islice(usable, size)):
        full, own = (np.concatenate(way) for way in zip(*some, strict=True))
        shape = (size, *own.shape[1:])
        yield np.resize(full, shape), np.resize(own, shape)
    images.check_enough()


def pixel_items(
    prelude: onnx.ModelProto,
    images: CalibrationImages,
    size: int,
    session: onnxruntime.InferenceSession,
    done: Container[int] = (),
) -> Iterator[BatchTask]:
    """Yield the images not yet `done`, in batches of `size` that are decoded and preprocessed when loaded.

    `session` is `prelude`, opened.
    """

    def load(paths: Sequence[Image]) -> tuple[npt.NDArray[np.uint8] | None, int]:
        found = map(images.usable, paths)
        pixels = [
            session.run(None, {"image": as_image_input(prelude, image)})[0]
            for image in found
            if image is not None
        ]
        if not pixels:
            return None, 0
        # A network of a fixed batch cannot take less; the repetitions do not count.
        return fill_batch(np.concatenate(pixels), size), len(pixels)

    def todo() -> Iterator[int]:
        return (place for place in range(len(images.paths)) if place not in done)

    with ReadAhead(images.paths[place] for place in todo()) as ahead:
        pairs = zip(todo(), ahead, strict=True)
        while some := tuple(islice(pairs, size)):
            places, paths = zip(*some, strict=True)
            yield BatchTask(places, partial(load, paths))


def _single(image_set: ImageSet) -> Diagnostic:
    return warning(
        "Z0472",
        "there is only one calibration image: values of other images outside its ranges will be clipped",
        image_set.span,
        hint="calibrate on fifty images or more",
    )
