"""The true classes of images, as the options of `eval` say where they are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..evaluation.ground_truth import (
    by_class_folders,
    by_label_file,
    by_synsets,
    label_sets,
    sides_by_folders,
)
from .class_info import ClassInfo

__all__ = ["class_folders", "truth_of", "truth_sets"]


def truth_sets(
    paths: Sequence[str], known: ClassInfo, options: argparse.Namespace, root: Path
) -> list[frozenset[int]]:
    """Return the true class ids of each image below `root`, where it may have any number of them.

    Raises:
        PackageError: a list that does not fit, or an image without a class folder.
    """
    if options.truth is not None:
        return label_sets(paths, options.truth, known.classes, str(root))
    if known.classes.count == 1 and options.synsets is None:
        label = known.classes.labels[0] if known.classes.labels else None
        return sides_by_folders(class_folders(paths, root), label, str(root))
    return [frozenset({index}) for index in truth_of(paths, known, options, root)]


def class_folders(paths: Sequence[str], root: Path) -> list[str]:
    """Return the first folder below `root` of each image; empty for one that lies in `root` itself."""
    relative = (Path(path).relative_to(root).parts for path in paths)
    return [parts[0] if len(parts) > 1 else "" for parts in relative]


def truth_of(
    paths: Sequence[str], known: ClassInfo, options: argparse.Namespace, root: Path | None = None
) -> list[int]:
    """Return the true class ids. A class's folder is the first below `root`, else the image's parent.

    Raises:
        PackageError: a list that does not fit, or an image without a class folder.
    """
    if options.truth is not None:
        return by_label_file(paths, options.truth, known.classes, None if root is None else str(root))
    if options.synsets is not None:
        return by_synsets(paths, known.classes.synsets, options.synsets)
    named = [Path(path).parent.name for path in paths]
    folders = named if root is None else class_folders(paths, root)
    return by_class_folders(paths, folders, known.classes)
