"""The exceptions that users of a package see for their own mistakes and for damaged files."""

from __future__ import annotations

__all__ = ["PackageError", "SourceError"]


class PackageError(Exception):
    """Something the user can put right; the message names the place and the remedy."""


class SourceError(PackageError):
    """A source of images fails as a whole: its host does not answer, say.

    Whoever leaves out single images that cannot be read does not leave these out: the result would depend on
    the network's luck.
    """
