"""`manifest.json`: what a package says of itself, held to the files that are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import PackageError
from ..quoted import quoted
from ..support.files import refuse_special

__all__ = [
    "MANIFEST",
    "MANIFEST_HASH",
    "SCHEMA",
    "SIGNATURE",
    "Manifest",
    "find_package",
    "manifest_hash_line",
    "sha256_of",
]

SCHEMA = 1
MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.sha256"
SIGNATURE = "model.sig"
_REMEDY = "reinstall the package or compile it again"


class Manifest:
    """A package's manifest, itself already checked against `manifest.sha256`.

    Args:
        directory: the import package's folder.

    Raises:
        PackageError: missing, changed, of another schema, or naming files outside the package.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            for name in (MANIFEST, MANIFEST_HASH):
                refuse_special(directory / name)
            text = (directory / MANIFEST).read_bytes()
            recorded = (directory / MANIFEST_HASH).read_bytes()
        except OSError as error:
            raise PackageError(
                f"{directory}: not a package of zooc ({error.strerror}: {error.filename})"
            ) from None
        if recorded != manifest_hash_line(text):
            raise PackageError(f"{directory / MANIFEST}: does not match {MANIFEST_HASH}; {_REMEDY}")
        self.sha256 = recorded.decode("ascii").strip()
        try:
            self.data: dict[str, Any] = json.loads(text)
            schema = self.data.get("schema")
        except (ValueError, AttributeError, RecursionError):
            raise PackageError(f"{directory / MANIFEST}: not a manifest; {_REMEDY}") from None
        if schema != SCHEMA:
            raise PackageError(
                f"{directory / MANIFEST}: schema {schema!r}, but this runtime reads schema {SCHEMA}; "
                f"{_REMEDY}"
            )
        self.files = self._checked_files("files")
        self.distribution_files = self._checked_files("distribution_files")

    def __getitem__(self, key: str) -> Any:
        """A top-level entry."""
        try:
            return self.data[key]
        except KeyError:
            raise PackageError(f'{self.directory / MANIFEST}: lacks "{key}"; {_REMEDY}') from None

    def changed_files(self, unless: frozenset[str] = frozenset()) -> Iterator[str]:
        """Yield complaints about missing or changed files of the import package, in order of their names."""
        yield from _changes(self.directory, {k: v for k, v in self.files.items() if k not in unless})

    def changed_distribution_files(self, folder: Path | None = None) -> Iterator[str]:
        """Yield the same for the files beside the import package, in `folder` or its build folder, if any."""
        if (folder := folder or self.build_folder) is not None:
            yield from _changes(folder, self.distribution_files)

    @property
    def build_folder(self) -> Path | None:
        """The folder that the compiler wrote, `None` for an installed package."""
        parent = self.directory.parent
        installed = parent.name in ("site-packages", "dist-packages")
        built = any((parent / name).exists() for name in self.distribution_files)
        return parent if built and not installed else None

    def unexpected_files(self) -> list[str]:
        """Return the files of the import package that zooc did not write; byte code is left out."""
        known = {*self.files, MANIFEST, MANIFEST_HASH, SIGNATURE}
        found = (path for path in self.directory.rglob("*") if "__pycache__" not in path.parts)
        # A folder that is a link is not walked, and may hold anything.
        listed = (path for path in found if path.is_symlink() or not path.is_dir())
        names = (path.relative_to(self.directory).as_posix() for path in listed)
        return sorted(name for name in names if name not in known)

    def check_files(self, unless: frozenset[str]) -> None:
        """Refuse a package with a changed file; those in `unless` are left to `read`, which checks.

        Raises:
            PackageError: naming the first such file.
        """
        for complaint in self.changed_files(unless):
            raise PackageError(f"{complaint}; {_REMEDY}")

    def read(self, name: str) -> bytes:
        """Return a file's bytes, checked once more as they are read."""
        entry = self.files.get(name)
        if entry is None:
            raise PackageError(f"{self.directory / MANIFEST}: does not list {name}; {_REMEDY}")
        try:
            refuse_special(self.directory / name)
            data = (self.directory / name).read_bytes()
        except OSError as error:
            raise PackageError(
                f"{self.directory / name}: cannot be read ({error.strerror}); {_REMEDY}"
            ) from None
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise PackageError(f"{self.directory / name}: changed since it was compiled; {_REMEDY}")
        return data

    def _checked_files(self, key: str) -> Mapping[str, dict[str, Any]]:
        entries = self[key]
        broken = PackageError(f"{self.directory / MANIFEST}: {key} is malformed; {_REMEDY}")
        if not isinstance(entries, dict):
            raise broken
        for name, entry in entries.items():
            path = PurePosixPath(name)
            strange = quoted(name) != name or path.is_absolute() or ".." in path.parts
            if not name or strange or "\\" in name or ":" in name:
                raise PackageError(
                    f"{self.directory / MANIFEST}: {key} names {name!r}, outside the package; {_REMEDY}"
                )
            if not isinstance(entry, dict) or not {"sha256", "bytes"} <= entry.keys():
                raise broken
        return entries


def find_package(given: Path) -> Path:
    """The folder that holds the manifest; the folder around it, as the compiler writes it, will do too.

    Raises:
        PackageError: there is no manifest, or more than one.
    """
    if (given / MANIFEST).exists():
        return given
    inner = [path.parent for path in given.glob(f"*/{MANIFEST}")]
    if len(inner) != 1:
        raise PackageError(f"{given}: not a package of zooc; give the folder that contains {MANIFEST}")
    return inner[0]


def manifest_hash_line(manifest: bytes) -> bytes:
    """Return the content of `manifest.sha256` for a manifest's bytes."""
    return f"{hashlib.sha256(manifest).hexdigest()}\n".encode("ascii")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _changes(folder: Path, files: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    for name in sorted(files):
        path = folder / name
        try:
            refuse_special(path)
            size = path.stat().st_size
            if size != files[name]["bytes"]:
                yield f"{path}: {size} bytes instead of {files[name]['bytes']}"
            elif sha256_of(path) != files[name]["sha256"]:
                yield f"{path}: changed since it was compiled"
        except OSError as error:
            yield f"{path}: cannot be read ({error.strerror})"
        except PackageError as error:
            yield str(error)
