"""A compiled package, read whole before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc_runtime.errors import PackageError
from zooc_runtime.package.heads import Head, read_heads
from zooc_runtime.package.manifest import Manifest, find_package

__all__ = ["Compiled", "read_compiled"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A package whose files are as they were compiled.

    Attributes:
        manifest: what it says of itself.
        graph: the bytes of `model.onnx`.
        heads: what its scores mean.
    """

    manifest: Manifest
    graph: bytes
    heads: tuple[Head, ...]

    @property
    def name(self) -> str:
        """The package's name, an identifier in ASCII."""
        return str(self.manifest["name"])


def read_compiled(folder: Path) -> Compiled:
    """Return the package in a folder.

    Args:
        folder: what `zooc compile` wrote, or the import package in it.

    Raises:
        ZoocError: Z0222, no package, or a damaged one.
    """
    try:
        manifest = Manifest(find_package(folder))
        manifest.check_files(unless=frozenset({"model.onnx"}))
        return Compiled(manifest, manifest.read("model.onnx"), read_heads(manifest))
    except PackageError as problem:
        hint = "give the folder that `zooc compile` wrote"
        raise ZoocError(error("Z0222", str(problem), hint=hint)) from None
