"""Ground truth for an evaluation: class ids from folder names, a synset list, or `val_label.txt`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..errors import PackageError
from ..support.files import read_lines

__all__ = [
    "Classes",
    "by_class_folders",
    "by_label_file",
    "by_synsets",
    "label_sets",
    "read_synsets",
    "sides_by_folders",
]


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
    return [index for (index,) in _look_up(paths, file, _read_label_file(file, classes), root)]


def label_sets(
    paths: Sequence[str], file: str | os.PathLike[str], classes: Classes, root: str | None = None
) -> list[frozenset[int]]:
    """Return sets of class ids from lines `name id,id,id`, as `by_label_file` does; `-` stands for none.

    Raises:
        PackageError: as for `by_label_file`.
    """
    return _look_up(paths, file, _read_label_file(file, classes, several=True), root)


def sides_by_folders(folders: Sequence[str], label: str | None, root: str) -> list[frozenset[int]]:
    """Return `{0}` for the images of the one class that a single score is about, else the empty set.

    The folder named as the label is that class, and every other is not; without such a folder the second of
    two in sorted order is, as Keras and torchvision number them.

    Args:
        folders: each image's class folder; empty where there is none.
        label: the class's name, `None` without labels.
        root: where the images are, for the message.

    Raises:
        PackageError: neither holds.
    """
    names = sorted(set(folders))
    positive = label if label in names else names[1] if len(names) == 2 and "" not in names else None
    if positive is None:
        raise PackageError(
            f"{root}: {len(names)} class folders for one score; give two folders, one of them named as the "
            "label, or --truth"
        )
    return [frozenset({0} if folder == positive else ()) for folder in folders]


def _look_up(
    paths: Sequence[str],
    file: str | os.PathLike[str],
    known: dict[str, frozenset[int]],
    root: str | None,
) -> list[frozenset[int]]:
    found: list[frozenset[int]] = []
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


def _read_label_file(
    file: str | os.PathLike[str], classes: Classes, *, several: bool = False
) -> dict[str, frozenset[int]]:
    ids: dict[str, frozenset[int]] = {}
    synsets = {name: index for index, name in enumerate(classes.synsets)}
    limit = f"a class id below {classes.count}" if classes.count else "a class id"
    if several:
        limit = f"{limit.replace('a class id', 'class ids')}, separated by commas or `-` for none,"
    for number, raw in enumerate(read_lines(file), 1):
        line = raw.replace("\t", " ").strip()
        if not line:
            continue
        name, _, text = line.rpartition(" ")
        words = [] if several and text == "-" else text.split(",") if several else [text]
        found = frozenset(
            int(word) if word.isdecimal() and word.isascii() else synsets.get(word, -1) for word in words
        )
        if not name.strip() or any(index < 0 or index >= (classes.count or index + 1) for index in found):
            raise PackageError(
                f"{os.fspath(file)}:{number}: a file name and {limit} are expected, not {line!r}"
            )
        key = _stem(name.strip().removeprefix("./"))
        if ids.setdefault(key, found) != found:
            before = ", ".join(map(str, sorted(ids[key]))) or "none"
            raise PackageError(
                f"{os.fspath(file)}:{number}: {key} is class {before} in a line above; correct it"
            )
    return ids


def _stem(path: str) -> str:
    """The path in POSIX form without its suffix."""
    return PurePath(path).with_suffix("").as_posix() if PurePath(path).name else path
