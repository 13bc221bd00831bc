"""The flat validation images of ILSVRC2012, arranged into one folder a synset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zooc.datasets.ground_truth import read_ground_truth
from zooc.datasets.transfer import How, is_in_place, transfer
from zooc.resources import resource
from zooc_runtime.data.image_folder import IMAGE_SUFFIXES
from zooc_runtime.errors import PackageError
from zooc_runtime.support.files import PART, make_folder

__all__ = ["Arrangement", "arrange"]


@dataclass
class Arrangement:
    """What became of the images.

    Attributes:
        images: named by the list and found.
        folders: class folders they go to.
        done: brought there in this run (in a dry run: that would be).
        kept: there already.
        missing: named by the list, and neither in the folder nor in place.
    """

    images: int
    folders: int
    done: int = 0
    kept: int = 0
    missing: int = 0


def arrange(
    folder: Path,
    truth: Path,
    output: Path,
    *,
    how: How = "link",
    dry_run: bool = False,
    partial: bool = False,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Arrangement:
    """Bring each image of `folder` to `<output>/<synset>/<name>`; all is checked first, nothing is replaced.

    An interrupted run goes on when repeated, and one that is repeated once more finds nothing to do.

    Args:
        folder: the flat images; its subfolders are left alone, so `output` may be the same folder.
        truth: which image shows what; see `ground_truth.FORMS`.
        output: where the class folders are made.
        how: hard link (no space, the images stay), copy, or move.
        dry_run: check and count only.
        partial: accept that images named by the list are missing.
        report: called after each image with how many are done, and of how many.

    Raises:
        PackageError: no images, a bad list, an image that it does not tell of, one that it names and nobody
        has, or another file in an image's place.
    """
    synsets = resource("data/imagenet1k_synsets.txt").read_text(encoding="ascii").split()
    here = {path.name: path for path in _flat_images(folder)}
    # A list without names counts the images that an earlier run has moved away, too.
    names = here.keys() | {
        path.name for path in output.glob("*/*") if path.suffix[1:].lower() in IMAGE_SUFFIXES
    }
    wanted = read_ground_truth(truth, sorted(names), synsets)
    if unknown := [name for name in sorted(here) if name not in wanted]:
        raise PackageError(
            f"{here[unknown[0]]}: {truth} does not have its class ({len(unknown)} such images); "
            "complete the list, or move other images elsewhere"
        )
    plan = [(folder / name, output / synset / name) for name, synset in sorted(wanted.items())]
    missing = [source for source, target in plan if source.name not in here and not target.is_file()]
    if missing and not partial:
        raise PackageError(
            f"{missing[0]}: named by {truth} but missing ({len(missing)} of {len(plan)} images); "
            "copy the missing images there, or give --partial"
        )
    if len(missing) == len(plan):
        raise PackageError(
            f"{folder}: none of the {len(plan)} images that {truth} names exists; check the path"
        )
    absent = set(missing)
    plan = [pair for pair in plan if pair[0] not in absent]
    folders = sorted({target.parent for _, target in plan})
    result = Arrangement(len(plan), len(folders), missing=len(missing))
    waiting = [pair for pair in plan if not is_in_place(*pair)]
    if dry_run:
        result.done, result.kept = len(waiting), len(plan) - len(waiting)
        return result
    for class_folder in folders:
        make_folder(class_folder)
        for left in class_folder.glob(f".*{PART}"):
            left.unlink(missing_ok=True)
    for number, (source, target) in enumerate(plan, 1):
        changed = transfer(source, target, how)
        result.done += changed
        result.kept += not changed
        report(number, len(plan))
    return result


def _flat_images(folder: Path) -> list[Path]:
    try:
        found = [
            path for path in folder.iterdir() if path.suffix[1:].lower() in IMAGE_SUFFIXES and path.is_file()
        ]
    except OSError as error:
        raise PackageError(
            f"{folder}: cannot be read ({error.strerror}); name the folder of images"
        ) from None
    return [path for path in found if not path.name.startswith(".")]
