"""Shows diagnostics: text with the source line and carets, coloured on a terminal, or JSON values.

Credentials in addresses are starred out, character by character, so that columns stay what they are.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from zooc.diagnostics.diagnostic import Diagnostic, Span
from zooc_runtime.data.place import mask

__all__ = ["print_diagnostics", "render", "to_json"]

_TAB = 4
_MAX_WIDTH = 140
_CONTEXT = 60

Piece = tuple[str, str]
"""A text and its style: "", "error", "warning", "gutter", "secondary", "bold" or "hint"."""

_STYLES = {
    "": "",
    "error": "bold red",
    "warning": "bold yellow",
    "gutter": "bold blue",
    "secondary": "bold blue",
    "bold": "bold",
    "hint": "bold green",
}


@dataclass(frozen=True)
class _Mark:
    """An underline below one line, `start` and `end` in characters of that line."""

    line: int
    start: int
    end: int
    char: str
    style: str
    message: str


def render(diagnostic: Diagnostic) -> str:
    """Return the diagnostic as plain text, without a trailing line end."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in _lines(diagnostic))


def print_diagnostics(diagnostics: Iterable[Diagnostic], stream: TextIO) -> None:
    """Write the diagnostics, a blank line after each; in colour if `stream` is a terminal that wants it."""
    colour = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    for diagnostic in diagnostics:
        if colour:
            _print_coloured(diagnostic, stream)
            continue
        text = f"{render(diagnostic)}\n\n"
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _print_coloured(diagnostic: Diagnostic, stream: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in _lines(diagnostic):
        console.print(Text.assemble(*((text, _STYLES[style]) for text, style in line)))
    console.print()


def to_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return the diagnostic as JSON values; lines and columns count from 1, in characters."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": mask(diagnostic.message),
        **_place(diagnostic.span),
        "labels": [{**_place(label.span), "message": mask(label.message)} for label in diagnostic.labels],
        "notes": list(map(mask, diagnostic.notes)),
        "hint": None if diagnostic.hint is None else mask(diagnostic.hint),
    }


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    (line, column), (end_line, end_column) = span.position(), span.end_position()
    return {
        "file": span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    }


def _lines(diagnostic: Diagnostic) -> Iterator[list[Piece]]:
    severity = diagnostic.severity
    yield [(f"{severity}[{diagnostic.code}]", severity), (f": {_safe(diagnostic.message)}", "bold")]
    width = 1
    if diagnostic.span is not None:
        spans = [diagnostic.span, *(label.span for label in diagnostic.labels)]
        width = len(str(max(span.position()[0] for span in spans)))
        here = [label for label in diagnostic.labels if label.span.source is diagnostic.span.source]
        marks = [_mark(diagnostic.span, "^", severity, "")]
        marks += [_mark(label.span, "-", "secondary", label.message) for label in here]
        yield from _snippet(diagnostic.span, marks, width, "-->")
        for label in diagnostic.labels:
            if label not in here:
                yield from _snippet(
                    label.span, [_mark(label.span, "-", "secondary", label.message)], width, ":::"
                )
    pad = " " * width
    for note in diagnostic.notes:
        yield [(f"{pad} = ", "gutter"), ("note", "bold"), (f": {_safe(note)}", "")]
    if diagnostic.hint is not None:
        yield [(f"{pad} = ", "gutter"), ("hint", "hint"), (f": {_safe(diagnostic.hint)}", "")]


def _mark(span: Span, char: str, style: str, message: str) -> _Mark:
    line, column = span.position()
    end_line, end_column = span.end_position()
    length = len(span.source.line(line))
    end = end_column - 1 if end_line == line else length
    start = min(column - 1, length)
    if end_line > line:
        message = f"{message} (to line {end_line})" if message else f"... to line {end_line}"
    return _Mark(line, start, max(end, start + 1), char, style, message)


def _snippet(span: Span, marks: list[_Mark], width: int, arrow: str) -> Iterator[list[Piece]]:
    line, column = span.position()
    pad = " " * width
    yield [(f"{pad}{arrow} ", "gutter"), (f"{_safe(span.source.name)}:{line}:{column}", "")]
    yield [(f"{pad} |", "gutter")]
    previous: int | None = None
    for number in sorted({mark.line for mark in marks}):
        if previous is not None and number == previous + 2:
            yield [(f"{previous + 1:>{width}} | ", "gutter"), (_window(span, previous + 1, [])[0], "")]
        elif previous is not None and number > previous + 2:
            yield [("...", "gutter")]
        own = [mark for mark in marks if mark.line == number]
        text, offsets = _window(span, number, own)
        yield [(f"{number:>{width}} | ", "gutter"), (text, "")]
        for mark in own:
            start, end = offsets[mark.start], offsets[min(mark.end, len(offsets) - 1)]
            underline = mark.char * max(end - start, 1)
            message = f" {_safe(mark.message)}" if mark.message else ""
            yield [(f"{pad} | ", "gutter"), (" " * start, ""), (underline + message, mark.style)]
        previous = number
    yield [(f"{pad} |", "gutter")]


def _window(span: Span, number: int, marks: list[_Mark]) -> tuple[str, list[int]]:
    """The line as shown, and for each of its characters (and the end) the column where it is shown."""
    line = mask(span.source.line(number))
    shown, offsets, column = [], [], 0
    for char in line:
        offsets.append(column)
        piece = " " * (_TAB - column % _TAB) if char == "\t" else _visible(char)
        shown.append(piece)
        column += _width(char, piece)
    offsets += [column, column + 1]
    if column <= _MAX_WIDTH:
        return "".join(shown), offsets
    first = max(min((mark.start for mark in marks), default=0) - _CONTEXT, 0)
    last = first
    while last < len(line) and offsets[last + 1] - offsets[first] <= _MAX_WIDTH:
        last += 1
    before, after = ("..." if first else ""), ("..." if last < len(line) else "")
    base, limit = offsets[first] - len(before), offsets[last] - offsets[first] + len(before)
    moved = [min(max(offset - base, 0), limit) for offset in offsets]
    return before + "".join(shown[first:last]) + after, moved


def _width(char: str, piece: str) -> int:
    if piece != char:
        return len(piece)
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _visible(char: str) -> str:
    """Control and format characters spelled out: they could hide text or drive the terminal."""
    category = unicodedata.category(char)
    return f"<U+{ord(char):04X}>" if category in ("Cc", "Cf", "Cs", "Zl", "Zp") else char


def _safe(text: str) -> str:
    return "".join(_visible(char) for char in mask(text))
