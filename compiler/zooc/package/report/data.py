"""`report.json`: what the report shows beside the manifest, as plain data.

It stands beside the import package: an installed package carries nothing that inference does not need.
Everything that grows with the network, its classes or the images is bounded.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from zooc.package.page import data_uri, picture_uri, swaps_channels
from zooc.package.report.layers import known_alone, layer_entries
from zooc.verification.divergence import said
from zooc_runtime.package.heads import decisions_of

if TYPE_CHECKING:
    from zooc.calibration.images import CalibrationImages
    from zooc.compilation import Compilation, Verified
    from zooc.deployment import Normalize
    from zooc.verification.divergence import BodyComparison, Parted
    from zooc_runtime.package.heads import Head
    from zooc_runtime.preprocessing.steps import Step

__all__ = ["REPORT_DATA", "SCHEMA", "pairs_that_part", "report_bytes", "report_data", "scatter_points"]

REPORT_DATA = "report.json"
SCHEMA = 1
_POINTS = 1200
_PAIRS = 10
_LISTED = 200
"""Images left out, and patterns that stayed, that are listed; their number is given too."""


def report_bytes(data: dict[str, Any]) -> bytes:
    """Return the file's bytes: equal data give equal bytes."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"{text}\n".encode("ascii")


def report_data(c: Compilation, verified: Verified) -> dict[str, Any]:
    """Return the data of a compile: lists, dictionaries, strings and numbers."""
    preprocess, comparison, int8 = c.deployment.preprocess, verified.comparison, c.int8
    histograms = int8.calibrated.histograms if int8 else None
    layers = c.quantized.layers if c.quantized else ()
    skipped = dict(sorted(c.images.skipped.items())) if c.images else {}
    refusals = [
        [rule.replace("_", " "), node, reason]
        for rule, found in (int8.legalized.refusals if int8 else {}).items()
        for node, reason in found.items()
    ]
    return {
        "schema": SCHEMA,
        "model": {
            "bytes": len(c.model),
            "sha256": hashlib.sha256(c.model).hexdigest(),
            "float_bytes": c.program.body.ByteSize(),
        },
        "heads": [_head(head) for head in c.program.heads],
        "steps": [describe_step(step) for step in preprocess.steps] if preprocess else [],
        "normalize": describe_normalize(preprocess.normalize) if preprocess else None,
        "folded": c.program.folded
        and {
            "folded": c.program.folded.folded,
            "mask_channel": c.program.folded.mask_channel,
            "reason": c.program.folded.reason,
        },
        "words": _words(c, verified),
        "images_compared": verified.images_compared,
        "layers": layer_entries(layers, histograms, known_alone(c.contract, verified.poor)),
        "float_kinds": [
            {"op": kind.op, "count": kind.count, "reason": kind.reason}
            for kind in (c.quantized.float_kinds() if c.quantized else [])
        ],
        "float_nodes": [
            {"name": one.name, "op": one.op, "reason": one.reason} for one in verified.float_layers[:_LISTED]
        ],
        "refusals": {"count": len(refusals), "first": refusals[:_LISTED]},
        "skipped": {"count": len(skipped), "first": dict(list(skipped.items())[:_LISTED])},
        "parted": [_thumbnail(one, c) for one in comparison.parted] if comparison else [],
        "pairs": _pairs(c.program.heads, comparison),
        "scatter": comparison and scatter_points(comparison.expected, comparison.got),
        "picture": _picture(c),
        "speed": verified.speed
        and {
            "machine": verified.speed.machine,
            "comparisons": [
                {
                    "what": row.what,
                    "baseline": row.baseline,
                    "baseline_ms": float(f"{row.baseline_ms:.4g}"),
                    "ours_ms": float(f"{row.ours_ms:.4g}"),
                }
                for row in verified.speed.comparisons
            ],
        },
    }


def scatter_points(expected: npt.NDArray[Any], got: npt.NDArray[Any]) -> dict[str, Any]:
    """Return pairs of logits for a chart: those that are furthest apart, and an even draw of the others.

    Args:
        expected, got: float `[images, scores]`.

    Returns:
        `points`, at most 1,200 pairs, and `of` how many they are.
    """
    first, second = expected.reshape(-1), got.reshape(-1)
    apart, count = np.abs(second - first), min(_POINTS // 4, first.size)
    worst = np.argpartition(apart, first.size - count)[first.size - count :]
    step = -(-first.size // (_POINTS - count))
    chosen = np.union1d(worst, np.arange(0, first.size, step))
    points = [
        [float(f"{a:.4g}"), float(f"{b:.4g}")] for a, b in zip(first[chosen], second[chosen], strict=True)
    ]
    return {"points": points, "of": len(first)}


def pairs_that_part(counts: Counter[tuple[str, str]]) -> list[list[Any]]:
    """Return what two networks say instead of each other most often: `[first, second, images]`."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [[first, second, count] for (first, second), count in ordered[:_PAIRS]]


def _pairs(heads: tuple[Head, ...], comparison: BodyComparison | None) -> list[list[Any]]:
    if comparison is None or not comparison.parted_count:
        return []
    decided = [decisions_of(heads, logits) for logits in (comparison.expected, comparison.got)]
    apart = np.flatnonzero((decided[0] != decided[1]).any(axis=1))
    return pairs_that_part(
        Counter((said(heads, comparison.expected[i]), said(heads, comparison.got[i])) for i in apart)
    )


def _words(c: Compilation, verified: Verified) -> dict[str, Any]:
    """What the results say of themselves."""
    int8, kept = c.int8, c.quantized.kept if c.quantized else None
    search = int8.calibrated.search if int8 else None
    placement = int8.placement if int8 else None
    return {
        "decoding": verified.decoding and verified.decoding.in_words(),
        "kept": kept and kept.in_words(),
        "search": search and search.in_words(),
        "placement": placement and placement.in_words(),
        "contract": c.contract and c.contract.in_words(),
        "speed": c.speed.in_words(figures=verified.speed is not None) if c.speed else [],
    }


def _head(head: Head) -> dict[str, Any]:
    return {
        "name": head.name,
        "classes": head.classes,
        "activation": head.activation,
        "threshold": head.threshold,
        "labels": bool(head.labels),
        "one_class": not head.multi_label and not head.embeds,
    }


def _thumbnail(one: Parted, c: Compilation) -> dict[str, Any]:
    """What the page shows of an image on which int8 parts from float."""
    names = _usable_names(c.images)
    return {
        "name": names[one.place] if one.place < len(names) else f"image {one.place + 1}",
        "image": data_uri(one.pixels, bgr=_bgr(c)),
        "expected": one.expected,
        "got": one.got,
        "divergence": round(one.divergence, 5),
    }


def _usable_names(images: CalibrationImages | None) -> list[str]:
    if images is None:
        return []
    return [name for path in images.paths if (name := images.name(path)) not in images.skipped]


def _bgr(c: Compilation) -> bool:
    return c.deployment.preprocess is not None and swaps_channels(c.deployment.preprocess.steps)


def _picture(c: Compilation) -> dict[str, Any]:
    """The first calibration image as given and as the network sees it, or why there is none."""
    from zooc.calibration.images import pixel_batches

    prelude, images = c.program.prelude, c.images
    if prelude is None:
        return {"missing": "the package takes normalized tensors, not images"}
    if images is None:
        return {"missing": "no calibration image was at hand"}
    (path,) = images.sample(1).paths
    few = images.sample(1)
    given = few.usable(path)
    if given is None:
        return {"missing": "the first calibration image cannot be read any more"}
    seen = next(iter(pixel_batches(prelude, few, 1)))[0]
    shown = picture_uri(given.transpose(2, 0, 1)), picture_uri(seen, bgr=_bgr(c))
    if None in shown:
        return {"missing": f"images of {given.shape[-1]} channels are no pictures"}
    return {
        "name": images.name(path),
        "given": shown[0],
        "given_size": [given.shape[1], given.shape[0]],
        "seen": shown[1],
        "seen_size": [seen.shape[2], seen.shape[1]],
    }


def describe_step(step: Step) -> str:
    """Return a step as the language writes it."""
    fields = {name: getattr(step, name) for name in step.__dataclass_fields__ if name != "span"}
    return f"{type(step).__name__}({', '.join(f'{name}={value}' for name, value in fields.items())})"


def describe_normalize(normalize: Normalize) -> str:
    """Return the normalization as a formula."""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (normalize.mean, normalize.std))
    return f"(pixel / {normalize.divisor:g} - [{mean}]) / [{std}]"
