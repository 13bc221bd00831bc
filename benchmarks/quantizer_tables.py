"""The quantizer benchmark's results as Markdown, and what they say about zooc's promises."""

from __future__ import annotations

from statistics import median
from typing import Any

__all__ = ["render"]

_OURS = "zooc, all four methods"
_METHODS = "max", "kl_divergence", "mse"
_TOLERANCE_POINTS = 0.3
_MOST_MEGABYTES = 1200.0
_MOST_SEARCH = 3.0

_TIMED = """\
Timed is the way from the float32 ONNX file and the image files to the quantized model, imports left out:

- zooc: the pipeline's stages `analyze` to `quantize_network` (simplifying, folding the normalization, one
  pass over the images, percentile ranges, corrections where they are the default, the QDQ model), and then
  the ranges of the three other methods from the same histograms. The file was imported before (checked, and
  tried with several batch sizes), as it is from a network's second compile on; the last row includes that.
- NNCF: `openvino.Core().read_model`, `nncf.quantize` with its defaults and `subset_size` = the number of
  images; the model in memory.
- onnxruntime: `quantize_static` to QDQ, U8S8, per channel; its `quant_pre_process` is not counted.

Processor seconds count all threads. Peak memory is the process's highest resident size up to that point,
imports included, in units of 10^6 bytes.
"""

_EVALUATED = """\
Each network is calibrated on {count} training images, the same and in the same order for every tool, and
evaluated on the 1000 held-back ones. SQNR is that of the logits against the float network's, over all images.
QDQ models run in ONNX Runtime; NNCF's own run in OpenVINO (float32 where they are not integer), and NNCF's
ONNX back end gives one that runs in ONNX Runtime. onnxruntime's models are U8S8 per channel but for its
default.
"""


def render(results: dict[str, Any]) -> str:
    """The page as Markdown; `results` holds `calibration`, `accuracy`, or both."""
    parts = ["# The quantizer and its peers\n", "Written by `benchmarks/quantizer.py`.\n"]
    if verdicts := _verdicts(results):
        parts += ["## What was promised\n", "\n".join(verdicts) + "\n"]
    if calibration := results.get("calibration"):
        parts += ["## Calibration: resnest50d at 224 x 224\n", _TIMED]
        parts.append(
            f"Medians of {calibration['rounds']} rounds, one for more images than the first number.\n"
        )
        parts += [_about(calibration), *_calibration(calibration["rows"])]
    if accuracy := results.get("accuracy"):
        parts += ["## Accuracy: three trained networks\n", _EVALUATED.format(count=accuracy["calibrate_on"])]
        parts.append(_about(accuracy))
        parts += [table for name, rows in accuracy["networks"].items() for table in _accuracy(name, rows)]
    return "\n".join(parts)


def _about(section: dict[str, Any]) -> str:
    facts = {"date": section["date"], "hash of zooc's sources": section["sources"], **section["machine"]}
    if section["sources"] != section["sources_after"]:
        facts["**mixed**"] = f"the sources changed during the run, to {section['sources_after']}"
    return "\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n"


def _calibration(rows: list[dict[str, Any]]) -> list[str]:
    parts = []
    for count in dict.fromkeys(row["images"] for row in rows):
        chosen = [row for row in rows if row["images"] == count]
        ours = _medians(next((r for r in chosen if r["label"] == _OURS), None))
        lines = [
            f"### {count} images\n",
            "| | seconds | of all rounds | processor seconds | peak MB | seconds / zooc's |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for row in chosen:
            found = _medians(row)
            if found is None:
                lines.append(f"| {row['label']} | {_reason(row['runs'][-1])} | | | | |")
                continue
            seconds = [run["seconds"] for run in row["runs"]]
            ratio = "" if ours is None else f"{found['seconds'] / ours['seconds']:.2f}"
            lines.append(
                f"| {row['label']} | {found['seconds']:.1f} | {min(seconds):.1f} to {max(seconds):.1f} "
                f"| {found['cpu_seconds']:.1f} | {found['peak_mb']:.0f} | {ratio} |"
            )
        parts.append("\n".join(lines) + "\n")
        if stages := [
            r["stages"] for row in chosen if row["label"] == _OURS for r in row["runs"] if "stages" in r
        ]:
            each = ", ".join(f"{name} {median(s[name] for s in stages):.2f}" for name in stages[0])
            parts.append(f"zooc's stages, seconds: {each}.\n")
    return parts


def _medians(row: dict[str, Any] | None) -> dict[str, float] | None:
    """Medians of a row's rounds, `None` unless each came to its end."""
    if row is None or any("seconds" not in run for run in row["runs"]):
        return None
    return {key: median(r[key] for r in row["runs"]) for key in ("seconds", "cpu_seconds", "peak_mb")}


def _reason(row: dict[str, Any]) -> str:
    return str(next(row[k] for k in ("missing", "refused", "failed", "stopped") if k in row))


def _accuracy(name: str, rows: list[dict[str, Any]]) -> list[str]:
    exact = rows[0]
    lines = [
        f"### digits_{name}.onnx\n",
        "| | engine | top-1 % | against float | same class as float % | SQNR dB |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        if "top1" not in row:
            lines.append(f"| {row['label']} | {_reason(row)} | | | | |")
            continue
        points = f"{100 * (row['top1'] - exact['top1']):+.1f}" if row is not exact else ""
        sqnr = f"{row['sqnr_db']:.2f}" if "sqnr_db" in row else ""
        lines.append(
            f"| {row['label']} | {row['engine']} | {100 * row['top1']:.1f} | {points} "
            f"| {100 * row['agreement']:.1f} | {sqnr} |"
        )
    return ["\n".join(lines) + "\n"]


def _verdicts(results: dict[str, Any]) -> list[str]:
    lines = _calibration_verdicts(results.get("calibration", {}).get("rows", []))
    for name, rows in results.get("accuracy", {}).get("networks", {}).items():
        lines += _accuracy_verdicts(name, rows)
    return lines


def _line(holds: bool, text: str) -> str:
    return f"- {'holds' if holds else '**does not hold**'}: {text}"


def _calibration_verdicts(rows: list[dict[str, Any]]) -> list[str]:
    found = {(row["label"], row["images"]): _medians(row) for row in rows}
    counts = list(dict.fromkeys(row["images"] for row in rows))
    ours = found.get((_OURS, counts[0])) if counts else None
    if ours is None:
        return []
    lines = []
    for label, limit in (("NNCF default", 1.0), ("onnxruntime Percentile", 0.2)):
        if theirs := found.get((label, counts[0])):
            ratio = ours["seconds"] / theirs["seconds"]
            alone = _calibration_alone(rows, counts[0]) / theirs["seconds"]
            text = (
                f"from file to int8 with {counts[0]} images in {ratio:.2f} of the time of {label} (at most "
                f"{limit:g}); the pass over the images and the ranges of all methods alone in {alone:.2f}"
            )
            lines.append(_line(ratio <= limit, text))
    searched, nncf = (found.get((label, counts[0])) for label in ("zooc auto", "NNCF default"))
    if searched and nncf:
        ratio = searched["seconds"] / nncf["seconds"]
        text = f"with `calibrate auto` in {ratio:.2f} of the time of NNCF default (at most {_MOST_SEARCH:g})"
        lines.append(_line(ratio <= _MOST_SEARCH, text))
    peak = ours["peak_mb"]
    lines.append(_line(peak <= _MOST_MEGABYTES, f"peak memory {peak:.0f} MB (at most {_MOST_MEGABYTES:.0f})"))
    for count in counts[1:]:
        if more := found.get((_OURS, count)):
            growth = more["peak_mb"] / peak - 1
            lines.append(_line(abs(growth) <= 0.1, f"{growth:+.1%} of it for {count} images (within 10 %)"))
    return lines


def _calibration_alone(rows: list[dict[str, Any]], count: int) -> float:
    """Seconds of `calibrate_ranges` and of the other methods' ranges."""
    runs = next(row["runs"] for row in rows if row["label"] == _OURS and row["images"] == count)
    return median(run["stages"]["calibrate_ranges"] + sum(run["stages"][m] for m in _METHODS) for run in runs)


def _accuracy_verdicts(name: str, rows: list[dict[str, Any]]) -> list[str]:
    measured = {row["label"]: row for row in rows if "top1" in row}
    exact, lines = measured.get("float32"), []
    peers = [row for label, row in measured.items() if label.startswith(("onnxruntime", "NNCF"))]
    for method in ("auto", "auto(effort=high)"):
        row = measured.get(f"zooc {method}")
        if exact is None or row is None:
            continue
        points = 100 * (row["top1"] - exact["top1"])
        text = f"{name}, {method}: top-1 {points:+.1f} points against float (at most 0.3 away)"
        lines.append(_line(abs(points) <= _TOLERANCE_POINTS + 1e-9, text))
        if peers:
            best = max(peers, key=lambda peer: peer["sqnr_db"])
            text = f"SQNR {row['sqnr_db']:.2f} dB (best peer: {best['label']}, {best['sqnr_db']:.2f} dB)"
            lines.append(_line(row["sqnr_db"] >= best["sqnr_db"], f"{name}, {method}: {text}"))
    return lines
