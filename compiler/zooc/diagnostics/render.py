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
from zooc_runtime.quoted import quoted, visible

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
    yield [(f"{severity}[{diagnostic.code}]", severity), (f": {mask(diagnostic.message)}", "bold")]
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
        yield [(f"{pad} = ", "gutter"), ("note", "bold"), (f": {mask(note)}", "")]
    if diagnostic.hint is not None:
        yield [(f"{pad} = ", "gutter"), ("hint", "hint"), (f": {mask(diagnostic.hint)}", "")]


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
    yield [(f"{pad}{arrow} ", "gutter"), (f"{quoted(span.source.name)}:{line}:{column}", "")]
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
            start, end = offsets[mark.start], offsets[mark.end]
            underline = mark.char * max(end - start, 1)
            message = f" {mask(mark.message)}" if mark.message else ""
            yield [(f"{pad} | ", "gutter"), (" " * start, ""), (underline + message, mark.style)]
        previous = number
    yield [(f"{pad} |", "gutter")]


def _window(span: Span, number: int, marks: list[_Mark]) -> tuple[str, dict[int, int]]:
    """The line as shown, and the columns at which the marks begin and end.

    Of a long line no more is looked at than is shown: there may be many marks in it.
    """
    line = mask(span.source.line(number))
    base = 0
    shown, columns = _laid_out(line)
    if len(shown) < len(line):
        base = max(min((mark.start for mark in marks), default=0) - _CONTEXT, 0)
        shown, columns = _laid_out(line[base : base + _MAX_WIDTH + 1])
    before, after = ("..." if base else ""), ("..." if base + len(shown) < len(line) else "")
    places = {
        end: len(before) + columns[min(max(end - base, 0), len(shown))]
        for mark in marks
        for end in (mark.start, mark.end)
    }
    return before + "".join(shown) + after, places


def _laid_out(text: str) -> tuple[list[str], list[int]]:
    """The first characters as shown, as many as fit, and the column of each and of their end."""
    shown: list[str] = []
    columns = [0]
    for char in text[: _MAX_WIDTH + 1]:
        piece = " " * (_TAB - columns[-1] % _TAB) if char == "\t" else visible(char)
        end = columns[-1] + _width(char, piece)
        if end > _MAX_WIDTH:
            break
        shown.append(piece)
        columns.append(end)
    return shown, columns


def _width(char: str, piece: str) -> int:
    if piece != char:
        return len(piece)
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
