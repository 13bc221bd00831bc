"""Keeps ONNX Runtime's warnings about graphs in the making off the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import onnxruntime

__all__ = ["quiet_engine"]

_WARNING, _FATAL = 2, 4


@contextlib.contextmanager
def quiet_engine() -> Iterator[None]:
    """Within, the engine's default logger is silent; after, it is back at the engine's own default.

    A session's `log_severity_level` does not reach what is logged while a graph is loaded and optimized.
    """
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)
