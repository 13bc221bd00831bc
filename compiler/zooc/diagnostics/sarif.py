"""SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"): findings for code scanning.

A code is a rule, with its page as the help; a finding is a result, and its labels are related locations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from zooc import __version__
from zooc.diagnostics.diagnostic import Diagnostic, Span
from zooc.diagnostics.pages import explain

__all__ = ["SCHEMA", "to_sarif"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(findings: Sequence[Diagnostic], files: Sequence[Path]) -> dict[str, Any]:
    """Return one SARIF log with one run.

    Args:
        findings: what was found; a place that is in none of `files` (a `--set`) is left out.
        files: the files that were checked, which are the run's artifacts.
    """
    codes = sorted({finding.code for finding in findings})
    names = {str(file) for file in files}
    driver = {"name": "zooc", "version": __version__, "rules": [_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": {"uri": _uri(str(file))}} for file in files],
        "results": [_result(finding, codes.index(finding.code), names) for finding in findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    page = explain(code) or f"# {code}: no page\n"
    title, _, text = page.partition("\n")
    return {
        "id": code,
        "shortDescription": {"text": re.sub(r"^# Z\d{4}: ", "", title)},
        "help": {"text": text.strip(), "markdown": text.strip()},
    }


def _result(finding: Diagnostic, index: int, names: set[str]) -> dict[str, Any]:
    notes = [f"note: {note}" for note in finding.notes]
    notes += [] if finding.hint is None else [f"hint: {finding.hint}"]
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": "\n".join([finding.message, *notes])},
    }
    if finding.span is not None and finding.span.source.name in names:
        result["locations"] = [_location(finding.span)]
    related = [
        {"id": i, **_location(label.span), "message": {"text": label.message}}
        for i, label in enumerate(finding.labels, 1)
        if label.span.source.name in names
    ]
    return {**result, "relatedLocations": related} if related else result


def _location(span: Span) -> dict[str, Any]:
    (line, column), (end_line, end_column) = span.position(), span.end_position()
    region = {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(span.source.name)}, "region": region}}


def _uri(name: str) -> str:
    path = Path(name)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
