"""A package's manifest and report data, read from its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error
from zooc.package.report.data import REPORT_DATA, SCHEMA
from zooc_runtime.errors import PackageError
from zooc_runtime.package.manifest import Manifest, find_package

__all__ = ["StoredReport", "damaged", "read_report", "sound"]


@dataclass(frozen=True, slots=True)
class StoredReport:
    """What a report is made of.

    Attributes:
        manifest: `manifest.json`.
        data: `report.json`; `None` where there is none.
        missing: why there is none, `None` where there is.
    """

    manifest: dict[str, Any]
    data: dict[str, Any] | None
    missing: str | None = None


def read_report(folder: Path) -> StoredReport:
    """Read both, held to their hashes.

    Raises:
        ZoocError: Z0662, no package, or a changed one.
    """
    try:
        manifest = Manifest(find_package(folder))
    except PackageError as problem:
        raise ZoocError(damaged(str(problem))) from None
    entry = manifest.distribution_files.get(REPORT_DATA)
    if entry is None:
        zooc = manifest.data.get("zooc")
        missing = f"the package has no {REPORT_DATA}: it was compiled by zooc {zooc}, before there was one"
        return StoredReport(manifest.data, None, missing)
    place = manifest.build_folder
    if place is None or not (place / REPORT_DATA).is_file():
        missing = f"{REPORT_DATA} is not beside the package: it stays in the folder that zooc compile wrote"
        return StoredReport(manifest.data, None, missing)
    try:
        content = (place / REPORT_DATA).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ZoocError(damaged(f"{place / REPORT_DATA}: changed since it was compiled"))
        data = json.loads(content)
    except (OSError, ValueError, RecursionError) as problem:
        raise ZoocError(damaged(f"{place / REPORT_DATA}: cannot be read ({problem})")) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ZoocError(damaged(f"{place / REPORT_DATA}: not of schema {SCHEMA}, which this zooc reads"))
    return StoredReport(manifest.data, data)


def damaged(message: str) -> Diagnostic:
    """Return Z0662."""
    hint = "give the folder that `zooc compile` wrote; compile a damaged package again"
    return error("Z0662", message, hint=hint)


@contextmanager
def sound() -> Iterator[None]:
    """Turn what data of another form lead to into Z0662.

    Raises:
        ZoocError: Z0662.
    """
    try:
        yield
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        OverflowError,
        jinja2.TemplateError,
    ) as problem:
        what = f"{type(problem).__name__}: {problem}"
        raise ZoocError(damaged(f"the manifest or report.json is not what zooc writes ({what})")) from problem
