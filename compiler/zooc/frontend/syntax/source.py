"""Reads a `.zoo` file from disk, or says why it cannot be read."""

from __future__ import annotations

from pathlib import Path

from zooc.diagnostics.diagnostic import Diagnostic, SourceFile, error
from zooc.support.limits import MAX_SOURCE_BYTES

__all__ = ["read_source"]


def read_source(path: str | Path) -> tuple[SourceFile | None, list[Diagnostic]]:
    """Read the UTF-8 text of `path`; a byte order mark at its start is dropped.

    Returns:
        The source, named as the user gave it, and no diagnostics; or `None` and why.
    """
    name = str(path)
    file = Path(path)
    try:
        if file.is_dir():
            hint = "give the path of a .zoo file"
            return None, [error("Z0007", f"cannot read {name}: it is a folder", hint=hint)]
        with file.open("rb") as stream:
            data = stream.read(MAX_SOURCE_BYTES + 1)
    except FileNotFoundError:
        return None, [error("Z0007", f"cannot read {name}: there is no such file", hint=_near_files(file))]
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        return None, [error("Z0007", f"cannot read {name}: {reason}")]
    if len(data) > MAX_SOURCE_BYTES:
        message = f"{name} is larger than {MAX_SOURCE_BYTES:,} bytes"
        return None, [
            error("Z0009", message, hint="is it a .zoo file? An ONNX file or weights are named inside one")
        ]
    try:
        return SourceFile(name, data.decode("utf-8-sig")), []
    except UnicodeDecodeError as failure:
        line = data.count(b"\n", 0, failure.start) + 1
        message = (
            f"{name} is not UTF-8: byte 0x{data[failure.start]:02x} at offset {failure.start} (line {line})"
        )
        return None, [error("Z0008", message, hint="save the file as UTF-8")]


def _near_files(file: Path) -> str | None:
    try:
        names = sorted(entry.name for entry in file.parent.glob("*.zoo"))
    except OSError:
        return None
    return f"the .zoo files there: {', '.join(names[:5])}" if names else None
