"""Diagnostics as data: what went wrong, where, and what to do about it, apart from how it is shown.

Every part of the compiler reports to the user through these types. The front end collects
`Diagnostic`s and returns them; later stages raise `ZoocError` with one or more. Only the command line
renders them and chooses an exit code.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from zooc_runtime.quoted import quoted

__all__ = ["Diagnostic", "Label", "SourceFile", "Span", "ZoocError", "error", "warning"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class SourceFile:
    """A text that spans point into: `name` as the user gave it, and the whole `text`."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of the first character of each line."""
        return [0, *(i + 1 for i, char in enumerate(self.text) if char == "\n")]

    def line(self, number: int) -> str:
        """Return text of line `number` (1-based), without its line end."""
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : len(self.text) if end < 0 else end].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """The half-open range `[start, end)` of characters in `source`; lines and columns come on demand."""

    source: SourceFile = field(repr=False)
    start: int
    end: int

    def position(self) -> tuple[int, int]:
        """Return 1-based line and column of the first character."""
        line = bisect.bisect_right(self.source.line_starts, self.start)
        return line, self.start - self.source.line_starts[line - 1] + 1

    def end_position(self) -> tuple[int, int]:
        """Return 1-based line and column just past the last character."""
        line = bisect.bisect_right(self.source.line_starts, self.end)
        return line, self.end - self.source.line_starts[line - 1] + 1

    @property
    def text(self) -> str:
        """The characters covered."""
        return self.source.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Label:
    """A secondary place that belongs to a diagnostic, with what it has to do with it."""

    span: Span
    message: str

    def __post_init__(self) -> None:
        """Make what the message quotes harmless and short."""
        object.__setattr__(self, "message", quoted(self.message))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. Its texts are made harmless and short (`zooc_runtime.quoted`) when it is made.

    Attributes:
        code: `Z` and four digits; `docs/errors/CODE.md` explains it at length.
        message: what is wrong, in one line, naming the thing (`unknown model "resnest51d"`).
        span: the primary place, `None` if the finding has no place in a source text (a full disk).
        labels: other places that matter (`first defined here`).
        notes: facts that help to understand.
        hint: what to do, in one line.
    """

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    hint: str | None = None

    def __post_init__(self) -> None:
        """Make what the texts quote harmless and short."""
        object.__setattr__(self, "message", quoted(self.message))
        object.__setattr__(self, "notes", tuple(quoted(note) for note in self.notes))
        object.__setattr__(self, "hint", None if self.hint is None else quoted(self.hint))


def error(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    labels: tuple[Label, ...] = (),
    notes: tuple[str, ...] = (),
    hint: str | None = None,
) -> Diagnostic:
    """Return a `Diagnostic` of severity `error`."""
    return Diagnostic(code, "error", message, span, labels, notes, hint)


def warning(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    labels: tuple[Label, ...] = (),
    notes: tuple[str, ...] = (),
    hint: str | None = None,
) -> Diagnostic:
    """Return a `Diagnostic` of severity `warning`."""
    return Diagnostic(code, "warning", message, span, labels, notes, hint)


class ZoocError(Exception):
    """Ends a stage with diagnostics for the user; caught only at the command line's edge."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics
