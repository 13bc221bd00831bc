"""Result files: the best classes of each image, a line each, as Vastai's tools write and read them.

    {path}: Relay top-{k} id: {id}, prob: {p:.8f}, class name: {label}

`k` counts from 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import PackageError
from ..support.files import check_listable, read_lines

__all__ = ["RankedClass", "read_results", "result_lines"]

# The shortest path that fits: a label may look like anything, a path hardly like the rest of such a line.
_LINE = re.compile(
    r"(?P<path>.+?): Relay top-(?P<rank>\d+) id: (?P<id>\d+), prob: [-+.\w]+, class name:.*",
    re.DOTALL,
)
_SHAPE = "PATH: Relay top-K id: ID, prob: P, class name: LABEL"


@dataclass(frozen=True)
class RankedClass:
    """One class of an image's answer: its id, its probability, its name."""

    index: int
    probability: float
    label: str


def result_lines(path: str, ranked: Sequence[RankedClass]) -> str:
    """Return the lines of one image, each with its line end.

    Raises:
        PackageError: a path that cannot stand in a line.
    """
    check_listable(path)
    return "".join(
        f"{path}: Relay top-{k} id: {one.index}, prob: {one.probability:.8f}, class name: {one.label}\n"
        for k, one in enumerate(ranked)
    )


def read_results(file: str | os.PathLike[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Return each image of a result file with its class ids, best first. Paths and labels may hold colons.

    Raises:
        PackageError: unreadable, empty, a line of another form, an image there twice or a class twice in one
        image, ranks out of order, or an image with fewer lines than the others (a file cut short).
    """
    name = os.fspath(file)
    results: list[tuple[str, tuple[int, ...]]] = []
    lines_of: dict[str, int] = {}
    for number, path, ids in _groups(name, list(_parsed(name))):
        if len(set(ids)) != len(ids):
            raise PackageError(
                f"{name}:{number}: a class id comes twice in the answer for {path}; write the file again"
            )
        if (before := lines_of.setdefault(path, number)) != number:
            raise PackageError(
                f"{name}:{number}: {path} has an answer in line {before} already; two runs were appended to "
                "one file: remove it and run again"
            )
        if results and len(ids) != len(results[0][1]):
            raise PackageError(
                f"{name}:{number}: {len(ids)} lines for {path}, but {len(results[0][1])} for the images "
                "before it; the file was cut short: write it again"
            )
        results.append((path, ids))
    if not results:
        raise PackageError(f"{name}: has no results; run decode, or classify --save-result-txt")
    return results


def _parsed(name: str) -> Iterator[tuple[int, str, int, int]]:
    """Line number, path, rank and class id of each line."""
    for number, line in enumerate(read_lines(name), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            shown = line if len(line) <= 80 else line[:77] + "..."
            raise PackageError(
                f"{name}:{number}: {shown!r} is not of the form {_SHAPE!r}; write the file again"
            )
        yield number, found["path"], int(found["rank"]), int(found["id"])


def _groups(
    name: str, lines: Sequence[tuple[int, str, int, int]]
) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    """First line number, path and class ids of each image: a rank of 0 begins the next one."""
    start = 0
    for end in range(1, len(lines) + 1):
        if end < len(lines) and lines[end][2] != 0 and lines[end][1] == lines[start][1]:
            continue
        group = lines[start:end]
        for expected, (number, path, rank, _) in enumerate(group):
            if rank != expected:
                raise PackageError(
                    f"{name}:{number}: top-{rank} of {path} where top-{expected} is expected; lines are "
                    "missing: write the file again"
                )
        yield group[0][0], group[0][1], tuple(one[3] for one in group)
        start = end
