"""Ground truth for an evaluation: class ids from folder names, a synset list, or `val_label.txt`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .errors import PackageError

__all__ = ["by_class_folders", "by_label_file", "by_synsets"]


def by_class_folders(images: Sequence[Path], folder: Path, labels: Sequence[str], classes: int) -> list[int]:
    """Class ids from the first folder below `folder`.

    If every such folder is named as exactly one label is, the labels decide; else there must be as many
    folders as classes, and their sorted order gives the ids, as torchvision's `ImageFolder` has it.

    Raises:
        PackageError: neither holds, or an image lies in no class folder.
    """
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    loose = next((p for p in images if p.parent == folder), None)
    if loose is not None:
        raise PackageError(
            f"{loose}: lies in no class folder; sort the images into one folder a class, or give "
            f"--labels-file"
        )
    times = Counter(labels)
    if names and all(times[name] == 1 for name in names):
        ids = {name: labels.index(name) for name in names}
    elif len(names) == classes:
        ids = {name: i for i, name in enumerate(names)}
    else:
        raise PackageError(
            f"{folder}: {len(names)} class folders for {classes} classes; "
            "give --synsets (folder names in the order of class ids) or --labels-file"
        )
    return [ids[p.relative_to(folder).parts[0]] for p in images]


def by_synsets(images: Sequence[Path], file: str | os.PathLike[str], classes: int) -> list[int]:
    """Class ids from each image's parent folder; line `i` of `file` begins with the folder name of class `i`.

    Raises:
        PackageError: an unreadable file, another number of lines than classes, or a folder it does not name.
    """
    names = [line.split()[0] for line in _lines(file)]
    if len(names) != classes:
        raise PackageError(
            f"{os.fspath(file)}: {len(names)} synsets for {classes} classes; one a line is wanted"
        )
    ids = {name: i for i, name in enumerate(names)}
    unknown = next((p for p in images if p.parent.name not in ids), None)
    if unknown is not None:
        raise PackageError(
            f"{unknown}: its folder {unknown.parent.name} is not in {os.fspath(file)}; add it there"
        )
    return [ids[p.parent.name] for p in images]


def by_label_file(
    images: Sequence[Path], folder: Path, file: str | os.PathLike[str], classes: int
) -> list[int]:
    """Class ids from lines `name id`, `name` being a file's name or its path below `folder`.

    Raises:
        PackageError: an unreadable file, a malformed line, an id that is no class, or an image it does not
        name.
    """
    ids: dict[str, int] = {}
    for number, line in enumerate(_lines(file), 1):
        name, _, text = line.rpartition(" ")
        if not name.strip() or not text.isdecimal() or int(text) >= classes:
            raise PackageError(
                f"{os.fspath(file)}:{number}: a file name and a class id below {classes} are wanted, "
                f"not {line!r}"
            )
        ids[name.strip()] = int(text)
    found = []
    for path in images:
        relative = path.relative_to(folder).as_posix()
        if relative not in ids and path.name not in ids:
            raise PackageError(f"{path}: not in {os.fspath(file)}; add it there or leave the image out")
        found.append(ids.get(relative, ids.get(path.name, -1)))
    return found


def _lines(file: str | os.PathLike[str]) -> list[str]:
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{os.fspath(file)}: cannot be read ({error}); check the path") from None
    return [line.replace("\t", " ").strip() for line in text.splitlines() if line.strip()]
