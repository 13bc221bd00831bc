"""What a file of torch's is, by the names inside of its zip archive: without torch, and running nothing of it.

`torch.export.save` and `torch.jit.save` write programs, `torch.save` a pickle of tensors, AOTInductor compiled
code; all four are zip archives, most with one folder in which everything lies.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

__all__ = ["FileKind", "file_kind", "is_program"]

FileKind = Literal["exported", "torchscript", "aotinductor", "checkpoint", "onnx", "other"]

_OLD_EXPORT = "serialized_exported_program.json"
"""In the archives of torch before 2.8."""


def file_kind(path: Path) -> FileKind:
    """Return what the file is: a `torch.export` program, a TorchScript, compiled code, weights, ...

    `onnx` goes by the name's ending. A file that cannot be opened, is truncated or no archive, is `other`.
    """
    if path.suffix.lower() == ".onnx":
        return "onnx"
    if path.suffix.lower() == ".safetensors":
        return "checkpoint"
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "other"
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
