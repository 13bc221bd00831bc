"""What every set of images has in common: found in a source, named in it, left out where unusable."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zooc.deployment import ImageSet
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc_runtime.data.image_folder import draw, list_images, suffixes_found
from zooc_runtime.data.opening import open_source
from zooc_runtime.data.source import NamedImage
from zooc_runtime.errors import PackageError, SourceError
from zooc_runtime.evaluation.labelled import LabelledImages
from zooc_runtime.preprocessing.decode import decode, describe
from zooc_runtime.preprocessing.nv12 import is_nv12
from zooc_runtime.preprocessing.sizes import output_size
from zooc_runtime.preprocessing.steps import Step

__all__ = [
    "DrawnImages",
    "Image",
    "draw_images",
    "name_below",
    "read_usable",
    "skip_notes",
    "unreadable_source",
]


Image = Path | NamedImage
"""A file, or an image of another source."""


@dataclass(frozen=True, slots=True)
class DrawnImages:
    """What was drawn of a set.

    Attributes:
        images: in the source's order.
        found: how many the source has.
        paths: all of them, of a local folder.
        labelled: the same as an evaluation sees them, of a source that is no local folder.
    """

    images: list[Image]
    found: int
    paths: Sequence[Path] = ()
    labelled: LabelledImages | None = None


def draw_images(image_set: ImageSet, code: str, purpose: str = "") -> DrawnImages:
    """Return the draw that a set stands for; all images if it wants more than there are.

    Raises:
        ZoocError: Z0329, the source cannot be read; `code`, no image is there, or the folder cannot be read,
            and `purpose` ends the message.
    """
    if isinstance(image_set.folder, Path):
        found = _find_images(image_set, image_set.folder, code, purpose)
        wanted = min(image_set.count or len(found), len(found))
        return DrawnImages(list(draw(found, wanted, image_set.seed)), len(found), found)
    try:
        source = open_source(image_set.folder, image_set.suffix)
        items, count = source.draw(image_set.count, image_set.seed)
        others = {} if items else source.suffixes()
        items = source.completed(items)
    except SourceError as problem:
        raise unreadable_source(problem, image_set) from None
    except PackageError as problem:
        raise ZoocError(error(code, str(problem), image_set.span)) from None
    if not items:
        raise _none_found(image_set, source.where, others, code, purpose)
    return DrawnImages(
        [source.image(item) for item in items], count, (), LabelledImages(source, items, count)
    )


def unreadable_source(problem: SourceError, image_set: ImageSet | None = None) -> ZoocError:
    """Return the error Z0329: a source fails as a whole."""
    message, _, hint = str(problem).partition("; ")
    return ZoocError(
        error("Z0329", message, None if image_set is None else image_set.span, hint=hint or None)
    )


def _find_images(image_set: ImageSet, folder: Path, code: str, purpose: str) -> list[Path]:
    """All images of a set's local folder, sorted."""
    try:
        found = list_images(folder, image_set.suffix)
        others = {} if found else suffixes_found(folder)
    except PackageError as problem:
        raise ZoocError(error(code, str(problem), image_set.span)) from None
    if found:
        return found
    raise _none_found(image_set, str(folder), others, code, purpose)


def _none_found(
    image_set: ImageSet, where: str, others: Mapping[str, int], code: str, purpose: str
) -> ZoocError:
    most = sorted(others.items(), key=lambda item: -item[1])[:5]
    there = ", ".join(f"{n} x .{s}" if s else f"{n} without suffix" for s, n in most)
    kind = f"files with suffix {image_set.suffix!r}" if image_set.suffix else "images"
    place = "folder" if isinstance(image_set.folder, Path) else "place"
    return ZoocError(
        error(
            code,
            f"no {kind} in {where}{purpose}",
            image_set.span,
            notes=(f"found there: {there}" if there else f"the {place} is empty",),
            hint=f"check the {place}" + (" and `suffix`" if image_set.suffix else ""),
        )
    )


def name_below(folder: Path | str, path: Image) -> str:
    """Return an image's name in its source; a path relative to the folder, with forward slashes."""
    if isinstance(path, NamedImage):
        return path.name
    # `relative_to` takes ten microseconds: ten seconds for a million images.
    text, above = os.fspath(path), os.path.join(folder, "")  # noqa: PTH118 - ends in a separator
    return text.removeprefix(above).replace(os.sep, "/")


def read_usable(
    path: Image, steps: Sequence[Step], skipped: dict[str, str], name: str, source: str = "rgb"
) -> npt.NDArray[np.uint8] | None:
    """Return an image, uint8 `[H, W, channels]`; `None` if it cannot be used: `skipped[name]` says why.

    Frames are made of ordinary images (`as_image_input`): of an NV12 `source` the image is RGB.

    Raises:
        ZoocError: Z0329, its source fails as a whole.
    """
    try:
        image = decode(path, "rgb" if is_nv12(source) else source, steps)
        output_size(steps, *image.shape[:2])
    except SourceError as problem:
        raise unreadable_source(problem) from None
    except PackageError as problem:
        skipped[name] = str(problem).removeprefix(f"{describe(path)}: ")
        return None
    return image


def skip_notes(skipped: Mapping[str, str], most: int | None = None) -> tuple[str, ...]:
    """Return a line for each of the first images that were left out."""
    return tuple(f"{name}: {reason}" for name, reason in list(skipped.items())[:most])
