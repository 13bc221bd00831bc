"""The images of a contract: drawn, in a random order, with their classes, decoded as they are needed."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from zooc.accuracy.contract.requirement import suit_heads
from zooc.calibration.image_set import (
    DrawnImages,
    Image,
    draw_images,
    name_below,
    read_usable,
    skip_notes,
    unreadable_source,
)
from zooc.deployment import ImageSet, Preprocess, Requirement
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error, warning
from zooc.ir.session import open_session
from zooc.preprocessing.nv12 import as_image_input
from zooc_runtime.data.read_ahead import ReadAhead
from zooc_runtime.errors import PackageError, SourceError
from zooc_runtime.evaluation.ground_truth import Classes, by_class_folders, by_label_file
from zooc_runtime.package.heads import Head
from zooc_runtime.preprocessing.steps import decodes_scaled, without_decoding

__all__ = ["ContractImages"]

_NO_LABELS = "none"
_KEPT_BYTES = 256 << 20
"""Pixels that stay in memory for the next trial; the rest is decoded again."""


class ContractImages:
    """The images in the order in which they are looked at.

    Attributes:
        paths: the draw, shuffled by its seed.
        truth: each one's class id, `None` without labels.
        labels: where the classes come from, in words.
        skipped: images that cannot be used, with the reason; known once they were asked for.
    """

    def __init__(
        self,
        requirement: Requirement,
        prelude: onnx.ModelProto,
        classes: Classes,
        preprocess: Preprocess,
    ) -> None:
        """List, draw and label; decode nothing.

        Args:
            requirement: the contract.
            prelude: `image` to `pixels`, the one that will be shipped.
            classes: how many, and their names.
            preprocess: of which an image can be too small.

        Raises:
            ZoocError: Z0491, labels that are missing or do not fit; Z0493, too few images; Z0495, none.
        """
        self.image_set = requirement.images
        self._requirement = requirement
        self.warnings: list[Diagnostic] = []
        self.skipped: dict[str, str] = {}
        drawn = draw_images(self.image_set, "Z0495", " for the contract")
        order = _order(drawn, self.image_set, self.warnings)
        self.paths = [drawn.images[i] for i in order]
        _check_enough(requirement, len(self.paths))
        self.truth, self.labels = _truth(requirement, drawn, order, classes)
        self._preprocess = preprocess
        self._prelude = prelude
        self._session = open_session(prelude, threads=1)
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}
        self._room = _KEPT_BYTES
        self._ahead, self._taken = ReadAhead(self.paths), 0
        weakref.finalize(self, self._ahead.stop)

    @classmethod
    def for_heads(
        cls,
        requirement: Requirement,
        prelude: onnx.ModelProto,
        heads: tuple[Head, ...],
        preprocess: Preprocess,
    ) -> ContractImages:
        """Return the images of the contract as a network's heads can keep it; classes are the first one's.

        Raises:
            ZoocError: Z0512, the heads cannot; else as the constructor.
        """
        classes = Classes(heads[0].names, heads[0].labels)
        return cls(suit_heads(requirement, heads), prelude, classes, preprocess)

    def __len__(self) -> int:
        """Return how many were drawn, those that cannot be used included."""
        return len(self.paths)

    def pixels(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Return uint8 `[1, channels, h, w]`, or `None` for an image that cannot be used, which is noted.

        Raises:
            ZoocError: Z0495, more than half of the images cannot be used; Z0493, the others are too few.
        """
        name = self.name(index)
        if name in self.skipped:
            return None
        if index in self._kept:
            return self._kept[index]
        path = self._arriving(index)
        image = read_usable(path, self._preprocess.steps, self.skipped, name, self._preprocess.source)
        if image is None:
            self._check_half()
            _check_enough(self._requirement, len(self.paths) - len(self.skipped))
            return None
        pixels = self._run(image)
        if pixels.nbytes <= self._room:
            self._room -= pixels.nbytes
            self._kept[index] = pixels
        return pixels

    def exact_pixels(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Return what `pixels` does, of the image decoded in full though the package decodes otherwise."""
        if not decodes_scaled(self._preprocess.steps):
            return self.pixels(index)
        steps = without_decoding(self._preprocess.steps)
        image = read_usable(self.paths[index], steps, {}, self.name(index), self._preprocess.source)
        return self.pixels(index) if image is None else self._run(image)

    def name(self, index: int) -> str:
        """Return the path below the folder, with forward slashes."""
        return name_below(self.image_set.folder, self.paths[index])

    def skip_warnings(self) -> list[Diagnostic]:
        """Return one warning for all images left out."""
        if not self.skipped:
            return []
        message = f"{len(self.skipped)} of the contract's images cannot be used and do not count"
        notes = skip_notes(dict(sorted(self.skipped.items())))
        return [warning("Z0494", message, self.image_set.span, notes=notes)]

    def _arriving(self, index: int) -> Image:
        """The image; where they are asked for in order, as trials do, it is on its way already."""
        if index != self._taken:
            return self.paths[index]
        self._taken += 1
        return next(self._ahead)

    def _run(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        given = as_image_input(self._prelude, image)
        pixels: npt.NDArray[np.uint8] = self._session.run(None, {"image": given})[0]
        return pixels

    def _check_half(self) -> None:
        if 2 * len(self.skipped) > len(self.paths):
            message = f"more than half of the contract's {len(self.paths)} images cannot be used"
            notes = skip_notes(dict(sorted(self.skipped.items())), 10)
            hint = "replace the damaged images, or point the contract at a sound folder"
            raise ZoocError(error("Z0495", message, self.image_set.span, notes=notes, hint=hint))


def _check_enough(requirement: Requirement, count: int) -> None:
    """Raises Z0493 if a single one of `count` images is more than the limit."""
    if requirement.drop == 0.0 or count * requirement.drop >= 1.0 - 1e-9:
        return
    needed = int(np.ceil(1.0 / requirement.drop - 1e-9))
    message = f"a limit of {100 * requirement.drop:g}% cannot be measured on {count} images"
    hint = f"at least {needed} images are needed, or `drop <= 0%`: no net loss is allowed"
    raise ZoocError(error("Z0493", message, requirement.span, hint=hint))


def _order(drawn: DrawnImages, image_set: ImageSet, warnings: list[Diagnostic]) -> list[int]:
    wanted = image_set.count or drawn.found
    if wanted > drawn.found:
        message = f"the contract asks for {wanted} images, but only {drawn.found} are there"
        hint = f"lower `count` to {drawn.found} or add images to {image_set.folder}"
        warnings.append(warning("Z0494", message, image_set.span, hint=hint))
    # A stream of its own: the order must not depend on which images the draw took.
    order: list[int] = np.random.default_rng([image_set.seed, 1]).permutation(len(drawn.images)).tolist()
    return order


def _truth(
    requirement: Requirement, drawn: DrawnImages, order: list[int], classes: Classes
) -> tuple[list[int] | None, str]:
    """Class ids in the order of the images and where they come from."""
    labels = requirement.labels
    if labels == "none":
        return None, _NO_LABELS
    try:
        ids, kind = _class_ids(requirement, drawn, classes)
    except SourceError as problem:
        raise unreadable_source(problem, requirement.images) from None
    except PackageError as problem:
        if labels == "auto":
            return None, _NO_LABELS
        # For folders that are no classes it names options that only an evaluation has.
        message = str(problem) if isinstance(labels, Path) else str(problem).partition("; ")[0]
        hint = (
            'give one folder a class, or a list, `labels="val_label.txt"`; without labels write '
            "`labels=none`: the drop is then the disagreement with float"
        )
        raise ZoocError(error("Z0491", message, requirement.span, hint=hint)) from None
    return [ids[i] for i in order], kind


def _class_ids(requirement: Requirement, drawn: DrawnImages, classes: Classes) -> tuple[list[int], str]:
    """Class ids of what was drawn; the class folders are those of all that was found."""
    labels, root = requirement.labels, requirement.images.folder
    if drawn.labelled is not None:
        if isinstance(labels, Path):
            return drawn.labelled.class_ids(classes, str(labels)), labels.name
        return drawn.labelled.class_ids(classes), drawn.labelled.kind_of_labels
    paths = [os.fspath(path) for path in drawn.images if isinstance(path, Path)]
    if isinstance(labels, Path):
        return by_label_file(paths, labels, classes, os.fspath(root)), labels.name
    everything = [os.fspath(path) for path in drawn.paths]
    folders = ["" if path.parent == root else path.relative_to(root).parts[0] for path in drawn.paths]
    known = dict(zip(everything, by_class_folders(everything, folders, classes), strict=True))
    return [known[path] for path in paths], "class folders"
