"""What a command knows of the classes: from a package, from files, or from the lists built into zooc."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from ..errors import PackageError
from ..evaluation.ground_truth import Classes, read_synsets
from ..package.heads import Head, only_head, read_heads
from ..package.manifest import Manifest, find_package
from ..support.files import read_lines

__all__ = ["BUILT_IN", "ClassInfo", "DefaultLists", "resolve_classes"]

BUILT_IN = "imagenet1k"


@dataclass(frozen=True)
class DefaultLists:
    """Where a command belongs: to a package, or (`package is None`) to zooc, which has ImageNet's lists.

    Attributes:
        package: the import package's folder.
        labels: file of ImageNet-1k's class names.
        synsets: file of its folder names.
    """

    package: Path | None = None
    labels: Path | None = None
    synsets: Path | None = None


@dataclass(frozen=True)
class ClassInfo:
    """What is known of the classes.

    Attributes:
        classes: their number and names.
        logits: whether the outputs are logits; `None` where nobody tells.
        package: the package in question, if there is one.
        head: its head that is meant.
    """

    classes: Classes
    logits: bool | None
    package: Path | None
    head: Head | None = None


def resolve_classes(home: DefaultLists, options: argparse.Namespace) -> ClassInfo:
    """Put together what the options `model_path`, `label` and `synsets` and the command's home tell.

    Raises:
        PackageError: an unreadable file, lists of unlike lengths, or a head that is not there.
    """
    head: Head | None = None
    wanted = getattr(options, "head", None)
    package = home.package if options.model_path is None else find_package(options.model_path)
    count: int | None = None
    labels: tuple[str, ...] = ()
    synsets: tuple[str, ...] = ()
    logits: bool | None = None
    if package is not None:
        manifest = Manifest(package.absolute())
        head = only_head(read_heads(manifest), wanted, str(manifest["name"]))
        count, labels, logits = head.names, head.labels, head.activation == "none"
        if "synsets.txt" in manifest.files:
            synsets = tuple(manifest.read("synsets.txt").decode("ascii").split())
    elif wanted is not None:
        raise PackageError(f"--head {wanted}: no package is given whose head it could be; name it with -m")
    if options.label is not None:
        labels = _labels(home, options.label, count)
        count = count or len(labels)
    if options.synsets is not None:
        synsets = read_synsets(_built_in(home.synsets, options.synsets), count)
        count = count or len(synsets)
    elif home.synsets is not None and not synsets and count in (None, 1000):
        synsets = read_synsets(home.synsets, 1000)
    return ClassInfo(Classes(count, labels, synsets), logits, package, head)


def _labels(home: DefaultLists, given: str, count: int | None) -> tuple[str, ...]:
    names = tuple(line.strip() for line in read_lines(_built_in(home.labels, given)))
    if not names or (count is not None and len(names) != count):
        wanted = "at least one is expected" if count is None else f"the package has {count} classes"
        raise PackageError(
            f"{given}: {len(names)} labels, but {wanted}; give the list that the network was trained with, "
            "one name per line"
        )
    return names


def _built_in(file: Path | None, given: str) -> str:
    return str(file) if file is not None and given == BUILT_IN else given
