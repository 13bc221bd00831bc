"""From a folder of images to vamp's npz files and the datalist that names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ..data.image_folder import list_images, suffixes_found
from ..errors import PackageError
from ..preprocessing.decode import decode
from ..support.files import check_listable, make_folder, replacing
from ..support.parallel import in_order
from .npz import read_input, write_npz

__all__ = ["Conversion", "convert", "plan_targets"]


@dataclass
class Conversion:
    """What became of the images so far: counts, and a message for each image skipped."""

    total: int
    written: int = 0
    kept: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Images looked at."""
        return self.written + self.kept + len(self.skipped)


def plan_targets(images: Sequence[Path], target: Path) -> list[Path]:
    """Return `<target>/<name of the image's folder>/<stem>.npz` for each image, absolute.

    Raises:
        PackageError: two images would become one file, or a name holds a line break.
    """
    sources: dict[Path, Path] = {}
    root = target.absolute()
    for image in images:
        npz = root / image.absolute().parent.name / f"{image.stem}.npz"
        check_listable(str(npz))
        if (other := sources.setdefault(npz, image)) != image:
            raise PackageError(
                f"{other} and {image} would both become {npz}; rename one of them or its folder, "
                "or select one kind of image with --suffix"
            )
    return list(sources)


def convert(
    folder: Path,
    target: Path,
    datalist: Path,
    *,
    suffix: str | None = None,
    workers: int = 1,
    report: Callable[[Conversion], None] = lambda _: None,
) -> Conversion:
    """Write an npz file for each image below `folder`, and the list of them, sorted, absolute, a line each.

    Each file holds the decoded image, `uint8 [3, H, W]` RGB, under `input_0`. A file that is there already,
    is sound, is no older than its image and has its size is kept. Damaged images are skipped and left out of
    the list, which is written last.

    Args:
        folder: where the images are, at any depth.
        target: where the files go.
        datalist: the list to write.
        suffix: only images of this suffix; `None` takes every kind known.
        workers: threads.
        report: called after each image.

    Raises:
        PackageError: no images, colliding names, none readable, or a full disk.
    """
    images = list_images(folder, suffix)
    if not images:
        raise PackageError(f"{folder}: {_what_there_is(folder, suffix)}")
    targets = plan_targets(images, target)
    for parent in sorted({npz.parent for npz in targets}):
        make_folder(parent)
    result = Conversion(len(images))
    made: list[str] = []
    pairs = list(zip(images, targets, strict=True))
    for (_, npz), outcome in zip(pairs, in_order(_convert_one, pairs, workers), strict=True):
        if isinstance(outcome, str):
            result.skipped.append(outcome)
        else:
            made.append(str(npz))
            result.kept += outcome
            result.written += not outcome
        report(result)
    if not made:
        raise PackageError(f"none of the {len(images)} images could be read; the first: {result.skipped[0]}")
    make_folder(datalist.absolute().parent)
    with replacing(datalist) as file:
        file.write("".join(f"{npz}\n" for npz in sorted(made)).encode("utf-8"))
    return result


def _convert_one(pair: tuple[Path, Path]) -> bool | str:
    """Whether the file was there already; a message if the image cannot be read."""
    image, npz = pair
    if _is_sound(image, npz):
        return True
    try:
        pixels = decode(image)
    except PackageError as error:
        return str(error)
    write_npz(npz, {"input_0": pixels.transpose(2, 0, 1)})
    return False


def _is_sound(image: Path, npz: Path) -> bool:
    try:
        if not npz.exists() or npz.stat().st_mtime_ns < image.stat().st_mtime_ns:
            return False
        height, width, _ = read_input(npz).shape
        with Image.open(image) as opened:
            return bool(opened.size == (width, height))
    except (PackageError, OSError, ValueError, Image.DecompressionBombError, SyntaxError):
        return False


def _what_there_is(folder: Path, suffix: str | None) -> str:
    found = suffixes_found(folder).most_common(3)
    if suffix is None or not found:
        return "no images below this folder; check the path"
    kinds = ", ".join(f"{count} .{name or '(none)'}" for name, count in found)
    return f"no .{suffix.lstrip('.')} images below this folder, but {kinds}; give another --suffix"
