"""The `quantize` block: data type, calibration, and what stays in float."""

from __future__ import annotations

from zooc.deployment import CalibrationMethod, ImageSet, Quantize
from zooc.diagnostics import Label, Span, error
from zooc.frontend import ast
from zooc.frontend.model_block import MAX_SEED
from zooc.frontend.outline import Field, Settings
from zooc.frontend.reading import Reader
from zooc.frontend.suggest import did_you_mean
from zooc.frontend.vocabulary import CALIBRATION_METHODS, DTYPES, FUNCTIONS, GRANULARITIES

__all__ = ["read_quantize"]

_DEFAULT = Quantize()


def read_quantize(settings: Settings, reader: Reader) -> Quantize | None:
    """Checks the block; `None` after an error."""
    if not settings.header and settings.name_span is None and settings.fields:
        header: ast.Expr = _implied_header(next(iter(settings.fields.values())).span)
    elif len(settings.header) == 1:
        header = settings.header[0]
    else:
        return None
    dtype = reader.word(header, DTYPES, "data type")
    fields = settings.fields
    calibrate = _calibrate(fields["calibrate"], reader) if "calibrate" in fields else _DEFAULT.calibrate
    data = _data(fields["data"], reader) if "data" in fields else None
    weights = _DEFAULT.weights
    sound = calibrate is not None and ("data" not in fields or data is not None)
    if "weights" in fields:
        word = _word(fields["weights"], reader)
        sound &= word is not None
        weights = "per_tensor" if word == "per_tensor" else "per_channel"
    keep = _keep(fields["keep"], reader) if "keep" in fields else ()
    if dtype is not None:
        sound &= _consistent(dtype, header.span, settings, reader)
    if dtype is None or calibrate is None or keep is None or not sound:
        return None
    patterns, spans = tuple(text for text, _ in keep), tuple(span for _, span in keep)
    return Quantize(dtype, calibrate, data, weights, patterns, spans, settings.name_span)  # type: ignore[arg-type]


def _implied_header(span: Span) -> ast.Reference:
    """Without a `quantize` block, overrides of its statements meet the default data type."""
    return ast.Reference((ast.Name(_DEFAULT.dtype, span),), span)


def _consistent(dtype: str, span: Span, settings: Settings, reader: Reader) -> bool:
    if dtype == "int8":
        if "data" not in settings.fields:
            hint = 'add `data images("folder", count=50)`: ranges are measured on real images'
            reader.report(error("Z0122", "int8 needs calibration data", span, hint=hint))
            return False
        return True
    ignored = [name for name in ("calibrate", "data", "weights") if name in settings.fields]
    for name in ignored:
        place = settings.fields[name].span
        labels = () if place == span else (Label(span, f"{dtype} needs no calibration"),)
        message = f"`{name}` would be ignored, because only int8 uses it"
        hint = f"delete it, or write `quantize int8` (an override `quantize = {dtype}` drops it)"
        reader.report(error("Z0123", message, place, labels=labels, hint=hint))
    return not ignored


def _calibrate(field: Field, reader: Reader) -> CalibrationMethod | None:  # noqa: PLR0911 - one return a case
    if not field.values:
        return None
    node = field.values[0]
    if isinstance(node, ast.Call):
        name = node.name.text
        if name != "percentile":
            known = name in CALIBRATION_METHODS
            message = f"`{name}` takes no parentheses" if known else f"unknown calibration method `{name}`"
            hint = f"write `calibrate {name}`" if known else did_you_mean(name, CALIBRATION_METHODS)
            reader.report(error("Z0118" if known else "Z0104", message, node.name.span, hint=hint))
            return None
        bound = reader.bind(node, FUNCTIONS["percentile"])
        value = reader.number(bound["percentile"], "the percentile") if bound else None
        if bound is None or value is None:
            return None
        if not 0 < value <= 100:
            message = f"a percentile is above 0 and at most 100, found {value:g}"
            hint = "99.99 leaves out one value in ten thousand"
            reader.report(error("Z0110", message, bound["percentile"].span, hint=hint))
            return None
        return CalibrationMethod("percentile", value, field.span)
    if isinstance(node, ast.Reference) and node.word == "percentile":
        hint = "write `percentile(99.99)`"
        reader.report(error("Z0114", "`percentile` lacks its number", node.span, hint=hint))
        return None
    word = reader.word(node, CALIBRATION_METHODS, "calibration method")
    if word is None:
        return None
    if word == "percentile":
        return CalibrationMethod("percentile", _DEFAULT.calibrate.percentile, field.span)
    return CalibrationMethod(word, None, field.span)  # type: ignore[arg-type]


def _data(field: Field, reader: Reader) -> ImageSet | None:  # noqa: PLR0911 - one return a case
    if not field.values:
        return None
    node = field.values[0]
    if not isinstance(node, ast.Call):
        hint = 'write `data images("folder", suffix="JPEG", count=50)`'
        reader.report(error("Z0109", "calibration data is `images(...)`", node.span, hint=hint))
        return None
    if node.name.text != "images":
        near = did_you_mean(node.name.text, ["images"])
        reader.report(error("Z0104", f"unknown data `{node.name.text}(...)`", node.name.span, hint=near))
        return None
    bound = reader.bind(node, FUNCTIONS["images"])
    if bound is None:
        return None
    folder = reader.path(bound["folder"], "the folder of images", folder=True)
    suffix = reader.string(bound["suffix"], "the suffix") if "suffix" in bound else None
    count = reader.integer(bound["count"], "the count", 1, 10_000_000) if "count" in bound else None
    seed = reader.integer(bound["seed"], "the seed", 0, MAX_SEED) if "seed" in bound else 0
    if folder is None or seed is None:
        return None
    if ("suffix" in bound and suffix is None) or ("count" in bound and count is None):
        return None
    if suffix is not None:
        suffix = suffix.removeprefix(".")
        if not suffix.isalnum():
            message = f'"{suffix}" is no file name suffix'
            reader.report(error("Z0110", message, bound["suffix"].span, hint='write suffix="JPEG"'))
            return None
    return ImageSet(folder, suffix, count, seed, field.span)


def _word(field: Field, reader: Reader) -> str | None:
    return reader.word(field.values[0], GRANULARITIES, "granularity") if field.values else None


def _keep(field: Field, reader: Reader) -> list[tuple[str, Span]] | None:
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
            reader.report(error("Z0110", "an empty pattern names no node", item.span, hint='write "fc", say'))
        elif text is not None:
            patterns.append((text, item.span))
    return patterns if sound and len(patterns) == len(items) else None
