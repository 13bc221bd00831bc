"""`zooc calibrate FILE`: a compile up to calibration, and a `.calib` file in place of a package."""

from __future__ import annotations

from pathlib import Path

from zooc.calibration.file import Calibration
from zooc.calibration.imported import fit_ranges, read_table
from zooc.calibration.table import parse_table, table_places
from zooc.compilation import Request
from zooc.diagnostics.diagnostic import ZoocError, error, warning
from zooc.pipeline.context import Context
from zooc.pipeline.lower import analyze, lower
from zooc.pipeline.quantize import Int8Quantizer
from zooc_runtime.support.shards import Shard

__all__ = ["bind_table", "measure", "prepare"]


def prepare(request: Request, context: Context) -> Int8Quantizer:
    """Return what calibrates a description's network; with `request.ranges` it needs no images.

    Raises:
        ZoocError: Z0475, nothing in it is calibrated; what the stages raise.
    """
    deployment = analyze(request, context)
    quantize = deployment.quantize
    if quantize.ranges == "source":
        raise ZoocError(
            error(
                "Z0475",
                f"{request.file} keeps the ranges of its source, so nothing is calibrated",
                quantize.ranges_span,
                hint="compile it as it is, or name a float network and write `data images(...)`",
            )
        )
    if quantize.dtype != "int8" or quantize.data is None or deployment.preprocess is None:
        raise ZoocError(
            error(
                "Z0475",
                f"{request.file} is compiled as {quantize.dtype}, which needs no calibration",
                quantize.span,
                hint="only int8 has ranges; write `quantize int8 { data images(...) }`",
            )
        )
    return Int8Quantizer(deployment, *lower(deployment, context), context)


def measure(quantizer: Int8Quantizer, shard: Shard, context: Context) -> Calibration:
    """Calibrate on a shard of the images.

    Raises:
        ZoocError: see `CalibrationImages.find` and `run_calibration`.
    """
    images = quantizer.images(shard)
    histograms = quantizer.measure(images)
    context.warn([*images.warnings, *images.skip_warnings()])
    if not images.paths:
        message = f"shard {shard} has no images: there are only {images.drawn}"
        context.warn([warning("Z0473", message, hint="merging works all the same")])
    return Calibration(quantizer.identity(images), (shard,), histograms, None, dict(images.skipped))


def bind_table(quantizer: Int8Quantizer, table: Path) -> Calibration:
    """Return imported ranges, checked against the network.

    Raises:
        ZoocError: Z0461, Z0468, Z0469, Z0470: the table is none, or does not fit.
    """
    text = read_table(table)
    if text is None:
        hint = "`import` reads text; give a .calib file to `zooc compile --ranges` as it is"
        raise ZoocError(error("Z0461", f"{table} is a .calib file already", hint=hint))
    body, tensors = quantizer.legalized.body, quantizer.observed
    ranges = fit_ranges(parse_table(text), body, tensors, str(table), table_places(text))
    return Calibration(quantizer.identity(), ranges=ranges)
