"""The finer statements of the `quantize` block: weights, activations, corrections, target, vamc's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zooc.deployment import CalibrationMethod, Quantize
from zooc.diagnostics import Label, error
from zooc.frontend import ast
from zooc.frontend.outline import Field
from zooc.frontend.reading import Reader
from zooc.frontend.suggest import did_you_mean, either
from zooc.frontend.vocabulary import (
    ACTIVATIONS,
    CALIBRATION_METHODS,
    CLIPS,
    CORRECTIONS,
    EXAMPLES,
    FUNCTIONS,
    GRANULARITIES,
    TARGETS,
)

__all__ = ["Options", "read_options", "read_vamc_calibration"]

_DEFAULT = Quantize()


@dataclass(frozen=True, slots=True)
class Options:
    """The fields of `Quantize` that these statements set."""

    weights: Any = _DEFAULT.weights
    clip: Any = _DEFAULT.clip
    activations: Any = _DEFAULT.activations
    corrections: Any = _DEFAULT.corrections
    target: Any = _DEFAULT.target


def read_options(fields: Mapping[str, Field], reader: Reader) -> Options | None:
    """Checks `weights`, `activations`, `corrections` and `target`; `None` after an error."""
    found: dict[str, Any] = {}
    if (weights := _first(fields, "weights")) is not None:
        found["weights"], found["clip"] = _weights(weights, reader)
    if (activations := _first(fields, "activations")) is not None:
        found["activations"] = reader.word(activations, ACTIVATIONS, "kind of ranges")
    if (corrections := _first(fields, "corrections")) is not None:
        found["corrections"] = _corrections(corrections, reader)
    if (target := _first(fields, "target")) is not None:
        found["target"] = _target(target, reader)
    return None if None in found.values() else Options(**found)


def read_vamc_calibration(fields: Mapping[str, Field], reader: Reader) -> CalibrationMethod | None:
    """`calibrate_mode` and `calibrate_range`, vamc's names for what `calibrate` says; `None` after an error.

    `calibrate_range 0.99999` is a share of the values: `percentile(99.999)`.
    """
    named = [fields[name] for name in ("calibrate_mode", "calibrate_range") if name in fields]
    if "calibrate" in fields:
        labels = (Label(fields["calibrate"].name_span, "zooc's own name for it"),)
        hint = "keep `calibrate`, or vamc's `calibrate_mode` and `calibrate_range`"
        message = f"`{named[0].name_span.text}` says again how to calibrate"
        reader.report(error("Z0107", message, named[0].name_span, labels=labels, hint=hint))
        return None
    mode: str | None = "percentile"
    if "calibrate_mode" in fields:
        node = _first(fields, "calibrate_mode")
        mode = None if node is None else reader.word(node, CALIBRATION_METHODS, "calibration method")
    share = _share(fields, reader)
    if mode is None or ("calibrate_range" in fields and share is None):
        return None
    if mode == "percentile":
        percentile = _DEFAULT.calibrate.percentile if share is None else round(100 * share, 10)
        return CalibrationMethod("percentile", percentile, named[0].span)
    if share is not None:
        span = fields["calibrate_range"].span
        message = f"`calibrate_range` would be ignored, because `{mode}` takes none"
        reader.report(error("Z0123", message, span, hint="delete it, or write `calibrate_mode percentile`"))
        return None
    return CalibrationMethod(mode, None, named[0].span)  # type: ignore[arg-type]


def _share(fields: Mapping[str, Field], reader: Reader) -> float | None:
    node = _first(fields, "calibrate_range")
    value = None if node is None else reader.number(node, "the share of values kept")
    if node is None or value is None:
        return None
    if not 0.0 < value <= 1.0:
        message = f"`calibrate_range` is a share above 0 and at most 1, found {value:g}"
        hint = f"{value:g} per cent is `calibrate percentile({value:g})`" if value <= 100 else None
        reader.report(error("Z0110", message, node.span, hint=hint or "0.9999 is the usual"))
        return None
    return value


def _first(fields: Mapping[str, Field], name: str) -> ast.Expr | None:
    """The statement's value; `None` if it is absent or its form was reported before."""
    values = fields[name].values if name in fields else ()
    return values[0] if values else None


def _weights(node: ast.Expr, reader: Reader) -> tuple[str | None, str | None]:
    """`per_channel`, or `per_channel(clip=mse)`."""
    if not isinstance(node, ast.Call):
        return reader.word(node, GRANULARITIES, "granularity"), _DEFAULT.clip
    name = node.name.text
    if name not in GRANULARITIES:
        hint = did_you_mean(name, GRANULARITIES)
        reader.report(error("Z0106", f"unknown granularity `{name}`", node.name.span, hint=hint))
        return None, None
    bound = reader.bind(node, FUNCTIONS[name])
    if bound is None:
        return None, None
    if "clip" not in bound:
        return name, _DEFAULT.clip
    return name, reader.word(bound["clip"], CLIPS, "way to clip")


def _corrections(node: ast.Expr, reader: Reader) -> tuple[str, ...] | None:
    """A list of words, in the order in which they are applied, whatever the order in the file."""
    if isinstance(node, ast.Reference) and node.word in (*CORRECTIONS, "none"):
        hint = f"write `corrections [{'' if node.word == 'none' else node.word}]`"
        reader.report(error("Z0109", "the corrections must be a list, found a word", node.span, hint=hint))
        return None
    items = reader.items(node, "the corrections", f"`{EXAMPLES['quantize', 'corrections']}`")
    if items is None:
        return None
    words = [
        reader.word(item, CORRECTIONS, "correction")
        if isinstance(item, ast.Expr)
        else reader.string(item, "a correction")
        for item in items
    ]
    if None in words:
        return None
    for place, item in enumerate(items):
        if words[place] in words[:place]:
            message = f"the correction `{words[place]}` is given twice"
            reader.report(error("Z0107", message, item.span, hint="keep one of the two"))
            return None
    return tuple(word for word in CORRECTIONS if word in words)


def _target(node: ast.Expr, reader: Reader) -> str | None:
    """`cpu(vnni)`, `cpu(avx2)` or `cpu(any)`."""
    example = EXAMPLES["quantize", "target"]
    if not isinstance(node, ast.Call) or node.name.text != "cpu":
        message = f"a target is a kind of CPU, found `{node.span.text}`"
        hint = f"write {either(f'cpu({kind})' for kind in TARGETS)}"
        reader.report(error("Z0480", message, node.span, notes=(f"its form is `{example}`",), hint=hint))
        return None
    bound = reader.bind(node, FUNCTIONS["cpu"])
    return None if bound is None else reader.word(bound["kind"], TARGETS, "kind of CPU")
