"""A calibration as a table for people and tools."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from zooc.calib_file import Calibration
from zooc.deployment import CalibrationMethod
from zooc.diagnostics import ZoocError, error
from zooc.frontend.suggest import did_you_mean
from zooc.quantize.ranges import Ranges, choose_ranges

__all__ = ["describe", "notes_of", "parse_method", "ranges_of", "to_json"]

_DEFAULT = "percentile(99.99)"
_PLAIN_METHODS = ("max", "kl_divergence", "mse", "auto")


def parse_method(text: str) -> CalibrationMethod:
    """Reads a method as it is written in the language.

    Raises:
        ZoocError: Z0477, it is none.
    """
    if text in _PLAIN_METHODS:
        return CalibrationMethod(text)  # type: ignore[arg-type]
    match = re.fullmatch(r"percentile\(\s*(\d+(?:\.\d+)?)\s*\)", text)
    if match is not None and 0 < float(match[1]) <= 100:
        return CalibrationMethod("percentile", float(match[1]))
    hint = f"write one of {', '.join(_PLAIN_METHODS)}, or {_DEFAULT}; quote the parentheses for the shell"
    name, methods = text.partition("(")[0].strip(), ("percentile", *_PLAIN_METHODS)
    if name not in methods:
        hint = did_you_mean(name, methods) or hint
    raise ZoocError(error("Z0477", f"{text!r} is no range method", hint=hint))


def ranges_of(calibration: Calibration, path: Path, method: str | None) -> Ranges:
    """The ranges by a method; imported ones as they are.

    Raises:
        ZoocError: Z0477, no such method; Z0474, a method for imported ranges.
    """
    if calibration.ranges is not None and method is None:
        return calibration.ranges
    chosen, sketches = parse_method(_DEFAULT if method is None else method), calibration.measured(path)
    if not sketches.images:  # a shard of fewer images than shards
        return dict.fromkeys(sketches, (0.0, 0.0))
    return choose_ranges(sketches, chosen)


def describe(calibration: Calibration, method: str | None) -> list[str]:
    """Facts for the head of a table; nothing that changes from run to run."""
    shards = ", ".join(map(str, calibration.shards))
    network = f"network {calibration.identity.network[:16]}"
    if calibration.sketches is None:
        return ["zooc calibration: imported ranges", network]
    part = "" if shards == "1/1" else f", shards {shards}"
    return [
        f"zooc calibration: {calibration.sketches.images} images{part}, {len(calibration.skipped)} left out",
        f"{network}, method {_DEFAULT if method is None else method}",
    ]


def notes_of(calibration: Calibration) -> dict[str, str]:
    """Each tensor's observed extremes."""
    if calibration.sketches is None:
        return {}
    sketches = calibration.sketches
    return {
        name: f"observed {sketches[name].low:.6g} to {sketches[name].high:.6g}"
        for name in sketches
        if sketches[name].seen
    }


def to_json(calibration: Calibration, path: Path, method: str | None) -> dict[str, Any]:
    """The same as plain data."""
    sketches = calibration.sketches
    rows = []
    for name, (low, high) in ranges_of(calibration, path, method).items():
        row: dict[str, Any] = {
            "name": name,
            "threshold": max(abs(low), abs(high)),
            "min": low,
            "max": high,
        }
        if sketches is not None and sketches[name].seen:
            sketch = sketches[name]
            row |= {"observed_min": sketch.low, "observed_max": sketch.high, "values": sketch.seen}
        rows.append(row)
    return {
        "file": str(path),
        "method": None if sketches is None else _DEFAULT if method is None else method,
        "images": None if sketches is None else sketches.images,
        "shards": [str(shard) for shard in calibration.shards],
        "skipped": calibration.skipped,
        "network": calibration.identity.network,
        "preprocess": calibration.identity.preprocess,
        "engine": calibration.identity.engine,
        "tensors": rows,
    }
