"""What a file of torch's is, by the names inside of its zip archive: without torch, and running nothing.

`torch.export.save` and `torch.jit.save` write programs, `torch.save` a pickle of tensors, AOTInductor
compiled code; all four are zip archives, most with one folder in which everything lies.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

__all__ = ["FileKind", "file_kind", "is_program"]

FileKind = Literal["exported", "torchscript", "aotinductor", "checkpoint", "onnx", "other"]

_BY_ENDING: dict[str, FileKind] = {".onnx": "onnx", ".safetensors": "checkpoint"}

_OLD_EXPORT = "serialized_exported_program.json"
"""In the archives of torch before 2.8."""


def file_kind(path: Path) -> FileKind:
    """Return what the file is: a `torch.export` program, a TorchScript, compiled code, weights, ...

    ONNX and safetensors go by the name's ending. What cannot be opened, is
    truncated or no archive, is `other`.
    """
    ending = path.suffix.lower()
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "other"
    return _kind_of_archive(names)


def _kind_of_archive(names: set[str]) -> FileKind:
    inside = names | {name.partition("/")[2] for name in names}
    if any(name.startswith("data/aotinductor/") for name in inside):
        return "aotinductor"
    if _OLD_EXPORT in inside or any(name.startswith("models/") and name.endswith(".json") for name in inside):
        return "exported"
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return "torchscript"
    return "checkpoint" if "data.pkl" in inside else "other"


def is_program(kind: FileKind) -> bool:
    """Whether such a file holds a whole network that `source torch("...")` takes."""
    return kind in ("exported", "torchscript")
