"""Keeping a compile small: what the allocator holds on to without need."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

__all__ = ["release"]


def release() -> None:
    """Give freed memory back to the system, where the C library can be asked to (glibc).

    Copies of a network's weights come and go in every stage. Freed between others that stay, they would count
    as ours to the end.
    """
    gc.collect()  # graphs whose nodes point at each other
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
