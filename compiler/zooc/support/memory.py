"""Keeping a compile small and quick: what the allocator holds on to, and when it gives it back (glibc)."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

__all__ = ["keep_freed", "release"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 1 << 30


def keep_freed() -> None:
    """Leave freed memory with the process until `release`.

    Copies of a network's weights come and go in every stage. By itself the C library asks the system for each
    anew, which then fills every page with zeros: for 100 MB that takes longer than the copying.
    """
    with contextlib.suppress(OSError, AttributeError):
        if sys.platform == "linux":
            library = ctypes.CDLL(None)
            library.mallopt(_M_TRIM_THRESHOLD, _NEVER)
            library.mallopt(_M_MMAP_THRESHOLD, _NEVER)


def release() -> None:
    """Give freed memory back to the system.

    Freed between others that stay, copies of the weights would count as ours to the end.
    """
    gc.collect()  # graphs whose nodes point at each other
    with contextlib.suppress(OSError, AttributeError):
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
