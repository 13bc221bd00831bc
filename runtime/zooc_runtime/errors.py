"""The exceptions that users of a package see for their own mistakes and for damaged files."""

from __future__ import annotations

from .quoted import quoted

__all__ = ["ImageTooLarge", "PackageError", "SourceError"]


class PackageError(Exception):
    """Something the user can put right; the message names the place and the remedy."""

    def __init__(self, message: str) -> None:
        """Keep the message, with what it quotes made harmless and short."""
        super().__init__(quoted(message, lines=True))


class ImageTooLarge(PackageError):
    """An image has more pixels than may be decoded."""


class SourceError(PackageError):
    """A source of images fails as a whole: its host does not answer, say.

    Whoever leaves out single images that cannot be read does not leave these out: the result would depend on
    the network's luck.
    """
