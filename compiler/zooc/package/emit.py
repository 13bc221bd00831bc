"""Writes a package, all at once."""

from __future__ import annotations

import os
from pathlib import Path

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.package.contents import PackageContents, golden_bytes
from zooc.package.files import package_files
from zooc.package.install import check_place, place

__all__ = ["PackageContents", "absolute_place", "check_output", "emit_package", "golden_bytes"]


def check_output(directory: Path, *, force: bool) -> None:
    """Refuse, before the long work begins, a place that `emit_package` would refuse after it.

    Raises:
        ZoocError: Z0601, Z0602, Z0603, Z0605.
    """
    check_place(absolute_place(directory), force=force)


def emit_package(contents: PackageContents, directory: Path, *, force: bool) -> Path:
    """Write the package into `directory`, all at once; equal contents give equal bytes.

    Args:
        contents: what to write.
        directory: absent or empty, or with `force` a package that zooc wrote.
        force: replace such a package.

    Returns:
        `directory`, absolute.

    Raises:
        ZoocError: Z0601 to Z0606; `directory` is then as it was.
    """
    directory = absolute_place(directory)
    place(package_files(contents), directory, force=force)
    return directory


def absolute_place(directory: Path) -> Path:
    """Return the folder's full path, without `..`.

    Raises:
        ZoocError: Z0603, it is the root folder.
    """
    absolute = Path(os.path.abspath(directory))  # noqa: PTH100 - the name matters, so `..` must go
    if not absolute.name:
        raise ZoocError(
            error("Z0603", f"{absolute} is the root folder", hint="choose another folder with -o")
        )
    return absolute
