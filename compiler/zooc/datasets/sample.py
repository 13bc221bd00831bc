"""A class-balanced draw from an image set, as int8 calibration wants it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zooc.datasets.transfer import How, is_in_place, transfer
from zooc_runtime.data.image_folder import list_images
from zooc_runtime.errors import PackageError
from zooc_runtime.preprocessing.decode import decode
from zooc_runtime.support.files import make_folder

__all__ = ["Sample", "sample"]


@dataclass
class Sample:
    """What was drawn.

    Attributes:
        images: how many.
        classes: from how many class folders.
        short: class folders that had fewer sound images than wanted, with what they had.
        skipped: a message for each unreadable image that was drawn, and replaced by another.
    """

    images: int = 0
    classes: int = 0
    short: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def sample(
    folder: Path,
    output: Path,
    *,
    per_class: int = 1,
    seed: int = 0,
    suffix: str | None = None,
    how: How = "copy",
) -> Sample:
    """Draw `per_class` readable images from each class folder into `<output>/<class>/<name>`.

    A class's draw depends on `seed`, the class's name and its sorted file names, on nothing else: more
    classes do not change it.

    Args:
        folder: one folder a class.
        output: absent, empty, or holding the same draw.
        per_class: images a class; a class with fewer gives what it has.
        seed: another one draws others.
        suffix: only images of this suffix.
        how: `copy` or `link`.

    Raises:
        PackageError: no class folders, a class without a readable image, or other files in `output`.
    """
    groups = _classes(folder, suffix)
    result = Sample(classes=len(groups))
    plan: list[tuple[Path, Path]] = []
    for name, paths in groups.items():
        drawn = _draw(paths, per_class, _generator(seed, name), result.skipped)
        if not drawn:
            raise PackageError(
                f"{folder / name}: has no readable image; replace its images or remove the folder"
            )
        if len(drawn) < per_class:
            result.short[name] = len(drawn)
        plan += [(path, output / name / path.relative_to(folder / name)) for path in drawn]
    _refuse_others(output, {target for _, target in plan})
    for source, target in plan:
        is_in_place(source, target)
    for source, target in plan:
        make_folder(target.parent)
        transfer(source, target, how)
    result.images = len(plan)
    return result


def _classes(folder: Path, suffix: str | None) -> dict[str, list[Path]]:
    images = list_images(folder, suffix)
    if not images:
        kind = "images" if suffix is None else f".{suffix.lstrip('.')} images"
        raise PackageError(f"{folder}: no {kind} below this folder; check the path and the suffix")
    groups: dict[str, list[Path]] = {
        path.name: [] for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")
    }
    for path in images:
        parts = path.relative_to(folder).parts
        if len(parts) == 1:
            raise PackageError(
                f"{path}: is not in a class folder; sort the images into one folder for each class first "
                "(`zooc dataset valprep` does it for ILSVRC2012)"
            )
        groups[parts[0]].append(path)
    return groups


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def _draw(paths: list[Path], count: int, generator: np.random.Generator, skipped: list[str]) -> list[Path]:
    drawn: list[Path] = []
    for index in generator.permutation(len(paths)).tolist():
        if len(drawn) == count:
            break
        try:
            decode(paths[index])
        except PackageError as error:
            skipped.append(str(error))
            continue
        drawn.append(paths[index])
    return sorted(drawn)


def _refuse_others(output: Path, wanted: set[Path]) -> None:
    if not output.exists():
        return
    other = next((path for path in list_images(output) if path not in wanted), None)
    if other is not None:
        raise PackageError(
            f"{other}: does not belong to this draw, which must stay balanced; choose an empty folder"
        )
