"""The runtime of compiled packages: decoding, the graph's stages, results, command line, benchmark.

The compiler copies this folder verbatim into each package as `_runtime`. It needs numpy, ONNX Runtime and
Pillow, and imports none of them before a package is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import PackageError

if TYPE_CHECKING:
    from .inference.model import Model, Prediction, Result

__all__ = ["Model", "PackageError", "Prediction", "Result", "open_package"]


def open_package(
    directory: str | os.PathLike[str],
    engine: str = "auto",
    threads: int | None = None,
    batch_size: int | None = None,
    vdsp_params: str | os.PathLike[str] | None = None,
    max_wait_us: float = 0,
    streams: int | None = None,
    hint: str | None = None,
    providers: Sequence[str | tuple[str, Mapping[str, object]]] | None = None,
    device: str | None = None,
    fallback: bool = False,
    trusted_key: str | os.PathLike[str] | None = None,
) -> Model:
    """Load the package in `directory`; see `model.open_package`."""
    from .inference import model

    return model.open_package(
        directory,
        engine,
        threads,
        batch_size,
        vdsp_params,
        max_wait_us,
        streams,
        hint,
        providers,
        device,
        fallback,
        trusted_key,
    )


def __getattr__(name: str) -> Any:
    if name in ("Model", "Prediction", "Result"):
        from .inference import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
