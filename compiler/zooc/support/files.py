"""Writing one text file in one step, as the commands that make files do."""

from __future__ import annotations

from pathlib import Path

from zooc.diagnostics.diagnostic import ZoocError, error

__all__ = ["write_text"]


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write `text`, complete or not at all.

    Raises:
        ZoocError: Z0812, the file exists and `force` is not given; Z0702, it cannot be written.
    """
    if path.exists() and not force:
        hint = "choose another name, or replace it with --force"
        raise ZoocError(error("Z0812", f"{path} exists already", hint=hint))
    scratch = path.with_name(f".{path.name}.zooc-part")
    try:
        scratch.write_text(text, "utf-8", newline="")
        scratch.replace(path)
    except OSError as problem:
        scratch.unlink(missing_ok=True)
        hint = "check the folder, its permissions and the disk"
        raise ZoocError(error("Z0702", f"cannot write {path}: {problem.strerror}", hint=hint)) from None
