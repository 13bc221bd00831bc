"""Folders of outputs: one npz file for each entry of a datalist, in its order.

Each file holds `output_0`, and beside it, under `made_from`, a line of JSON that tells from which input and
by which package it was made. So a run that was cut short can go on, and outputs of one run are not taken for
those of another. Files of other makers have no such line; of them only the number can be checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PackageError
from ..support.arrays import AnyArray, F32Array
from ..support.files import PART, make_folder
from .npz import load_key, output_name, write_npz

__all__ = ["OutputFolder", "read_outputs"]

_RECORD = "made_from"


class OutputFolder:
    """A folder that one run fills.

    Args:
        folder: absent, empty, or holding outputs of the same run.
        files: the datalist's entries.
        run: what the outputs depend on besides their inputs, as a short text.

    Attributes:
        missing: indices of the outputs that are still to be made.

    Raises:
        PackageError: it holds something else, or an output made from another input or by another package.
    """

    def __init__(self, folder: Path, files: Sequence[str], run: str) -> None:
        self._folder = folder
        self._run = run
        self._paths = [folder / output_name(index, len(files)) for index in range(len(files))]
        self._files = files
        make_folder(folder)
        for left in folder.glob(f".*{PART}"):
            with suppress(OSError):
                left.unlink()
        known = {path.name for path in self._paths}
        there = {path.name for path in folder.iterdir()}
        if strange := sorted(there - known):
            raise PackageError(
                f"{folder}: contains {strange[0]}, which is no output of this run of {len(files)} inputs; "
                "choose an empty folder"
            )
        self._there = there
        self.missing = [index for index in range(len(files)) if not self._is_there(index)]

    def write(self, index: int, output: F32Array) -> None:
        """Write one output, `float32 [1, classes]`."""
        record = {"input": self._files[index], "run": self._run}
        write_npz(self._paths[index], {"output_0": output, _RECORD: np.array(json.dumps(record))})

    def check_complete(self) -> None:
        """Raise `PackageError` if not every input has its output now."""
        there = sum(path.is_file() for path in self._paths)
        if there != len(self._files):
            raise PackageError(
                f"{self._folder}: {there} outputs for {len(self._files)} inputs; "
                "another program removes files there; run the command again"
            )

    def _is_there(self, index: int) -> bool:
        path = self._paths[index]
        if path.name not in self._there:
            return False
        _, text = load_key(path, "output_0", _RECORD)
        if _record(text) != {"input": self._files[index], "run": self._run}:
            raise PackageError(
                f"{path}: is an output of another run (other inputs, another package, or other "
                "preprocessing); choose an empty folder"
            )
        return path.stat().st_mtime_ns >= Path(self._files[index]).stat().st_mtime_ns


def read_outputs(folder: Path, files: Sequence[str], classes: int | None) -> Iterator[tuple[str, F32Array]]:
    """Yield each input's path with its output, `float32 [classes]`: the list beside the sorted npz files.

    Args:
        folder: as `bench --path-output` or vamp wrote it.
        files: the datalist's entries.
        classes: how many values an output has; `None` takes what the first has.

    Raises:
        PackageError: other numbers of files, an output that belongs to another input, a damaged file, or one
        of another shape.
    """
    try:
        paths = sorted((p for p in folder.iterdir() if p.suffix == ".npz"), key=lambda p: p.name)
    except OSError as error:
        raise PackageError(
            f"{folder}: cannot be read ({error.strerror}); name the folder of outputs"
        ) from None
    if len(paths) != len(files):
        raise PackageError(
            f"{folder}: {len(paths)} outputs, but the datalist names {len(files)} inputs; "
            "the run was cut short, or the list is another run's: run bench again with this list"
        )
    for file, path in zip(files, paths, strict=True):
        values, text = load_key(path, "output_0", _RECORD)
        made_from = _record(text).get("input")
        if made_from is not None and _tail(str(made_from)) != _tail(file):
            raise PackageError(
                f"{path}: was made from {made_from}, but the datalist has {file} in this place; "
                "give the datalist of that run"
            )
        row = _row(path, values, classes)
        classes = len(row)
        yield file, row


def _row(path: Path, values: AnyArray, classes: int | None) -> F32Array:
    flat = values.reshape(-1)
    wanted = "one image's scores" if classes is None else f"one image's {classes} scores"
    if values.dtype.kind != "f" or values.size != max(values.shape, default=0):
        raise PackageError(
            f"{path}: output_0 is {values.dtype} {list(values.shape)}; {wanted}, float32, are expected"
        )
    if len(flat) != (classes or len(flat)) or not flat.size:
        raise PackageError(
            f"{path}: output_0 has {len(flat)} values, but {classes} classes are expected; "
            "give the labels or the package that it was made with"
        )
    if np.isnan(flat).any():
        raise PackageError(f"{path}: output_0 contains NaN; the network's input or weights are damaged")
    return flat.astype(np.float32)


def _record(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _tail(path: str) -> tuple[str, ...]:
    """Class folder and file name, which stay when the whole set is moved."""
    return Path(path).parts[-2:]
