"""The exception that users of a package see for their own mistakes and for damaged files."""

from __future__ import annotations

__all__ = ["ImageTooLarge", "PackageError"]


class PackageError(Exception):
    """Something the user can put right; the message names the place and the remedy."""


class ImageTooLarge(PackageError):
    """An image has more pixels than may be decoded."""
