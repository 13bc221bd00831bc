"""Vastai's npz files: inputs under `input_0`, outputs under `output_0`, and the datalist that names them."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .arrays import AnyArray, F32Array, U8Array
from .errors import PackageError

__all__ = ["output_name", "read_datalist", "read_input", "write_output"]


def read_datalist(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The npz files that a datalist names, one a line; relative ones are relative to the list.

    Raises:
        PackageError: unreadable, empty, or naming a file that is not there (with its line).
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{os.fspath(path)}: cannot be read ({error}); check the path") from None
    files = []
    for number, line in enumerate(lines, 1):
        if name := line.strip():
            file = Path(path).absolute().parent / name
            if not file.is_file():
                raise PackageError(f"{os.fspath(path)}:{number}: no such file: {file}; correct the list")
            files.append(str(file))
    if not files:
        raise PackageError(f"{os.fspath(path)}: names no files; write one npz path a line")
    return tuple(files)


def read_input(path: str) -> U8Array:
    """The image of an npz file as `uint8 [H, W, 3]`; the file holds `input_0`, `uint8 [3, H, W]` RGB.

    Raises:
        PackageError: damaged, without that key, or of another dtype or shape.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            pixels: AnyArray = archive["input_0"]
    except KeyError:
        raise PackageError(f"{path}: has no input_0; make it with the key input_0") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise PackageError(f"{path}: not an npz file, or damaged ({error}); make it again") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] != 3 or not pixels.size:
        raise PackageError(
            f"{path}: input_0 is {pixels.dtype} {list(pixels.shape)}; uint8 [3, H, W], RGB, is wanted"
        )
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def output_name(index: int, count: int) -> str:
    """The file name of output `index`: the names sort in the datalist's order."""
    return f"output_{index:0{max(6, len(str(count)))}d}.npz"


def write_output(path: Path, output: F32Array) -> None:
    """Writes one image's output under the key `output_0`."""
    try:
        np.savez(path, output_0=output)
    except OSError as error:
        raise PackageError(
            f"{path}: cannot be written ({error.strerror}); check the disk and permissions"
        ) from None
