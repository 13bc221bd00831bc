"""What every set of images has in common: found in a folder, named below it, left out where unusable."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zooc.deployment import ImageSet
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc_runtime.errors import PackageError
from zooc_runtime.data.image_folder import list_images, suffixes_found
from zooc_runtime.preprocessing.decode import decode
from zooc_runtime.preprocessing.nv12 import is_nv12
from zooc_runtime.preprocessing.sizes import output_size
from zooc_runtime.preprocessing.steps import Step

__all__ = ["find_images", "name_below", "read_usable", "skip_notes"]


def find_images(image_set: ImageSet, code: str, purpose: str = "") -> list[Path]:
    """Return all images of a set's folder, sorted.

    Raises:
        ZoocError: `code`, there is none, or the folder cannot be read; `purpose` ends the message.
    """
    try:
        found = list_images(image_set.folder, image_set.suffix)
        others = {} if found else suffixes_found(image_set.folder)
    except PackageError as problem:
        raise ZoocError(error(code, str(problem), image_set.span)) from None
    if found:
        return found
    most = sorted(others.items(), key=lambda item: -item[1])[:5]
    there = ", ".join(f"{n} x .{s}" if s else f"{n} without suffix" for s, n in most)
    kind = f"files with suffix {image_set.suffix!r}" if image_set.suffix else "images"
    raise ZoocError(
        error(
            code,
            f"no {kind} in {image_set.folder}{purpose}",
            image_set.span,
            notes=(f"found there: {there}" if there else "the folder is empty",),
            hint="check the folder" + (" and `suffix`" if image_set.suffix else ""),
        )
    )


def name_below(folder: Path, path: Path) -> str:
    """Return a path relative to the folder, with forward slashes."""
    # `relative_to` takes ten microseconds: ten seconds for a million images.
    text, above = os.fspath(path), os.path.join(folder, "")  # noqa: PTH118 - ends in a separator
    return text.removeprefix(above).replace(os.sep, "/")


def read_usable(
    path: Path, steps: Sequence[Step], skipped: dict[str, str], name: str, source: str = "rgb"
) -> npt.NDArray[np.uint8] | None:
    """Return an image, uint8 `[H, W, channels]`; `None` if it cannot be used: `skipped[name]` says why.

    Frames are made of ordinary images (`as_image_input`): of an NV12 `source` the image is RGB.
    """
    try:
        image = decode(path, "rgb" if is_nv12(source) else source, steps)
        output_size(steps, *image.shape[:2])
    except PackageError as problem:
        skipped[name] = str(problem).removeprefix(f"{path}: ")
        return None
    return image


def skip_notes(skipped: Mapping[str, str], most: int | None = None) -> tuple[str, ...]:
    """Return a line for each of the first images that were left out."""
    return tuple(f"{name}: {reason}" for name, reason in list(skipped.items())[:most])
