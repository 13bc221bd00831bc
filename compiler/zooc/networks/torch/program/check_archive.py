"""Refuses an exported program that holds Python objects, which loading would unpickle, and so run.

`torch.export.load` unpickles what the archive marks so. A network needs tensors alone. This closes the widest
door, not every one: sizes and guards of a program are Python expressions, which torch evaluates. Programs are
for whoever trusts their author, as `docs/networks.md` says.
"""

from __future__ import annotations

import contextlib
import functools
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

__all__ = ["ForeignObjectError", "refuse_objects", "tensors_only"]

_TENSORS = ("tensor_", "weight_")
"""With which the names of files begin that hold plain tensors."""


class ForeignObjectError(Exception):
    """The archive holds more than tensors; the text says what."""


def refuse_objects(path: Path) -> None:
    """Look through the archive's own lists of what it holds.

    Raises:
        ForeignObjectError: pickled Python objects.
        OSError: the archive cannot be read.
        zipfile.BadZipFile: it is damaged.
        ValueError: a list is no JSON.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(set(names)) != len(names):
            raise ForeignObjectError("it has two files of one name")
        for name in names:
            if name.endswith("_config.json"):
                for key, value in _entries(json.loads(archive.read(name))):
                    _check(key, value)


@contextlib.contextmanager
def tensors_only() -> Iterator[None]:
    """Make `torch.load` take tensors alone within, whoever calls it."""
    load = torch.load
    torch.load = functools.wraps(load)(
        lambda *given, **named: load(*given, **{**named, "weights_only": True})
    )
    try:
        yield
    finally:
        torch.load = load


def _check(key: str, value: Any) -> None:
    if key == "use_pickle" and value:
        raise ForeignObjectError("it has pickled Python objects in place of tensors")
    if key == "path_name" and not str(value).startswith(_TENSORS):
        raise ForeignObjectError(f"it has a Python object besides its tensors: {str(value)[:60]!r}")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key of every object, however deep, with its value."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            yield from one.items()
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
