"""The packages that torch's sources stand on: whether they are installed, and in which versions."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from zooc.deployment import ModelSource
from zooc.diagnostics.diagnostic import ZoocError, error

__all__ = ["LIBRARIES", "require_packages", "versions"]

LIBRARIES = {"timm": "timm", "torchvision": "torchvision", "official": "timm"}
"""What each kind of source creates its modules with."""


def require_packages(source: ModelSource) -> None:
    """Refuse a source whose libraries this Python lacks.

    Raises:
        ZoocError: `Z0203`.
    """
    own = [LIBRARIES[source.kind], "safetensors"] if source.kind in LIBRARIES else []
    needed = ("torch", *own, "onnxscript")
    absent = [p for p in needed if importlib.util.find_spec(p) is None]
    if absent:
        raise ZoocError(
            error(
                "Z0203",
                f"{source.shown} needs {' and '.join(absent)}, which this Python lacks",
                source.span,
                hint='pip install "zooc[models]"',
            )
        )


def versions(packages: Iterable[str]) -> list[str]:
    """Return each package's version, `absent` without one."""
    return [_version(package) for package in packages]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
