"""`ranges source`: the scales of a network that is quantized already, in place of a calibration."""

from __future__ import annotations

from collections.abc import Mapping

from zooc.deployment import Model, Quantize
from zooc.diagnostics.diagnostic import Diagnostic, Label, error
from zooc.frontend.semantics.blocks.accuracy_contract import is_dropped
from zooc.frontend.semantics.declarations import Setting
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax.vocabulary import RANGES, SPEEDS

__all__ = ["needs_images", "nothing_ignored", "read_ranges", "source_without_ranges"]

_COMPATIBLE = ("ranges", "require", *(f"require.{quantity}" for quantity in SPEEDS))


def read_ranges(field: Setting, reader: Reader) -> str | None:
    """Check the statement; `None` after an error."""
    return reader.word(field.values[0], RANGES, "origin of ranges") if field.values else None


def nothing_ignored(fields: Mapping[str, Setting], reader: Reader) -> bool:
    """Tell whether nothing beside `ranges source` says how to quantize; what does is reported."""
    ignored = [field for name, field in fields.items() if name not in _COMPATIBLE and not is_dropped(field)]
    for field in ignored:
        message = f"`{field.name_span.text}` would be ignored, because `ranges source` keeps the file's own"
        labels = (Label(fields["ranges"].span, "the file says how its tensors are quantized"),)
        hint = "delete it, or quantize a float network without `ranges source`"
        reader.report(error("Z0123", message, field.span, labels=labels, hint=hint))
    return not ignored


def needs_images(quantize: Quantize) -> bool:
    """Tell whether images are run before the package is written: to calibrate, or for a contract."""
    return quantize.dtype == "int8" and (quantize.ranges == "measured" or quantize.require is not None)


def source_without_ranges(model: Model, quantize: Quantize) -> Diagnostic | None:
    """Return an error where the source is none that could be quantized already."""
    if model.source.kind == "onnx":
        return None
    return error(
        "Z0482",
        f"`ranges source` keeps the ranges of a quantized ONNX file, but {model.source.kind} gives float "
        "networks",
        quantize.ranges_span,
        hint='write `data images("folder", count=50)` in its place, or `source onnx("quantized.onnx")`',
    )
