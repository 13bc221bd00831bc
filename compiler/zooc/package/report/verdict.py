"""The head of a report: how accurate, how fast and how exact, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Verdict", "verdicts"]

_AS_FAST = 0.95
"""Float's time over the package's, from which on the difference may be the machine's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement.

    Attributes:
        about: what is judged.
        state: `good`, `bad`, or `open` where it was not measured.
        headline: the judgement in a word or a figure.
        text: what was found.
        remedy: what to do about it, empty where there is nothing to do.
        command: how, as it is typed.
        details: more about what was found, a line each.
    """

    about: str
    state: Literal["good", "bad", "open"]
    headline: str
    text: str
    remedy: str = ""
    details: tuple[str, ...] = ()
    command: str = ""


def verdicts(manifest: Mapping[str, Any], data: Mapping[str, Any] | None) -> tuple[Verdict, Verdict, Verdict]:
    """Return accuracy, speed and exactness of a package.

    Args:
        manifest: `manifest.json`.
        data: `report.json`, `None` of a package without it.
    """
    return _accuracy(manifest, data), _speed(manifest, data), _exactness(manifest, data)


def _accuracy(manifest: Mapping[str, Any], data: Mapping[str, Any] | None) -> Verdict:
    about, quantization = "Accuracy", manifest["quantization"]
    dtype, poor, agreement = (quantization.get(key) for key in ("dtype", "poor", "agreement"))
    if dtype == "fp32":
        return Verdict(about, "good", "float32", "The network computes in float32, as it was given.")
    measure = f"python -m {manifest['name']} eval FOLDER"
    if poor:
        layers = tuple(
            f"{one['name']} alone leaves {one['sqnr_db']:.1f} dB of the logits." for one in poor["layers"]
        )
        text = f"Int8 is poor: {' and '.join(poor['reasons'])}."
        remedy = "Try " + ", or ".join(str(remedy).replace("`", "") for remedy in poor["remedies"]) + "."
        return Verdict(about, "bad", "poor", text, remedy, layers)
    contract = quantization.get("contract")
    held = data and data["words"].get("contract")
    if contract and contract.get("holds"):
        lost = f"{100 * contract['drop']:.2f} % lost"
        text = held or f"The accuracy contract is held on {contract['images']} images"
        return Verdict(about, "good", lost, f"{text[0].upper()}{text[1:]}.")
    if agreement is None:
        text = f"{dtype} was not compared with float: no images were at hand."
        return Verdict(about, "open", "not measured", text, "Measure it on labelled images:", (), measure)
    top1, db, images = agreement["top1_agreement"], agreement["sqnr_db"], agreement["images"]
    headline = f"{db:.1f} dB" if top1 is None else f"{100 * top1:.1f} % as float"
    text = (
        f"{dtype} keeps {db:.1f} dB of float's logits on {images} calibration images."
        if top1 is None
        else f"{dtype} says the same as float on {100 * top1:.1f} % of {images} calibration images; "
        f"its logits have {db:.1f} dB."
    )
    return Verdict(about, "good", headline, text, "Accuracy on labelled images:", (), measure)


def _speed(manifest: Mapping[str, Any], data: Mapping[str, Any] | None) -> Verdict:
    about, name = "Speed", manifest["name"]
    required = list(data["words"]["speed"]) if data else []
    rows = data["speed"]["comparisons"] if data and data["speed"] else []
    if rows:
        network, text = rows[0], "; ".join(_row(row) for row in rows) + "."
        ratio = network["baseline_ms"] / network["ours_ms"] if network["ours_ms"] else 1.0
        if manifest["quantization"]["dtype"] == "fp32":
            return Verdict(about, "good", f"{network['ours_ms']:.2f} ms", text, "", tuple(required))
        if ratio >= _AS_FAST:
            return Verdict(about, "good", f"{ratio:.2f} x float32", text, "", tuple(required))
        remedy = "Layers that are faster in float can be found by measuring:"
        tune = shlex.join(["zooc", "tune", str(manifest["source"]["file"])])
        return Verdict(about, "bad", f"{ratio:.2f} x float32", text, remedy, tuple(required), tune)
    if required:
        return Verdict(about, "good", "as required", f"{'; '.join(required)}.")
    text = "Timings would make the report differ from compile to compile, so there are none."
    remedy = "Compile with --measure, or measure the package:"
    return Verdict(about, "open", "not timed", text, remedy, (), f"python -m {name} bench")


def _row(row: Mapping[str, Any]) -> str:
    return f"{row['what']} {row['ours_ms']:.2f} ms, {row['baseline']} {row['baseline_ms']:.2f} ms"


def _exactness(manifest: Mapping[str, Any], data: Mapping[str, Any] | None) -> Verdict:
    about, preprocess = "Exactness", manifest["preprocess"]
    risk = manifest["quantization"].get("saturation", {}).get("at_risk", {})
    where = "On CPUs with neither VNNI nor ARM's dot products"
    details = (f"{where} {len(risk)} layers could saturate: target cpu(any) prevents it.",) if risk else ()
    if preprocess is None:
        return Verdict(
            about, "open", "tensors", "The package takes normalized tensors; preprocessing is the caller's."
        )
    pillow = f"Pillow {preprocess['pillow']}"
    if not data:
        return Verdict(about, "good", "checked", f"Pixels were compared with {pillow}.", "", details)
    images = data["images_compared"]
    text = f"Every pixel is equal to {pillow}'s on {images} images from 33 to 1920 pixels a side."
    if data["words"]["decoding"]:
        details = (f"{data['words']['decoding']}.", *details)
    return Verdict(about, "good", "0 pixels differ", text, "", details)
