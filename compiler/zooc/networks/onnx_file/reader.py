"""Reads an ONNX file whole, its external data included, and says in the user's terms why it cannot be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import onnx

from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.networks.file_kind import file_kind, is_program
from zooc.networks.onnx_file.sound import check_sound
from zooc.support.cache import file_sha256, key

__all__ = ["external_files", "hash_onnx", "read_onnx"]

_LIMIT: Final = (1 << 31) - (1 << 20)
"""Largest model that still fits one protobuf message, with room for what compiling adds."""


def read_onnx(path: Path, span: Span | None) -> onnx.ModelProto:
    """Return the model of the file, tensors kept in files beside it read in.

    Raises:
        ZoocError: the file is missing, unreadable, too large (`Z0209`), no ONNX (`Z0210`), lacks its
            external data (`Z0211`), or is what `check_sound` refuses.
    """
    model = _read_message(path, span)
    check_sound(model, path.name, span)
    total = path.stat().st_size
    files = external_files(model, path, span)
    if not files:
        return model
    for file in files:
        if not _is_file(file):
            raise ZoocError(
                error(
                    "Z0211",
                    f"{path.name} stores weights in {file.name}, which is not in the same folder",
                    span,
                    hint=f"copy {file.name} into the folder of {path.name}",
                )
            )
        total += file.stat().st_size
    _check_size(path, total, span)
    try:
        onnx.load_external_data_for_model(model, os.fspath(path.parent))
        for tensor in model.graph.initializer:
            onnx.numpy_helper.to_array(tensor)
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as problem:
        raise ZoocError(
            error(
                "Z0211",
                f"the weights that {path.name} stores in {files[0].name} cannot be read",
                span,
                notes=(_first_line(problem),),
                hint="copy both files again: one of them is truncated or belongs to another model",
            )
        ) from problem
    return model


def hash_onnx(path: Path, span: Span | None) -> str:
    """Return the sha256 (hex) of the file; with external data, of all files' hashes in order.

    Raises:
        ZoocError: the file cannot be read.
    """
    try:
        digest = file_sha256(path)
        # A file of weights inside has no use for a second pass over its bytes.
        if path.stat().st_size > _LIMIT:
            return digest
        files = external_files(_read_message(path, span), path, span)
        parts = [digest, *(file_sha256(f) for f in files if _is_file(f))]
    except OSError as problem:
        raise _unreadable(path, span, problem) from problem
    return digest if len(parts) == 1 else key(*parts)


def external_files(model: onnx.ModelProto, path: Path, span: Span | None) -> list[Path]:
    """Return the files beside `path` in which `model` keeps tensors, each once, sorted.

    Raises:
        ZoocError: a location leaves the model's folder.
    """
    locations = set()
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
            locations.add(entries.get("location", ""))
    for location in locations:
        if not location or Path(location).is_absolute() or ".." in Path(location).parts:
            raise ZoocError(
                error(
                    "Z0211",
                    f"{path.name} names a weights file outside its own folder: {location!r}",
                    span,
                    hint="save the model again with its external data in the same folder",
                )
            )
    return [path.parent / location for location in sorted(locations)]


def _is_file(path: Path) -> bool:
    """As `Path.is_file`, and `False` for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read_message(path: Path, span: Span | None) -> onnx.ModelProto:
    if not path.exists():
        hint = "give the path of an existing file" if span is None else "paths are relative to the .zoo file"
        raise ZoocError(error("Z0210", f"there is no file {path}", span, hint=hint))
    try:
        if path.is_file():
            _check_size(path, path.stat().st_size, span)
        content = path.read_bytes()
    except OSError as problem:
        raise _unreadable(path, span, problem) from problem
    if not content:
        raise ZoocError(error("Z0210", f"{path.name} is empty", span, hint="copy or export the model again"))
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except Exception as problem:  # protobuf's own error, of whichever implementation is installed
        raise _not_onnx(path, content, span) from problem
    if not model.graph.node or not model.opset_import:
        raise _not_onnx(path, content, span)
    return model


def _not_onnx(path: Path, content: bytes, span: Span | None) -> ZoocError:
    start = content.lstrip()[:15].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        note = "it is a web page, probably from a download link that needs a login or a click"
    elif content.startswith(b"version https://git-lfs"):
        note = "it is a Git LFS pointer; `git lfs pull` fetches the file itself"
    elif is_program(file_kind(path)):
        note = f'it is a network that torch saved; write `source torch("{path.name}")`'
    elif content.startswith(b"PK\x03\x04") or content.startswith(b"\x80"):
        note = "it looks like a PyTorch checkpoint; give it as `weights`, with a source such as timm.NAME"
    else:
        note = "it is truncated, or another kind of file"
    return ZoocError(
        error(
            "Z0210",
            f"{path.name} is not a readable ONNX model",
            span,
            notes=(note,),
            hint="copy or export the model again",
        )
    )


def _unreadable(path: Path, span: Span | None, problem: OSError) -> ZoocError:
    reason = problem.strerror or str(problem)
    return ZoocError(
        error("Z0210", f"cannot read {path}: {reason}", span, hint="check the path and its permissions")
    )


def _check_size(path: Path, size: int, span: Span | None) -> None:
    if size > _LIMIT:
        raise ZoocError(
            error(
                "Z0209",
                f"{path.name} has {size / 2**30:.1f} GiB; a compiled model can hold 2 GiB at most",
                span,
                hint="choose a smaller network",
            )
        )


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__
