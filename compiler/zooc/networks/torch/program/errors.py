"""The errors that the files of `source torch("...")` have in common."""

from __future__ import annotations

import json
from pathlib import Path

from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.networks.file_kind import FileKind

__all__ = ["no_program", "unreadable"]

_SAVE = 'write one with torch.export.save(torch.export.export(model.eval(), (image,)), "net.pt2")'

_STARTS: tuple[tuple[bytes | tuple[bytes, ...], str], ...] = (
    (b"pk\x03\x04", "it is a truncated archive, or one of another kind"),
    (b"\x80", "it is a checkpoint of an old torch: weights alone, which need an architecture as the source"),
    (
        (b"<!doctype", b"<html", b"<?xml"),
        "it is a web page, probably from a download link that needs a login or a click",
    ),
    (b"version https://git-lfs", "it is a Git LFS pointer; `git lfs pull` fetches the file itself"),
)


def unreadable(path: Path, span: Span | None, note: str) -> ZoocError:
    """Return `Z0229`."""
    return ZoocError(
        error("Z0229", f"{path.name} cannot be read as a network", span, notes=(note,), hint=_SAVE)
    )


def no_program(path: Path, kind: FileKind, span: Span | None) -> ZoocError:
    """Return the error for a file that is none of the two kinds of programs: `Z0229` or `Z0230`."""
    name = json.dumps(path.name, ensure_ascii=False)
    if kind == "checkpoint":
        return ZoocError(
            error(
                "Z0230",
                f"{path.name} holds weights alone, not the network that they belong to",
                span,
                notes=("it is a checkpoint, written by torch.save or safetensors",),
                hint=f"name the architecture, for example: source torchvision.resnet18  weights {name}",
            )
        )
    if kind == "onnx":
        return ZoocError(
            error("Z0229", f"{path.name} is an ONNX file", span, hint=f"write `source onnx({name})`")
        )
    if kind == "aotinductor":
        return unreadable(path, span, "it is an AOTInductor package: compiled code, no network to read")
    return unreadable(path, span, _look(path))


def _look(path: Path) -> str:
    """What the file's first bytes show it to be."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip().lower()
    except OSError as problem:
        return problem.strerror or str(problem)
    if not start:
        return "it is empty"
    found = (note for first, note in _STARTS if start.startswith(first))
    return next(found, "it is neither a torch.export program nor a TorchScript")
