"""Lists that tell which class each validation image of ILSVRC2012 shows, in the forms that go around."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from zooc_runtime.errors import PackageError
from zooc_runtime.support.files import read_lines

__all__ = ["FORMS", "read_ground_truth"]

FORMS = """\
`NAME ID` or `NAME SYNSET` a line (val_label.txt, val.txt), `SYNSET` a line in the order of the images' \
names, `NAME,SYNSET ...` (LOC_val_solution.csv), or `mv NAME SYNSET/` (valprep.sh)"""

_MOVE = re.compile(r"mv\s+(\S+)\s+(?:\./)?(\w+)/?")
_NO_IMAGE = re.compile(r"mkdir\b.*|#.*|ImageId,.*|cd\b.*|set\b.*|wget\b.*|")


def read_ground_truth(file: Path, images: Sequence[str], synsets: Sequence[str]) -> dict[str, str]:
    """Return the synset of each image that the list tells of, by file name.

    Args:
        file: the list, in one of `FORMS`.
        images: the images' file names, sorted; needed where the list has no names.
        synsets: in the order of class ids.

    Raises:
        PackageError: another form, an unknown synset or id, an image there twice, or a list without names of
        another length than there are images.
    """
    known = set(synsets)
    found: dict[str, str] = {}
    nameless: list[str] = []
    for number, line in _entries(file):
        if line.isdecimal():
            raise PackageError(
                f"{file}:{number}: a bare number; the development kit numbers the classes in another order "
                f"than networks do, so its class is unknown. Use a list with {FORMS}"
            )
        if line in known:
            nameless.append(line)
            continue
        name, synset = _pair(line)
        if synset.isdecimal() and int(synset) < len(synsets):
            synset = synsets[int(synset)]
        if not name or synset not in known:
            raise PackageError(f"{file}:{number}: {line[:80]!r} is none of {FORMS}")
        if found.setdefault(name, synset) != synset:
            raise PackageError(f"{file}:{number}: {name} is in {found[name]} above; correct the list")
    if nameless and (found or len(nameless) != len(images)):
        problem = "some lines have names and some not" if found else f"{len(images)} images are there"
        raise PackageError(
            f"{file}: {len(nameless)} lines are synsets alone, but {problem}; such a list must have "
            "one line for each image, in the order of the images' names"
        )
    if not found and not nameless:
        raise PackageError(f"{file}: has no entries; use a list with {FORMS}")
    return found or dict(zip(images, nameless, strict=True))


def _entries(file: Path) -> list[tuple[int, str]]:
    lines = ((number, line.strip()) for number, line in enumerate(read_lines(file), 1))
    return [(number, line) for number, line in lines if not _NO_IMAGE.fullmatch(line)]


def _pair(line: str) -> tuple[str, str]:
    """File name and what the line says of it; empty where it is of no known form."""
    if moved := _MOVE.fullmatch(line):
        return PurePath(moved[1]).name, moved[2]
    name, comma, rest = line.partition(",")
    if comma and " " not in name:
        # Kaggle's list leaves the suffix away.
        return name if PurePath(name).suffix else f"{name}.JPEG", (rest.split() or [""])[0]
    name, _, rest = line.replace("\t", " ").rpartition(" ")
    return PurePath(name.strip()).name, rest
