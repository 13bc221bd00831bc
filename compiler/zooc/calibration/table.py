"""Ranges as text, a line a tensor: `name threshold min max`, the usual exchange format of quantizers.

`#` begins a comment. A name with blanks or a `#` is written as a JSON string. A line of two columns, `name
threshold`, stands for `-threshold threshold`. Numbers are written with as many digits as it takes to read the
same float64 back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zooc.calibration.file import Calibration
from zooc.calibration.ranges import Ranges, choose_ranges
from zooc.deployment import CalibrationMethod
from zooc.diagnostics.diagnostic import Diagnostic, Label, SourceFile, Span, ZoocError, error
from zooc.diagnostics.suggest import did_you_mean
from zooc.support.columns import quoted, table_rows, unquoted

__all__ = [
    "describe",
    "format_table",
    "notes_of",
    "parse_method",
    "parse_table",
    "ranges_of",
    "table_places",
    "to_json",
]

_HEADER = "# name threshold min max"
_HINT = "a line is `name threshold min max`, or `name threshold`; `#` begins a comment"


def format_table(ranges: Ranges, *, about: Sequence[str] = (), notes: Mapping[str, str] | None = None) -> str:
    """Return the table as text, in columns.

    Args:
        ranges: of float64 limits.
        about: comment lines for its head.
        notes: a comment for the ends of some tensors' lines.
    """
    rows = [
        (quoted(name), repr(max(abs(low), abs(high))), repr(low), repr(high))
        for name, (low, high) in ranges.items()
    ]
    columns = (_HEADER.removeprefix("# ").split(), *rows)
    widths = [max(len(row[i]) + 2 * (i == 0 and row is columns[0]) for row in columns) for i in range(4)]

    def line(row: Sequence[str], first: str) -> str:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells)

    lines = [*(f"# {text}" for text in about), line(columns[0], "# name")]
    for name, row in zip(ranges, rows, strict=True):
        note = (notes or {}).get(name)
        lines.append(line(row, row[0]) + (f"  # {note}" if note else ""))
    return "\n".join(lines) + "\n"


def parse_table(source: SourceFile) -> Ranges:
    """Read a table.

    Raises:
        ZoocError: Z0468, one for each line that is malformed, has a value that is no finite number, whose
            minimum exceeds its maximum, whose threshold disagrees with them, or that names a tensor again.
    """
    ranges: Ranges = {}
    places: dict[str, Span] = {}
    problems: list[Diagnostic] = []
    for tokens in table_rows(source):
        try:
            name, limits = _entry(tokens)
            if name in places:
                label = Label(places[name], "first given here")
                raise _BadLine(f'"{name}" is given twice', tokens[0], "keep one of the lines", (label,))
        except _BadLine as refused:
            problems.append(
                error("Z0468", refused.message, refused.span, labels=refused.labels, hint=refused.hint)
            )
        else:
            ranges[name], places[name] = limits, tokens[0]
    if not ranges and not problems:
        problems.append(error("Z0468", f"{source.name} contains no ranges", hint=_HINT))
    if problems:
        raise ZoocError(*problems)
    return ranges


def table_places(source: SourceFile) -> dict[str, Span]:
    """Return where each tensor of a sound table is named."""
    return {_unquoted(tokens[0]): tokens[0] for tokens in table_rows(source)}


class _BadLine(Exception):
    def __init__(self, message: str, span: Span, hint: str, labels: tuple[Label, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.span, self.hint, self.labels = message, span, hint, labels


def _entry(tokens: list[Span]) -> tuple[str, tuple[float, float]]:
    name = _unquoted(tokens[0])
    if len(tokens) not in (2, 4):
        what = f"{len(tokens)} column{'s' * (len(tokens) > 1)}"
        raise _BadLine(f"a line of {what}", Span(tokens[0].source, tokens[0].start, tokens[-1].end), _HINT)
    threshold, *limits = [_number(token) for token in tokens[1:]]
    low, high = limits or (-threshold, threshold)
    if threshold < 0:
        raise _BadLine(
            f"the threshold {threshold:g} is negative", tokens[1], "a threshold is max(|min|, |max|)"
        )
    if low > high:
        place = Span(tokens[0].source, tokens[2].start, tokens[3].end)
        raise _BadLine(f"the minimum {low:g} exceeds the maximum {high:g}", place, "exchange the two")
    largest = max(abs(low), abs(high))
    if not math.isclose(threshold, largest, rel_tol=1e-3, abs_tol=1e-12):
        hint = f"zooc uses min and max; make the threshold {largest!r}, or min and max what you meant"
        raise _BadLine(f"the threshold {threshold:g} is not max(|min|, |max|) = {largest:g}", tokens[1], hint)
    return name, (min(low, 0.0) + 0.0, max(high, 0.0) + 0.0)


def _number(token: Span) -> float:
    try:
        value = float(token.text)
    except ValueError:
        raise _BadLine(f"{token.text!r} is no number", token, _HINT) from None
    if not math.isfinite(value) or abs(value) > 3.4e38:
        raise _BadLine(
            f"{token.text} is no value of a tensor", token, "a range is finite and fits into float32"
        )
    return value


def _unquoted(token: Span) -> str:
    try:
        return unquoted(token)
    except ValueError:
        raise _BadLine(f"{token.text} is no quoted name", token, "a quoted name is a JSON string") from None


_DEFAULT = "percentile(99.99)"
_PLAIN_METHODS = ("max", "kl_divergence", "mse", "auto")


def parse_method(text: str) -> CalibrationMethod:
    """Read a method as it is written in the language.

    Raises:
        ZoocError: Z0477, it is none.
    """
    if text in _PLAIN_METHODS:
        return CalibrationMethod(text)  # type: ignore[arg-type]
    match = re.fullmatch(r"percentile\(\s*(\d+(?:\.\d+)?)\s*\)", text)
    if match is not None and 0 < float(match[1]) <= 100:
        return CalibrationMethod("percentile", float(match[1]))
    hint = f"write one of {', '.join(_PLAIN_METHODS)}, or {_DEFAULT}; put it in quotes for the shell"
    name, methods = text.partition("(")[0].strip(), ("percentile", *_PLAIN_METHODS)
    if name not in methods:
        hint = did_you_mean(name, methods) or hint
    raise ZoocError(error("Z0477", f"{text!r} is not a range method", hint=hint))


def ranges_of(calibration: Calibration, path: Path, method: str | None) -> Ranges:
    """Return the ranges by a method; imported ones as they are.

    Raises:
        ZoocError: Z0477, no such method; Z0474, a method for imported ranges.
    """
    if calibration.ranges is not None and method is None:
        return calibration.ranges
    chosen, histograms = parse_method(_DEFAULT if method is None else method), calibration.measured(path)
    if not histograms.images:  # a shard of fewer images than shards
        return dict.fromkeys(histograms, (0.0, 0.0))
    return choose_ranges(histograms, chosen)


def describe(calibration: Calibration, method: str | None) -> list[str]:
    """Return facts for the head of a table; nothing that changes from run to run."""
    shards = ", ".join(map(str, calibration.shards))
    network = f"network {calibration.identity.network[:16]}"
    if calibration.histograms is None:
        return ["zooc calibration: imported ranges", network]
    part = "" if shards == "1/1" else f", shards {shards}"
    return [
        f"zooc calibration: {calibration.histograms.images} images{part}, "
        f"{len(calibration.skipped)} left out",
        f"{network}, method {_DEFAULT if method is None else method}",
    ]


def notes_of(calibration: Calibration) -> dict[str, str]:
    """Return each tensor's observed extremes."""
    if calibration.histograms is None:
        return {}
    histograms = calibration.histograms
    return {
        name: f"observed {histograms[name].low:.6g} to {histograms[name].high:.6g}"
        for name in histograms
        if histograms[name].seen
    }


def to_json(calibration: Calibration, path: Path, method: str | None) -> dict[str, Any]:
    """Return the same as plain data."""
    histograms = calibration.histograms
    rows = []
    for name, (low, high) in ranges_of(calibration, path, method).items():
        row: dict[str, Any] = {
            "name": name,
            "threshold": max(abs(low), abs(high)),
            "min": low,
            "max": high,
        }
        if histograms is not None and histograms[name].seen:
            histogram = histograms[name]
            row |= {"observed_min": histogram.low, "observed_max": histogram.high, "values": histogram.seen}
        rows.append(row)
    return {
        "file": str(path),
        "method": None if histograms is None else _DEFAULT if method is None else method,
        "images": None if histograms is None else histograms.images,
        "shards": [str(shard) for shard in calibration.shards],
        "skipped": calibration.skipped,
        "network": calibration.identity.network,
        "preprocess": calibration.identity.preprocess,
        "engine": calibration.identity.engine,
        "tensors": rows,
    }
