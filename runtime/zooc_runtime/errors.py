"""The exception that users of a package see for their own mistakes and for damaged files."""

from __future__ import annotations

from .quoted import quoted

__all__ = ["ImageTooLarge", "PackageError"]


class PackageError(Exception):
    """Something the user can put right; the message names the place and the remedy."""

    def __init__(self, message: str) -> None:
        """Keep the message, with what it quotes made harmless and short."""
        super().__init__(quoted(message, lines=True))


class ImageTooLarge(PackageError):
    """An image has more pixels than may be decoded."""
