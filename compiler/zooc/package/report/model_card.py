"""The report as a model card: Markdown with the front matter that Hugging Face reads and GitHub shows.

The front matter's keys are those of https://huggingface.co/docs/hub/model-cards; what a package does not know
(licence, data sets, languages) is not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zooc.package.report.page import compile_command
from zooc.package.report.read import StoredReport
from zooc.package.report.view import package_view
from zooc.package.templates import markdown_text

__all__ = ["model_card"]

_STATES = {"good": "good", "bad": "**poor**", "open": "not measured"}
_NOISIEST = 10


def model_card(stored: StoredReport) -> str:
    """Return the card; whatever the user wrote is escaped or in a code block that it cannot end."""
    view, manifest = package_view(stored), stored.manifest
    lines = [*_front_matter(manifest), f"# {_text(manifest['name'])} {_text(manifest['version'])}", ""]
    origin = manifest["model"]["source"], manifest["model"]["weights"], manifest["quantization"]["dtype"]
    lines += [
        f"{_text(origin[0])}, weights {_text(origin[1])}, compiled to {origin[2]} "
        f"by zooc {_text(manifest['zooc'])}.",
        "",
    ]
    if view["missing"]:
        lines += [f"> {_text(view['missing'])} Compile the package again to have layers and logits here.", ""]
    judged = [
        (
            one.about,
            _STATES[one.state],
            one.headline,
            " ".join(filter(None, (one.text, *one.details, one.remedy, one.command))),
        )
        for one in view["verdicts"]
    ]
    lines += ["## Verdict", "", *_table(("", "State", "Figure", "What was found"), judged, plain=1)]
    lines += ["## Figures", "", *_table(("Figure", "Of what"), view["cards"])]
    if (agreement := manifest["quantization"].get("agreement")) is not None:
        lines += ["## Against float", "", *_table(("Measure", "Value"), _agreement(agreement))]
    pairs = view["data"]["pairs"] if view["data"] else []
    if pairs:
        lines += ["### Answers that part", "", *_table(("Float says", "Int8 says", "Images"), pairs)]
    if view["layers"]:
        lines += _layers(view["layers"])
    lines += ["## How to reproduce it", "", *_code(compile_command(manifest), "console")]
    lines += _table(("What", "Version or sha256"), view["reproduce"])
    lines += ["The description:", "", *_code(manifest["source"]["text"])]
    return "\n".join(lines).rstrip() + "\n"


def _front_matter(manifest: Mapping[str, Any]) -> list[str]:
    """YAML of which every string is written as JSON, which YAML 1.2 contains."""
    ends = manifest["postprocess"]
    heads = ends.get("heads", [ends])
    embeds = all(head["activation"] == "l2_normalize" for head in heads)
    task = "image-feature-extraction" if embeds else "image-classification"
    tags = ["zooc", "onnx", str(manifest["quantization"]["dtype"])]
    return [
        "---",
        "library_name: onnx",
        f"pipeline_tag: {task}",
        "tags:",
        *(f"- {json.dumps(tag)}" for tag in tags),
        f"model_name: {json.dumps(str(manifest['name']))}",
        "---",
        "",
    ]


def _agreement(agreement: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "Calibration images", str(agreement["images"])
    yield "Logits", f"{agreement['sqnr_db']:.2f} dB, cosine {agreement['cosine']:.5f}"
    if agreement["top1_agreement"] is not None:
        yield "Same answer as float", f"{100 * agreement['top1_agreement']:.2f} %"
    if (divergence := agreement["kl_divergence"]) is not None:
        yield "KL divergence", f"{divergence['mean']:.4f} nats, {divergence['worst']:.3f} at worst"


def _layers(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """The layers whose own levels leave least of their result."""
    known = sorted((layer for layer in layers if "db" in layer), key=lambda layer: layer["db"])[:_NOISIEST]
    if not known:
        return []
    rows = [
        (layer["name"], layer["op"], f"{layer['low']:.4g} to {layer['high']:.4g}", f"{layer['db']} dB")
        for layer in known
    ]
    title = "### The layers that rounding leaves least of"
    return [title, "", *_table(("Layer", "Operator", "Range", "Result"), rows)]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], plain: int | None = None) -> list[str]:
    """A table; the column `plain` is our own Markdown, the others are text."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        cells = [str(cell) if place == plain else _text(cell) for place, cell in enumerate(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _code(text: str, language: str = "") -> list[str]:
    """A code block whose fence is longer than any in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return [f"{fence}{language}", text.rstrip("\n"), fence, ""]


def _text(value: Any) -> str:
    return markdown_text(str(value))
