"""`eval --at-least NAME=VALUE` and `--junit FILE`: an evaluation as something that can fail."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import PackageError
from ..support.files import replacing
from ..support.junit import Case, junit

__all__ = ["check_report", "hold_limits", "read_limits"]


def read_limits(given: Sequence[str]) -> dict[str, float]:
    """Return the limits of `--at-least`, in percent, by the rate's name; a later one replaces an earlier.

    Raises:
        PackageError: not of the form NAME=VALUE, or no percentage.
    """
    limits: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not 0 <= value <= 100:
            raise PackageError(
                f"--at-least {text}: NAME=VALUE is expected, with a percentage, as top1_rate=75.5"
            )
        limits[name] = value
    return limits


def check_report(report: Path | None) -> None:
    """Check, before the work, that the report replaces no file but XML.

    Raises:
        PackageError: there is a folder or a file that is not XML, or it cannot be read.
    """
    if report is None:
        return
    try:
        if report.is_dir():
            raise PackageError(f"--junit {report}: it is a folder; name a file")
        if report.is_file():
            with report.open("rb") as file:
                if file.read(5) not in (b"", b"<?xml"):
                    raise PackageError(
                        f"--junit {report}: this file is not XML and is never replaced; name another"
                    )
    except OSError as error:
        raise PackageError(f"--junit {report}: {error.strerror}; name another file") from None


def hold_limits(document: Mapping[str, Any], limits: Mapping[str, float], report: Path | None) -> list[str]:
    """Hold an evaluation to its limits and return a line for each that it misses.

    Args:
        document: the evaluation, as `to_json` gives it; its top-level floats are the rates.
        limits: of `read_limits`.
        report: where to write JUnit's XML: a test a rate, and each skipped image as a skipped test.

    Raises:
        PackageError: a limit on a rate that there is not, or the report cannot be written.
    """
    check_report(report)
    rates = {name: value for name, value in document.items() if isinstance(value, float)}
    for name in limits:
        if name not in rates:
            near = difflib.get_close_matches(name, rates, 1)
            advice = f"did you mean {near[0]}?" if near else f"the rates are {', '.join(rates)}"
            raise PackageError(f"--at-least {name}: there is no such rate; {advice}")
    missed = {
        name: f"{name} is {rates[name]:.3f}, below the {limit:g} of --at-least"
        for name, limit in limits.items()
        if rates[name] < limit
    }
    if report is not None:
        cases = [Case(name, missed.get(name), output=f"{value:.6g}") for name, value in rates.items()]
        cases += [Case(complaint, skipped=complaint) for complaint in document["skipped"]]
        with replacing(report) as file:
            file.write(junit("eval", cases))
    return list(missed.values())
