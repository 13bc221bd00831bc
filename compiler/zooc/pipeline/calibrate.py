"""What `zooc calibrate FILE` does: a compile up to calibration, and a `.calib` file in place of a package."""

from __future__ import annotations

from pathlib import Path

from zooc.calibration.file import Calibration
from zooc.calibration.images import CalibrationImages
from zooc.calibration.imported import fit_ranges, read_table
from zooc.calibration.run import calibration_identity, run_calibration
from zooc.calibration.shards import Shard
from zooc.calibration.table import parse_table, table_places
from zooc.compilation import Compilation, Request
from zooc.diagnostics.diagnostic import ZoocError, error, warning
from zooc.pipeline.compile import run
from zooc.quantization.placement import tensors_to_observe
from zooc.support.cache import Cache
from zooc.support.progress import Progress

__all__ = ["bind_table", "measure", "prepare"]


def prepare(
    file: Path,
    variant: str | None,
    overrides: tuple[str, ...],
    cache: Cache,
    progress: Progress,
    ranges: Path | None = None,
) -> Compilation:
    """The compilation of a description up to its calibration; with `ranges` it needs no images.

    Raises:
        ZoocError: Z0475, nothing in it is calibrated; what the stages raise.
    """
    check = Request(file, None, variant, overrides, stop_before="load_model", ranges=ranges)
    first = run(Compilation(check, cache, Progress()))
    quantize, preprocess = first.deployment.quantize, first.deployment.preprocess
    if quantize.dtype != "int8" or quantize.data is None or preprocess is None:
        raise ZoocError(
            error(
                "Z0475",
                f"{file} is compiled as {quantize.dtype}, which needs no calibration",
                quantize.span,
                hint="only int8 has ranges; write `quantize int8 { data images(...) }`",
            )
        )
    request = Request(file, None, variant, overrides, stop_before="calibrate_ranges", ranges=ranges)
    return run(Compilation(request, cache, progress))


def measure(c: Compilation, shard: Shard) -> Calibration:
    """Calibrate on a shard of the images.

    Raises:
        ZoocError: see `CalibrationImages.find` and `run_calibration`.
    """
    quantize, preprocess = c.deployment.quantize, c.deployment.preprocess
    assert quantize.data is not None and preprocess is not None and c.prelude is not None
    images = CalibrationImages.find(quantize.data, preprocess.to_json()["steps"], shard)
    sketches = run_calibration(
        c.prepared_body, c.prelude, images, c.observed, c.observer, c.cache, c.progress
    )
    c.warnings += [*images.warnings, *images.skip_warnings(), *c.cache.warnings]
    if not images.paths:
        message = f"shard {shard} has no images: there are only {images.drawn}"
        c.warnings.append(warning("Z0473", message, hint="merging works all the same"))
    identity = calibration_identity(c.prepared_body, c.prelude, preprocess.to_json(), images)
    return Calibration(identity, (shard,), sketches, None, dict(images.skipped))


def bind_table(c: Compilation, table: Path) -> Calibration:
    """Imported ranges, checked against the network.

    Raises:
        ZoocError: Z0461, Z0468, Z0469, Z0470: the table is none, or does not fit.
    """
    assert c.prelude is not None and c.deployment.preprocess is not None
    text = read_table(table)
    if text is None:
        hint = "`import` reads text; give a .calib file to `zooc compile --ranges` as it is"
        raise ZoocError(error("Z0461", f"{table} is a .calib file already", hint=hint))
    tensors = tensors_to_observe(c.prepared_body, c.deployment.quantize)
    ranges = fit_ranges(parse_table(text), c.prepared_body, tensors, str(table), table_places(text))
    identity = calibration_identity(c.prepared_body, c.prelude, c.deployment.preprocess.to_json())
    return Calibration(identity, ranges=ranges)
