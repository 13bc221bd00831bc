"""The `quantize` block: data type, calibration, and what stays in float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zooc.deployment import DEFAULT_PERCENTILE, Bar, CalibrationMethod, FloatLimits, ImageSet, Quantize
from zooc.diagnostics.diagnostic import Label, Span, error
from zooc.diagnostics.suggest import did_you_mean, either
from zooc.frontend.semantics.blocks.accuracy_contract import is_dropped, read_requirement
from zooc.frontend.semantics.blocks.kept_ranges import nothing_ignored, read_ranges
from zooc.frontend.semantics.blocks.required_speed import read_speed
from zooc.frontend.semantics.declarations import BlockSettings, Setting
from zooc.frontend.semantics.image_set import is_images_call, read_image_set
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import (
    ACCELERATORS,
    ACTIVATIONS,
    BLOCKS,
    CALIBRATION_METHODS,
    CLIPS,
    CORRECTIONS,
    DTYPES,
    EFFORTS,
    EXAMPLES,
    FUNCTIONS,
    GRANULARITIES,
    SPEEDS,
    TARGETS,
    Parameter,
)

__all__ = ["Options", "read_options", "read_quantize", "read_vamc_calibration"]

_DEFAULT = Quantize()
_LIMITS = (Parameter("time"), Parameter("sqnr"))
_DATA_EXAMPLE = 'data images("folder", suffix="JPEG", count=50)'


def read_quantize(settings: BlockSettings, reader: Reader) -> Quantize | None:
    """Check the block; `None` after an error."""
    if not settings.header and settings.name_span is None and settings.fields:
        header: ast.Expr = _implied_header(next(iter(settings.fields.values())).span)
    elif len(settings.header) == 1:
        header = settings.header[0]
    else:
        return None
    dtype = reader.word(header, DTYPES, "data type")
    fields = settings.fields
    calibrate: CalibrationMethod | None = _DEFAULT.calibrate
    if "calibrate" in fields:
        calibrate = _calibrate(fields["calibrate"], reader)
    if "calibrate_mode" in fields or "calibrate_range" in fields:
        calibrate = read_vamc_calibration(fields, reader)
    data = _data(fields["data"], reader) if "data" in fields else None
    options = read_options(fields, reader)
    sound = calibrate is not None and ("data" not in fields or data is not None)
    keep_auto = "keep" in fields and _is_auto(fields["keep"])
    if keep_auto and len(fields["keep"].values) > 1:
        sound &= reader.word(fields["keep"].values[0], ["fp32"], "data type to keep") is not None
    keep = _keep(fields["keep"], reader) if "keep" in fields and not keep_auto else ()
    limits = _limits(fields["keep"], reader) if keep_auto else FloatLimits()
    sound &= limits is not None
    require = None
    if "require" in fields and not is_dropped(fields["require"]):
        require = read_requirement(fields["require"], reader)
        sound &= require is not None
    required = {
        quantity: read_speed(quantity, field, reader)
        for quantity in SPEEDS
        if (field := fields.get(f"require.{quantity}")) is not None and not is_dropped(field)
    }
    speed = tuple(one for one in required.values() if one is not None)
    sound &= len(speed) == len(required)
    if "ranges" in fields:
        sound &= read_ranges(fields["ranges"], reader) is not None
    warn = _DEFAULT.warn
    if "warn" in fields:
        warn = _warn(fields["warn"], reader)
        sound &= warn is not None or _is_none(fields["warn"])
    if dtype is not None:
        sound &= _consistent(dtype, header.span, settings, reader)
    if dtype is None or calibrate is None or keep is None or options is None or limits is None or not sound:
        return None
    patterns, spans = tuple(text for text, _ in keep), tuple(span for _, span in keep)
    return Quantize(
        dtype,  # type: ignore[arg-type]
        calibrate,
        data,
        options.weights,
        patterns,
        spans,
        require,
        keep_auto,
        options.clip,
        options.activations,
        options.corrections,
        options.target,
        "source" if "ranges" in fields else _DEFAULT.ranges,
        fields["ranges"].span if "ranges" in fields else None,
        warn,
        limits,
        settings.name_span,
        speed=speed,
    )


def _implied_header(span: Span) -> ast.Reference:
    """Without a `quantize` block, overrides of its statements meet the default data type."""
    return ast.Reference((ast.Name(_DEFAULT.dtype, span),), span)


def _consistent(dtype: str, span: Span, settings: BlockSettings, reader: Reader) -> bool:
    if dtype == "int8" and "ranges" in settings.fields:
        return nothing_ignored(settings.fields, reader)
    if dtype == "int8":
        if "data" not in settings.fields:
            hint = 'add `data images("folder", count=50)`: ranges are measured on real images'
            reader.report(error("Z0122", "int8 needs calibration data", span, hint=hint))
            return False
        return True
    int8_only = [name for name in BLOCKS["quantize"] if name != "keep"]
    if "keep" in settings.fields and _is_auto(settings.fields["keep"]):
        int8_only.append("keep")
    ignored = [name for name in int8_only if name in settings.fields]
    for name in ignored:
        place = settings.fields[name].span
        labels = () if place == span else (Label(span, f"{dtype} needs no calibration"),)
        message = f"`{name}` would be ignored, because only int8 uses it"
        hint = f"delete it, or write `quantize int8` (an override `quantize = {dtype}` drops it)"
        reader.report(error("Z0123", message, place, labels=labels, hint=hint))
    return not ignored


def _calibrate(field: Setting, reader: Reader) -> CalibrationMethod | None:
    if not field.values:
        return None
    node = field.values[0]
    if isinstance(node, ast.Call):
        return _calibrate_call(node, field.span, reader)
    if isinstance(node, ast.Reference) and node.word == "percentile":
        hint = f"write `percentile({DEFAULT_PERCENTILE:g})`"
        reader.report(error("Z0114", "`percentile` lacks its number", node.span, hint=hint))
        return None
    word = reader.word(node, CALIBRATION_METHODS, "calibration method")
    if word is None:
        return None
    if word == "percentile":
        return CalibrationMethod("percentile", DEFAULT_PERCENTILE, field.span)
    return CalibrationMethod(word, None, field.span)  # type: ignore[arg-type]


def _calibrate_call(node: ast.Call, span: Span, reader: Reader) -> CalibrationMethod | None:
    name = node.name.text
    if name == "percentile":
        return _percentile(node, span, reader)
    if name == "auto":
        return _auto(node, span, reader)
    known = name in CALIBRATION_METHODS
    message = f"`{name}` takes no parentheses" if known else f"unknown calibration method `{name}`"
    hint = f"write `calibrate {name}`" if known else did_you_mean(name, CALIBRATION_METHODS)
    reader.report(error("Z0118" if known else "Z0104", message, node.name.span, hint=hint))
    return None


def _percentile(node: ast.Call, span: Span, reader: Reader) -> CalibrationMethod | None:
    bound = reader.bind(node, FUNCTIONS["percentile"])
    value = reader.number(bound["percentile"], "the percentile") if bound else None
    if bound is None or value is None:
        return None
    if not 0 < value <= 100:
        message = f"a percentile is above 0 and at most 100, found {value:g}"
        hint = "99.99 leaves out one value in ten thousand"
        reader.report(error("Z0110", message, bound["percentile"].span, hint=hint))
        return None
    return CalibrationMethod("percentile", value, span)


def _auto(node: ast.Call, span: Span, reader: Reader) -> CalibrationMethod | None:
    bound = reader.bind(node, FUNCTIONS["auto"])
    if bound is None:
        return None
    effort = reader.word(bound["effort"], EFFORTS, "effort") if "effort" in bound else "normal"
    return None if effort is None else CalibrationMethod("auto", None, span, effort)  # type: ignore[arg-type]


def _is_none(field: Setting) -> bool:
    only = field.values[0] if field.values else None
    return isinstance(only, ast.Reference) and only.word in ("none", "false")


def _warn(field: Setting, reader: Reader) -> Bar | None:
    """`below(...)`; `None` for `none`, and after an error."""
    if not field.values or _is_none(field):
        return None
    node = field.values[0]
    if not isinstance(node, ast.Call) or node.name.text != "below":
        text = node.name.text if isinstance(node, ast.Call) else node.span.text
        example = f"write `{EXAMPLES['quantize', 'warn']}`, or `warn none`"
        hint = did_you_mean(text, ("below", "none")) or example
        place = node.name.span if isinstance(node, ast.Call) else node.span
        reader.report(error("Z0109", f"`{text}` is no bar for int8", place, hint=hint))
        return None
    bound = reader.bind(node, FUNCTIONS["below"])
    if bound is None:
        return None
    default = Bar()
    agreement: float | None = default.agreement
    sqnr: float | None = default.sqnr_db
    if "agreement" in bound:
        agreement = _share_at_most(1.0, bound["agreement"], "an agreement", "97%", reader)
    if "sqnr" in bound:
        sqnr = reader.number(bound["sqnr"], "the SQNR")
    return None if agreement is None or sqnr is None else Bar(agreement, sqnr)


def _share_at_most(most: float, node: ast.Expr, what: str, example: str, reader: Reader) -> float | None:
    """A share from 0 to `most`, which is likely to be a percentage without its sign where it is larger."""
    value = reader.number(node, what)
    if value is None or 0.0 <= value <= most:
        return value
    hint = f"write {value:g}%" if 0.0 < value <= 100 * most else f"write for example {example}"
    message = f"{what} is a share from 0% to {100 * most:g}%, found {value:g}"
    reader.report(error("Z0110", message, node.span, hint=hint))
    return None


def _data(field: Setting, reader: Reader) -> ImageSet | None:
    if not field.values:
        return None
    node = field.values[0]
    if not is_images_call(node, "calibration data", _DATA_EXAMPLE, reader):
        return None
    assert isinstance(node, ast.Call)
    bound = reader.bind(node, FUNCTIONS["images"])
    if_missing = "the given ranges are used instead of a calibration" if reader.may_miss_data else None
    return None if bound is None else read_image_set(bound, field.span, reader, if_missing)


def _is_auto(field: Setting) -> bool:
    """`keep fp32 auto`; an override may leave out the `fp32`."""
    last = field.values[-1] if field.values else None
    if isinstance(last, ast.Call):
        return last.name.text == "auto"
    return isinstance(last, ast.Reference) and last.word == "auto"


def _limits(field: Setting, reader: Reader) -> FloatLimits | None:
    """Those of `keep fp32 auto(time=30%, sqnr=25)`; `None` after an error."""
    node = field.values[-1]
    if not isinstance(node, ast.Call):
        return FloatLimits()
    bound = reader.bind(node, _LIMITS)
    if bound is None:
        return None
    time: float | None = FloatLimits().time
    sqnr: float | None = None
    if "time" in bound:
        time = _share_at_most(10.0, bound["time"], "the time that float layers add", "30%", reader)
    if "sqnr" in bound:
        sqnr = reader.number(bound["sqnr"], "the SQNR")
    return None if time is None or ("sqnr" in bound and sqnr is None) else FloatLimits(time, sqnr)


def _keep(field: Setting, reader: Reader) -> list[tuple[str, Span]] | None:
    if not field.values:
        return None
    sound = len(field.values) < 2 or reader.word(field.values[0], ["fp32"], "data type to keep") is not None
    items = reader.items(field.values[-1], "the list of patterns", '`["fc", "layer1.*"]`')
    if items is None:
        return None
    patterns: list[tuple[str, Span]] = []
    for item in items:
        text = reader.string(item, "a pattern")
        if text == "":
            reader.report(
                error("Z0110", "an empty pattern names no node", item.span, hint='write for example "fc"')
            )
        elif text is not None:
            patterns.append((text, item.span))
    return patterns if sound and len(patterns) == len(items) else None


_DEFAULT = Quantize()


@dataclass(frozen=True, slots=True)
class Options:
    """The fields of `Quantize` that these statements set."""

    weights: Any = _DEFAULT.weights
    clip: Any = _DEFAULT.clip
    activations: Any = _DEFAULT.activations
    corrections: Any = _DEFAULT.corrections
    target: Any = _DEFAULT.target


def read_options(fields: Mapping[str, Setting], reader: Reader) -> Options | None:
    """Check `weights`, `activations`, `corrections` and `target`; `None` after an error."""
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


def read_vamc_calibration(fields: Mapping[str, Setting], reader: Reader) -> CalibrationMethod | None:
    """Read `calibrate_mode` and `calibrate_range`, vamc's names for `calibrate`; `None` after an error.

    `calibrate_range 0.99999` is a share of the values: `percentile(99.999)`.
    """
    named = [fields[name] for name in ("calibrate_mode", "calibrate_range") if name in fields]
    if "calibrate" in fields:
        labels = (Label(fields["calibrate"].name_span, "zooc's own name for it"),)
        hint = "keep `calibrate`, or vamc's `calibrate_mode` and `calibrate_range`"
        message = f"`{named[0].name_span.text}` gives the calibration method a second time"
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
        percentile = DEFAULT_PERCENTILE if share is None else round(100 * share, 10)
        return CalibrationMethod("percentile", percentile, named[0].span)
    if share is not None:
        span = fields["calibrate_range"].span
        message = f"`calibrate_range` would be ignored, because `{mode}` takes none"
        reader.report(error("Z0123", message, span, hint="delete it, or write `calibrate_mode percentile`"))
        return None
    return CalibrationMethod(mode, None, named[0].span)  # type: ignore[arg-type]


def _share(fields: Mapping[str, Setting], reader: Reader) -> float | None:
    node = _first(fields, "calibrate_range")
    value = None if node is None else reader.number(node, "the share of values kept")
    if node is None or value is None:
        return None
    if not 0.0 < value <= 1.0:
        message = f"`calibrate_range` is a share above 0 and at most 1, found {value:g}"
        hint = f"{value:g} per cent is `calibrate percentile({value:g})`" if value <= 100 else None
        reader.report(error("Z0110", message, node.span, hint=hint or "a usual value is 0.9999"))
        return None
    return value


def _first(fields: Mapping[str, Setting], name: str) -> ast.Expr | None:
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
    """`cpu(vnni)`, `cpu(avx2)` or `cpu(any)`, or the name of an accelerator."""
    example = EXAMPLES["quantize", "target"]
    if isinstance(node, ast.Reference) and node.text in ACCELERATORS:
        return node.text
    if not isinstance(node, ast.Call) or node.name.text != "cpu":
        message = f"a target is a kind of CPU or an accelerator, found `{node.span.text}`"
        known = [*(f"cpu({kind})" for kind in TARGETS), *ACCELERATORS]
        hint = did_you_mean(node.span.text, ACCELERATORS) or f"write {either(known)}"
        reader.report(error("Z0480", message, node.span, notes=(f"write `{example}`",), hint=hint))
        return None
    bound = reader.bind(node, FUNCTIONS["cpu"])
    return None if bound is None else reader.word(bound["kind"], TARGETS, "kind of CPU")
