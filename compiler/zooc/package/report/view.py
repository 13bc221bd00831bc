"""A package as the pages show it: figures in words, charts, and what is not known said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from zooc.package.report.charts import Dot, bars, dots, hbar, scatter, strip
from zooc.package.report.read import StoredReport
from zooc.package.report.verdict import verdicts

__all__ = ["json_block", "package_view", "with_analysis"]

_DRAWN = 1200
"""Layers that are drawn; of more, those of whose values least is left, in network order."""

_ROWS = 1200
_POOR_DB = 20.0

_DEFAULTS: dict[str, Any] = dict.fromkeys(
    ("agreement", "poor", "search", "placement", "contract", "saturation")
)
"""What a manifest has of int8 only where it applies."""


def with_analysis(stored: StoredReport, analysis: Mapping[str, Any]) -> StoredReport:
    """Return the same with what `zooc analyze` measured of each layer.

    Args:
        stored: the report so far.
        analysis: what `Analysis.to_json` gives.
    """
    rows = {row["name"]: row for row in analysis["layers"]}
    known = stored.data["layers"] if stored.data is not None else list(map(_layer_of_row, rows.values()))
    layers = [dict(layer) for layer in known]
    for layer in layers:
        row = rows.get(layer["name"])
        if row is not None:
            found = {"result": row["sqnr_db"], "alone": row["logits_sqnr_db"]}
            layer |= {key: round(value, 1) for key, value in found.items() if value is not None}
    measured = {key: analysis[key] for key in ("reference", "images", "images_alone")}
    data = {**(stored.data or {}), "layers": layers, "analysis": measured}
    return StoredReport(stored.manifest, data, stored.missing)


def package_view(stored: StoredReport) -> dict[str, Any]:
    """Return what the templates in `templates/report` call `view`."""
    manifest, missing = stored.manifest, stored.missing
    data = None if missing else stored.data
    layers = stored.data["layers"] if stored.data is not None else []
    runs = _runs(layers)
    return {
        "manifest": manifest,
        "data": data,
        "quantization": _DEFAULTS | manifest["quantization"],
        "missing": missing and f"{missing[0].upper()}{missing[1:]}.",
        "verdicts": verdicts(manifest, data),
        "cards": list(_cards(manifest, data)),
        "postlude": " and ".join(dict.fromkeys(map(_activation, _heads(manifest)))),
        **_layer_charts(layers, stored.data or {}, manifest),
        "layers": layers[:_ROWS],
        "rows_left_out": max(len(layers) - _ROWS, 0),
        "runs": runs,
        "strip": strip([(run["dtype"], run["count"]) for run in runs]),
        "run_types": sorted({run["dtype"] for run in runs}, reverse=True),
        "islands": [run for run in runs if run["dtype"] == "float"][:200] if len(runs) > 1 else [],
        "stage_words": _stage_words(manifest, layers),
        "scatter": data
        and data["scatter"]
        and scatter(data["scatter"]["points"], "float", manifest["quantization"]["dtype"]),
        "front": _front(manifest),
        "search": _search(manifest),
        "times": _times(data),
        "reproduce": list(_reproduce(manifest, data)),
        "answer": "answer" if data and not all(head["one_class"] for head in data["heads"]) else "top-1",
    }


def json_block(value: Any) -> Markup:
    """Return JSON for a `<script type="application/json">`; nothing in it can end the element."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _layer_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A layer of a package without report data, as the analysis knows it."""
    layer = {"name": row["name"], "op": row["op"], "dtype": "int8" if row["int8"] else "float"}
    limits = {"low": row["low"], "high": row["high"]} if row["low"] is not None else {}
    return layer | limits | {"seen_low": row["observed_low"], "seen_high": row["observed_high"]}


def _cards(manifest: Mapping[str, Any], data: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    model, quantization = manifest["model"], manifest["quantization"]
    if data:
        size = f"model.onnx; the float body {data['model']['float_bytes'] / 1e6:.1f} MB"
        yield (
            f"{data['model']['bytes'] / 1e6:.1f} MB",
            size if quantization["dtype"] != "fp32" else "model.onnx",
        )
    elif (entry := manifest.get("files", {}).get("model.onnx")) is not None:
        yield f"{entry['bytes'] / 1e6:.1f} MB", "model.onnx"
    yield f"{model['parameters'] / 1e6:.2f} M", "parameters"
    yield f"{model['macs'] / 1e9:.2f} G", "multiply-accumulates an image"
    if data and quantization["dtype"] == "int8":
        products = [layer for layer in data["layers"] if layer["op"] in {"Conv", "Gemm", "MatMul"}]
        integers = sum(layer["dtype"] == "int8" for layer in products)
        yield f"{integers} of {len(products)}", "convolutions and matrix products in int8"
    if (agreement := quantization.get("agreement")) is not None:
        yield f"{agreement['sqnr_db']:.1f} dB", "logits against float (signal to quantization noise)"


def _layer_charts(
    layers: Sequence[Mapping[str, Any]], data: Mapping[str, Any], manifest: Mapping[str, Any]
) -> dict[str, Any]:
    drawn = [layer for layer in layers if {"db", "result", "alone"} & layer.keys()]
    left_out = max(len(drawn) - _DRAWN, 0)
    if left_out:
        order = sorted(range(len(drawn)), key=lambda i: (_least(drawn[i]), i))
        drawn = [drawn[i] for i in sorted(order[:_DRAWN])]
    analysis = data.get("analysis")
    images = analysis["images"] if analysis else 0
    kinds = (
        ("alone", "Sensitivity: what each layer alone leaves of the logits", _alone_words(drawn, analysis)),
        (
            "result",
            "Error of each result, earlier layers' errors included",
            f"Signal to noise on {images} images; fewer dB are worse, red is below {_POOR_DB:g}.",
        ),
        (
            "db",
            "Rounding: what each layer's own levels leave of its result",
            "Signal to noise, estimated from the calibration's histograms; fewer dB are worse, red is below "
            f"{_POOR_DB:g}.",
        ),
    )
    charts = [
        (title, words, bars([layer.get(key) for layer in drawn], _POOR_DB, title))
        for key, title, words in (kinds if analysis else reversed(kinds))
        if any(key in layer for layer in drawn)
    ]
    worst = min(range(len(drawn)), key=lambda i: (_least(drawn[i]), i), default=0)
    return {
        "charts": charts,
        "charted": len(drawn),
        "left_out": left_out,
        "worst": worst,
        "layer_json": json_block(drawn),
        "no_layers": _no_layers(layers, manifest),
    }


def _least(layer: Mapping[str, Any]) -> float:
    """What tells most of a layer: the logits with it alone, else its result, else its rounding."""
    return float(next((layer[key] for key in ("alone", "result", "db") if key in layer), 0.0))


def _alone_words(drawn: Sequence[Mapping[str, Any]], analysis: Mapping[str, Any] | None) -> str:
    if analysis:
        return (
            f"Measured on {analysis['images_alone']} images, every other layer in float; fewer dB are worse."
        )
    known = sum("alone" in layer for layer in drawn)
    return (
        f"Known of the {known} layers that the compile looked at; "
        "zooc report PKG --analyze --on FOLDER measures every layer."
    )


def _no_layers(layers: Sequence[Any], manifest: Mapping[str, Any]) -> str:
    dtype = manifest["quantization"]["dtype"]
    if dtype != "int8":
        return f"The network computes in {dtype}: no layer has a range."
    if layers:
        return "No histograms are known: the ranges were given and not measured."
    return "Nothing is known of single layers."


def _runs(layers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return stretches of layers that compute in one data type."""
    runs: list[dict[str, Any]] = []
    for layer in layers:
        if not runs or runs[-1]["dtype"] != layer["dtype"]:
            runs.append({"dtype": layer["dtype"], "first": layer["name"], "count": 0, "reasons": []})
        run = runs[-1]
        run["last"], run["count"] = layer["name"], run["count"] + 1
        if layer.get("note") and layer["note"] not in run["reasons"] and len(run["reasons"]) < 4:
            run["reasons"].append(layer["note"])
    return runs


def _stage_words(manifest: Mapping[str, Any], layers: Sequence[Any]) -> str:
    shape = "x".join("N" if size is None else str(size) for size in manifest["model"]["input"]["shape"])
    count = f", {len(layers)} layers" if layers else ""
    return f"{manifest['model']['input']['name']} {shape} to {manifest['stages']['body']['output']}{count}"


def _heads(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    ends = manifest["postprocess"]
    return list(ends["heads"]) if "heads" in ends else [ends]


def _activation(head: Mapping[str, Any]) -> str:
    words = {"softmax": "softmax", "sigmoid": "sigmoid", "l2_normalize": "embeddings of length 1"}
    return words.get(head["activation"], "none: logits")


def _front(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The steps in which a contract returned layers to float: accuracy against estimated time."""
    contract = manifest["quantization"].get("contract") or {}
    front = contract.get("front")
    if not front:
        return None
    times = [1.0, *(point["time"] for point in front)]
    kept = [100 * (1 - trial["drop"]) for trial in contract["trials"]]
    found = [
        Dot(time, share, str(place), best=place == len(front), joined=place > 0)
        for place, (time, share) in enumerate(zip(times, kept, strict=True))
    ]
    label = "answers kept, %"
    return {"chart": dots(found, "time over that of int8 (estimated)", label), "points": front}


def _search(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `calibrate auto` tried, in its order."""
    search = manifest["quantization"].get("search")
    if not search:
        return None
    key = "held_sqnr_db" if search["held_images"] else "search_sqnr_db"
    ordered = sorted(search["methods"].items(), key=lambda item: (item[1][key], item[0]))
    ends = not search["steps"]
    rows = [(name, values[key], ends and name == search["start"], False) for name, values in ordered]
    for place, step in enumerate(search["steps"]):
        name = f"then {step['candidate']} from {step['first']} to {step['last']}"
        rows.append((name, step[key], place == len(search["steps"]) - 1, place > 0))
    found = [Dot(i + 1, db, str(i + 1), best, joined) for i, (_, db, best, joined) in enumerate(rows)]
    return {
        "chart": dots(found, "candidate (see the table)", "dB of the logits"),
        "rows": [(i + 1, *row) for i, row in enumerate(rows)],
        "images": search["held_images"] or search["search_images"],
        "held": bool(search["held_images"]),
        "trials": search["trials"],
    }


def _times(data: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    rows = data["speed"]["comparisons"] if data and data["speed"] else []
    longest = max((max(row["ours_ms"], row["baseline_ms"]) for row in rows), default=0.0) or 1.0
    return [
        {
            **row,
            "ratio": row["baseline_ms"] / row["ours_ms"] if row["ours_ms"] else 0.0,
            "ours": hbar(row["ours_ms"] / longest),
            "theirs": hbar(row["baseline_ms"] / longest),
        }
        for row in rows
    ]


def _reproduce(manifest: Mapping[str, Any], data: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    """What someone else needs for the same bytes: names, and versions or hashes."""
    yield "zooc", str(manifest["zooc"])
    for tool, version in sorted(manifest["tools"].items()):
        yield tool, str(version)
    yield "sha256 of the description", manifest["source"]["sha256"]
    if manifest["model"]["weights_sha256"]:
        yield "sha256 of the weights", manifest["model"]["weights_sha256"]
    if (calibration := manifest.get("calibration")) is not None:
        named = calibration["sha256"] or calibration["names_and_sizes_sha256"]
        yield f"sha256 of the {calibration['images']} calibration images", named
    model = data["model"]["sha256"] if data else manifest.get("files", {}).get("model.onnx", {}).get("sha256")
    if model:
        yield "sha256 of model.onnx", model
