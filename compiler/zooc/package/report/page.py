"""`report.html` and the page of `zooc compare`: one file each, complete in itself, viewed without a network.

The style sheet and the script stand in the page. Its policy names their hashes and allows nothing else, so
that a string that got through as markup would still not run.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from zooc.package.page import render_page
from zooc.package.report.charts import scatter
from zooc.package.report.read import StoredReport
from zooc.package.report.view import package_view
from zooc.resources import resource

__all__ = ["compile_command", "render_comparison", "render_report"]


def render_report(stored: StoredReport) -> str:
    """Return the page of a package; equal data give equal bytes."""
    manifest = stored.manifest
    facts = {
        "title": f"{manifest['name']} {manifest['version']} · zooc report",
        "view": package_view(stored),
        "command": compile_command(manifest),
        **_inline(),
    }
    return render_page("report/report.html.j2", facts)


def render_comparison(
    found: Mapping[str, Any],
    parted: Sequence[Mapping[str, Any]],
    pairs: Sequence[Sequence[Any]],
    points: Mapping[str, Any],
    packages: Sequence[StoredReport],
) -> str:
    """Return `zooc compare`'s page: what both answered, then their reports side by side.

    Args:
        found: what `zooc compare --format json` gives.
        parted: images on which the packages part.
        pairs: what they say instead of each other most often, and how often.
        points: pairs of logits, of `scatter_points`.
        packages: the reports of both.
    """
    first, second = found["packages"]
    facts = {
        "title": f"{first} and {second} · zooc compare",
        "found": found,
        "first": first,
        "second": second,
        "parted": parted,
        "pairs": pairs,
        "points": points,
        "scatter": scatter(points["points"], "the first's logits", "the second's logits"),
        "differ": found["differ"],
        "views": [package_view(package) for package in packages],
        **_inline(),
    }
    return render_page("report/compare.html.j2", facts)


def compile_command(manifest: Mapping[str, Any]) -> str:
    """Return the command that compiles the package again."""
    source = manifest["source"]
    words = ["zooc", "compile", source["file"]]
    words += ["--variant", source["variant"]] if source["variant"] else []
    words += [word for override in source["overrides"] for word in ("--set", override)]
    return shlex.join(map(str, words))


def _inline() -> dict[str, Any]:
    style, script = (resource(f"templates/report/report.{end}").read_text("utf-8") for end in ("css", "js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    # Both are files of ours, and hold no end tag.
    return {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
