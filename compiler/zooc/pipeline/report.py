"""`zooc report`: the report of a compiled package, as a page, a model card or plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.package.report.model_card import model_card
from zooc.package.report.page import render_report
from zooc.package.report.read import StoredReport, read_report, sound
from zooc.package.report.view import with_analysis
from zooc.pipeline.analyze import AnalysisRequest, analyze_path
from zooc.support.cache import Cache
from zooc.support.progress import Progress

__all__ = ["EXISTS", "ReportRequest", "report_text", "stored_report"]

EXISTS = "Z0661"
"""The code for a file that `report` would replace."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What the command line asks for.

    Attributes:
        package: its folder.
        images: a folder or other source on which every layer is measured, `None` to measure nothing.
        count: how many images at most.
        alone: on how many of them each layer is run alone in integers.
    """

    package: Path
    images: str | None = None
    count: int = 32
    alone: int = 8


def stored_report(request: ReportRequest, cache: Cache, progress: Progress) -> StoredReport:
    """Return what the report is made of, measured layers included where `request` has images.

    Raises:
        ZoocError: Z0662, no package, or a damaged one; Z0663, there are no layers to measure; those of
            `analyze_path`.
    """
    stored = read_report(request.package)
    if request.images is None:
        return stored
    with sound():
        name, dtype = stored.manifest["name"], stored.manifest["quantization"]["dtype"]
    if dtype != "int8":
        hint = "leave out --analyze"
        raise ZoocError(
            error("Z0663", f"{name} computes in {dtype}: there is no layer to measure", hint=hint)
        )
    asked = AnalysisRequest(request.package, request.images, request.count, request.alone, "order")
    analysis = analyze_path(asked, cache, progress)
    with sound():
        return with_analysis(stored, analysis.to_json())


def report_text(stored: StoredReport, kind: str) -> str:
    """Return the page (`html`), the model card (`markdown`), or manifest and data as one object (`json`).

    Raises:
        ZoocError: Z0662, the stored data are not what a compile writes.
    """
    with sound():
        if kind == "json":
            document = {"manifest": stored.manifest, "report": stored.data, "missing": stored.missing}
            return json.dumps({"ok": True, **document}, indent=2, sort_keys=True) + "\n"
        return model_card(stored) if kind == "markdown" else render_report(stored)
