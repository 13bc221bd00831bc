"""Calibration: the images that `data images(...)` stands for, and their sketches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from zooc.cache import Cache, file_sha256, key
from zooc.deployment import ImageSet
from zooc.diagnostics import Diagnostic, ZoocError, error, warning
from zooc.progress import Progress
from zooc.quantize import Sketches, calibrate
from zooc.sessions import open_session
from zooc_runtime.decode import decode
from zooc_runtime.errors import PackageError
from zooc_runtime.geometry import output_size
from zooc_runtime.images import draw, list_images, suffixes_found

__all__ = ["CalibrationImages", "cached_sketches", "pixel_batches"]

_SKETCHES_VERSION = 2
"""Part of the cache key: raised when sketches of the same inputs would come out differently."""

_LEAST_SHARE = 0.5
"""Of the images drawn, so many must be readable."""


@dataclass
class CalibrationImages:
    """A reproducible draw from a folder.

    Attributes:
        paths: what was drawn, sorted.
        steps: the preprocessing, of which an image can be too small.
        skipped: what could not be read or was too small, with the reason, known after a pass of `decoded`.
    """

    image_set: ImageSet
    paths: list[Path]
    steps: Sequence[dict[str, Any]] = ()
    warnings: list[Diagnostic] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, image_set: ImageSet, steps: Sequence[dict[str, Any]] = ()) -> CalibrationImages:
        """List the folder and draw.

        Raises:
            ZoocError: Z0451, no image there; the folder cannot be read.
        """
        try:
            found = list_images(image_set.folder, image_set.suffix)
            if not found:
                raise ZoocError(_none_found(image_set))
            wanted = image_set.count or len(found)
            images = cls(image_set, draw(found, min(wanted, len(found)), image_set.seed), steps)
        except PackageError as problem:
            raise ZoocError(error("Z0451", str(problem), image_set.span)) from None
        if wanted > len(found):
            images.warnings.append(
                warning(
                    "Z0452",
                    f"{wanted} calibration images asked for, but only {len(found)} are there",
                    image_set.span,
                    hint=f"lower `count` to {len(found)} or add images to {image_set.folder}",
                )
            )
        return images

    def name(self, path: Path) -> str:
        """Relative to the folder, with forward slashes."""
        return path.relative_to(self.image_set.folder).as_posix()

    def fingerprint(self) -> list[list[str]]:
        """Name and content hash of every image, for cache keys; the reason in place of one unreadable."""
        return [[self.name(path), _content(path)] for path in self.paths]

    def decoded(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Each usable image, uint8 `[H, W, 3]`.

        Raises:
            ZoocError: Z0453, at the end, if fewer than half could be read.
        """
        self.skipped.clear()
        for path in self.paths:
            try:
                image = decode(path)
                output_size(self.steps, *image.shape[:2])
            except PackageError as problem:
                self.skipped[self.name(path)] = str(problem).removeprefix(f"{path}: ")
                continue
            yield image
        self.check_enough()

    def check_enough(self) -> None:
        """Raises Z0453 if fewer than half of the images drawn could be read."""
        if len(self.skipped) > (1 - _LEAST_SHARE) * len(self.paths):
            notes = tuple(f"{name}: {reason}" for name, reason in list(self.skipped.items())[:10])
            raise ZoocError(
                error(
                    "Z0453",
                    f"{len(self.skipped)} of {len(self.paths)} calibration images cannot be read",
                    self.image_set.span,
                    notes=notes,
                    hint="replace the damaged images, or point `data images(...)` at a sound folder",
                )
            )

    def skip_warnings(self) -> list[Diagnostic]:
        """One warning for all images left out."""
        if not self.skipped:
            return []
        return [
            warning(
                "Z0454",
                f"{len(self.skipped)} of {len(self.paths)} calibration images were left out",
                self.image_set.span,
                notes=tuple(f"{name}: {reason}" for name, reason in self.skipped.items()),
            )
        ]


def pixel_batches(
    prelude: onnx.ModelProto, images: CalibrationImages, size: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """The images as uint8 `[size, 3, h, w]`, through the very prelude that will be shipped."""
    session = open_session(prelude, threads=1)
    waiting: list[npt.NDArray[np.uint8]] = []
    for image in images.decoded():
        waiting.append(session.run(None, {"image": image})[0])
        if len(waiting) == size:
            yield np.concatenate(waiting)
            waiting.clear()
    if waiting:
        # A network of a fixed batch cannot take less: its last batch is filled up with repetitions.
        yield np.resize(np.concatenate(waiting), (size, *waiting[0].shape[1:]))


def cached_sketches(
    body: onnx.ModelProto,
    prelude: onnx.ModelProto,
    images: CalibrationImages,
    tensors: Sequence[str],
    cache: Cache,
    progress: Progress,
) -> Sketches:
    """Sketches of `tensors` over all images, from the cache if it knows network, prelude and images."""
    cache_key = key(
        _SKETCHES_VERSION,
        _sha256(body),
        _sha256(prelude),
        images.fingerprint(),
        sorted(tensors),
        onnxruntime.__version__,
    )
    known, skipped = cache.get("sketches", cache_key), cache.get("skipped", cache_key)
    if known and skipped:
        progress.note("calibration from the cache")
        images.skipped = json.loads(skipped.read_text("utf-8"))
        return Sketches.load(known)
    batch = body.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    with progress.track("calibrating", len(images.paths)) as advance:
        sketches = calibrate(body, pixel_batches(prelude, images, batch), tensors, on_batch=advance)
    cache.put("sketches", cache_key, sketches.save)
    text = json.dumps(images.skipped)
    cache.put("skipped", cache_key, lambda path: path.write_text(text, "utf-8"))
    return sketches


def _content(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as problem:  # a dangling link, say: decoding will skip it by name
        return f"unreadable: {problem.strerror}"


def _sha256(model: onnx.ModelProto) -> str:
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def _none_found(image_set: ImageSet) -> Diagnostic:
    others = suffixes_found(image_set.folder)
    there = ", ".join(f"{n} x .{s}" if s else f"{n} without suffix" for s, n in others.most_common(5))
    kind = f"files with suffix {image_set.suffix!r}" if image_set.suffix else "images"
    return error(
        "Z0451",
        f"no {kind} in {image_set.folder}",
        image_set.span,
        notes=(f"found there: {there}",) if there else ("the folder is empty",),
        hint="check the folder" + (" and `suffix`" if image_set.suffix else ""),
    )
