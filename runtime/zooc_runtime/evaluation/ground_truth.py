"""Ground truth for an evaluation: class ids from folder names, a synset list, or `val_label.txt`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..errors import PackageError
from ..support.files import read_lines

__all__ = ["Classes", "by_class_folders", "by_label_file", "by_synsets", "read_synsets"]


@dataclass(frozen=True)
class Classes:
    """What is known of the classes; empty or `None` where nothing is.

    Attributes:
        count: how many there are.
        labels: their names in the order of class ids; names may repeat.
        synsets: the names of their folders in the order of class ids.
    """

    count: int | None = None
    labels: tuple[str, ...] = ()
    synsets: tuple[str, ...] = ()

    def label(self, index: int) -> str:
        """Return a class's name; the id as text if there is none."""
        return self.labels[index] if index < len(self.labels) else str(index)


def by_class_folders(paths: Sequence[str], folders: Sequence[str], classes: Classes) -> list[int]:
    """Return class ids from the names of the class folders that the images lie in.

    If the synsets name every folder, they decide; else, if every folder is named as exactly one label is, the
    labels; else there must be as many folders as classes, and their sorted order gives the ids, as in
    torchvision's `ImageFolder`.

    Args:
        paths: the images.
        folders: each one's class folder; empty where there is none.
        classes: what is known of them.

    Raises:
        PackageError: nothing of that holds, or an image lies in no class folder.
    """
    loose = next((path for path, folder in zip(paths, folders, strict=True) if not folder), None)
    if loose is not None:
        raise PackageError(
            f"{loose}: is not in a class folder; sort the images into one folder per class, or give --truth"
        )
    names = sorted(set(folders))
    times = Counter(classes.labels)
    if set(names) <= set(classes.synsets):
        ids = {name: index for index, name in enumerate(classes.synsets)}
    elif all(times[name] == 1 for name in names):
        ids = {name: classes.labels.index(name) for name in names}
    elif len(names) == classes.count:
        ids = {name: index for index, name in enumerate(names)}
    else:
        known = f"{classes.count} classes" if classes.count else "an unknown number of classes"
        raise PackageError(
            f"{PurePath(paths[0]).parent.parent}: {len(names)} class folders for {known}; "
            "give --synsets (folder names in the order of class ids) or --truth (val_label.txt)"
        )
    return [ids[folder] for folder in folders]


def read_synsets(file: str | os.PathLike[str], classes: int | None) -> tuple[str, ...]:
    """Return the folder names in the order of class ids; line `i` of `file` begins with that of class `i`.

    Raises:
        PackageError: unreadable, empty, another number of lines than classes, or a name there twice.
    """
    names = tuple(line.split()[0] for line in read_lines(file) if line.strip())
    if len(names) != (classes or len(names)) or not names:
        wanted = f"{classes} classes" if classes else "an unknown number of classes"
        raise PackageError(f"{os.fspath(file)}: {len(names)} synsets for {wanted}; write one per line")
    if len(set(names)) != len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise PackageError(f"{os.fspath(file)}: {twice} occurs twice; a folder name must belong to one class")
    return names


def by_synsets(paths: Sequence[str], synsets: Sequence[str], source: str) -> list[int]:
    """Return class ids from each image's parent folder.

    Raises:
        PackageError: a folder that `synsets` does not name.
    """
    ids = {name: i for i, name in enumerate(synsets)}
    folders = [PurePath(path).parent.name for path in paths]
    for path, folder in zip(paths, folders, strict=True):
        if folder not in ids:
            raise PackageError(f"{path}: its folder {folder!r} is not in {source}; add it there")
    return [ids[folder] for folder in folders]


def by_label_file(
    paths: Sequence[str], file: str | os.PathLike[str], classes: Classes, root: str | None = None
) -> list[int]:
    """Return class ids from lines `name id` or `name synset`.

    `name` is a file's name or the end of its path; its suffix does not matter, so that a list of JPEG files
    fits their npz files too.

    Args:
        paths: the images, or the npz files made of them.
        file: the list.
        classes: ids must be below their number.
        root: a folder that paths are relative to in the list.

    Raises:
        PackageError: an unreadable file, a malformed line, two ids for one name, an id that is no class, an
        image it does not name, or two images of one name where the list tells no folders.
    """
    known = _read_label_file(file, classes)
    found: list[int] = []
    matched: dict[str, str] = {}
    for path in paths:
        names = [] if root is None else [_stem(os.path.relpath(path, root))]
        parts = PurePath(path).parts
        names += [_stem("/".join(parts[-count:])) for count in (2, 1)]
        name = next((one for one in names if one in known), None)
        if name is None:
            raise PackageError(f"{path}: not in {os.fspath(file)}; add it there or leave the image out")
        if "/" not in name and (other := matched.setdefault(name, path)) != path:
            raise PackageError(
                f"{os.fspath(file)}: {name} may be {other} or {path}; write the folders into the list"
            )
        found.append(known[name])
    return found


def _read_label_file(file: str | os.PathLike[str], classes: Classes) -> dict[str, int]:
    ids: dict[str, int] = {}
    synsets = {name: index for index, name in enumerate(classes.synsets)}
    limit = f"a class id below {classes.count}" if classes.count else "a class id"
    for number, raw in enumerate(read_lines(file), 1):
        line = raw.replace("\t", " ").strip()
        if not line:
            continue
        name, _, text = line.rpartition(" ")
        index = int(text) if text.isdecimal() and text.isascii() else synsets.get(text, -1)
        if not name.strip() or index < 0 or index >= (classes.count or index + 1):
            raise PackageError(
                f"{os.fspath(file)}:{number}: a file name and {limit} are expected, not {line!r}"
            )
        key = _stem(name.strip().removeprefix("./"))
        if ids.setdefault(key, index) != index:
            raise PackageError(
                f"{os.fspath(file)}:{number}: {key} is class {ids[key]} in a line above; correct it"
            )
    return ids


def _stem(path: str) -> str:
    """The path in POSIX form without its suffix."""
    return PurePath(path).with_suffix("").as_posix() if PurePath(path).name else path
