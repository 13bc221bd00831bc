"""Vastai's npz files: inputs under `input_0`, outputs under `output_0`, and the datalist that names them."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import PackageError
from ..support.archives import check_unpacked_size
from ..support.arrays import AnyArray, U8Array
from ..support.files import read_lines, refuse_special, replacing

__all__ = ["load_key", "output_name", "read_datalist", "read_input", "refuse_repeats", "write_npz"]

_ZIP_MAGIC = b"PK\x03\x04"
_DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, TypeError, EOFError, MemoryError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)


def read_datalist(path: str | os.PathLike[str], *, must_exist: bool = True) -> tuple[str, ...]:
    """Return the npz files that a datalist names, one a line; relative ones are relative to the list.

    Args:
        path: the list.
        must_exist: whether the files named are going to be read.

    Raises:
        PackageError: unreadable, empty, or naming a file that is not there (with its line).
    """
    files = []
    folder = os.path.abspath(os.path.dirname(os.fspath(path)))  # noqa: PTH100, PTH120 - 50,000 lines
    for number, line in enumerate(read_lines(path), 1):
        if name := line.strip():
            file = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118
            if must_exist and not os.path.isfile(file):  # noqa: PTH113
                raise PackageError(f"{os.fspath(path)}:{number}: no such file: {file}; correct the list")
            files.append(file)
    if not files:
        raise PackageError(f"{os.fspath(path)}: names no files; write one npz path per line")
    return tuple(files)


def refuse_repeats(files: Sequence[str], datalist: str | os.PathLike[str]) -> None:
    """Raise `PackageError` if a list names a file twice: outputs are told apart by their inputs."""
    seen: dict[str, int] = {}
    for number, file in enumerate(files, 1):
        if (first := seen.setdefault(file, number)) != number:
            raise PackageError(
                f"{os.fspath(datalist)}: entries {first} and {number} are the same file, {file}; "
                "name each file once"
            )


def load_key(path: str | os.PathLike[str], key: str, optional: str | None = None) -> tuple[AnyArray, str]:
    """Return one array of an npz file, and the text under the key `optional` (empty if it has none).

    Raises:
        PackageError: missing, empty, truncated, no npz file, pickled, or without the key.
    """
    name = os.fspath(path)
    try:
        refuse_special(Path(path))
        with Path(path).open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic != _ZIP_MAGIC:
                raise PackageError(f"{name}: {_not_npz(magic)}; make it again")
            check_unpacked_size(file)
            with np.load(file, allow_pickle=False) as archive:
                array: AnyArray = archive[key]
                return array, str(archive[optional]) if optional in archive.files else ""
    except KeyError:
        raise PackageError(f"{name}: has no {key}; make it with the key {key}") from None
    except FileNotFoundError:
        raise PackageError(f"{name}: no such file; correct the list, or make the file") from None
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise PackageError(
                f"{name}: {key} is a pickled object, which could run code when read, and is refused; "
                "save a plain array"
            ) from None
        raise _damaged(name, error) from None
    except _DAMAGE as error:
        raise _damaged(name, error) from None


def read_input(path: str | os.PathLike[str], channels: int = 3) -> U8Array:
    """Return the image of an npz file as `uint8 [H, W, 3]`; the file holds `input_0`, `uint8 [3, H, W]` RGB.

    Of a network of so many other `channels` it is `uint8 [channels, H, W]`.

    Raises:
        PackageError: damaged, without that key, or of another dtype or shape.
    """
    pixels, _ = load_key(path, "input_0")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] != channels or not pixels.size:
        wanted = f"uint8 [{channels}, H, W]{', RGB,' if channels == 3 else ''}"
        raise PackageError(
            f"{os.fspath(path)}: input_0 is {pixels.dtype} {list(pixels.shape)}; {wanted} is expected: "
            "decoded images, neither normalized nor transposed"
        )
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def output_name(index: int, count: int) -> str:
    """Return the file name of output `index`: the names sort in the datalist's order."""
    return f"output_{index:0{max(6, len(str(count)))}d}.npz"


def write_npz(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Write arrays under their keys, the file appearing whole or not at all.

    Raises:
        PackageError: the disk or the permissions do not allow it.
    """
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _not_npz(magic: bytes) -> str:
    return "an npz file was expected, but it is " + ("empty" if not magic else "of another kind, or damaged")


def _damaged(name: str, error: Exception) -> PackageError:
    return PackageError(f"{name}: not an npz file, truncated or damaged ({error}); make it again")
