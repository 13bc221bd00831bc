"""Class names: one a line, line `i` (from 0) naming class `i`; names may repeat."""

from __future__ import annotations

from .errors import PackageError

__all__ = ["parse_labels"]


def parse_labels(text: str, classes: int, name: str = "labels.txt") -> tuple[str, ...]:
    """Splits the text of a labels file.

    Raises:
        PackageError: another number of lines than classes.
    """
    lines = text.split("\n")
    names = tuple(lines[:-1] if lines[-1] == "" else lines)
    if len(names) != classes:
        raise PackageError(f"{name}: {len(names)} labels for {classes} classes; compile the package again")
    return names
