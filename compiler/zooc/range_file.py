"""`--ranges FILE`: a calibration measured elsewhere, or a table of ranges, held against the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from zooc.calib_file import Calibration, Identity, shards_missing
from zooc.deployment import Quantize
from zooc.diagnostics import SourceFile, ZoocError, error
from zooc.quantize.fit_ranges import fit_ranges, require_tensors
from zooc.quantize.ranges import Ranges
from zooc.quantize.sketches import Sketches
from zooc.quantize.table import parse_table, table_places
from zooc.shards import missing

__all__ = ["load_ranges", "read_table", "refuse_ranges"]


def load_ranges(
    path: Path, body: onnx.ModelProto, expected: Identity, tensors: Sequence[str]
) -> Sketches | Ranges:
    """What a file says of `tensors`: sketches of a `.calib` file, or the ranges of a table.

    Raises:
        ZoocError: Z0461 to Z0464, the file is no calibration, or one of another version, preprocessing or
            network; Z0466, shards are missing; Z0468 to Z0470, a table with bad lines, unknown tensors or
            missing ones.
    """
    text = read_table(path)
    if text is not None:
        return fit_ranges(parse_table(text), body, tensors, str(path), table_places(text))
    found = Calibration.load(path)
    check_identity(path, found.identity, expected)
    if found.ranges is not None:
        return fit_ranges(found.ranges, body, tensors, str(path))
    if lacking := missing(found.shards):
        raise ZoocError(shards_missing(lacking, str(path)))
    sketches = found.measured(path)
    require_tensors(sketches, tensors, str(path))
    return sketches.only(tensors)


def refuse_ranges(path: Path | None, quantize: Quantize) -> None:
    """Raises Z0475 if a file of ranges is given to a data type that has none."""
    if path is not None:
        hint = "leave out --ranges, or write `quantize int8`"
        what = f"{quantize.dtype} needs no calibration, so {path} would be ignored"
        raise ZoocError(error("Z0475", what, quantize.span, hint=hint))


def read_table(path: Path) -> SourceFile | None:
    """A table's text; `None` if the file is no text.

    Raises:
        ZoocError: Z0461, the file cannot be read, is empty, or neither text nor a `.calib` file.
    """
    try:
        data = path.read_bytes()
        if Calibration.recognizes(data):
            return None
        text = data.decode("utf-8-sig")
    except OSError as problem:
        reason = problem.strerror or str(problem)
    except UnicodeDecodeError:
        reason = "it is neither a .calib file nor a text"
    else:
        if text.strip() and "\0" not in text:
            return SourceFile(str(path), text.replace("\r\n", "\n"))
        reason = "it is neither a .calib file nor a text" if text.strip() else "it is empty"
    hint = "name a .calib file of `zooc calibrate`, or a table of lines `name threshold min max`"
    raise ZoocError(error("Z0461", f"cannot use the calibration {path}: {reason}", hint=hint))


def check_identity(path: Path, found: Identity, expected: Identity) -> None:
    """Raises Z0463 or Z0464 if a calibration is of another preprocessing or network."""
    if found.preprocess != expected.preprocess:
        raise ZoocError(
            error(
                "Z0463",
                f"{path} was calibrated with other preprocessing",
                notes=(f"there: {found.preprocess}", f"here: {expected.preprocess}"),
                hint="calibrate again with this description, or take the one the file was made with",
            )
        )
    if found.network != expected.network:
        raise ZoocError(
            error(
                "Z0464",
                f"{path} was calibrated for another network",
                notes=(f"there: sha256 {found.network[:16]}...", f"here: sha256 {expected.network[:16]}..."),
                hint="calibrate again with this network and these weights; "
                "a table (zooc calibrate export) goes by names alone",
            )
        )
    if found.prelude and found.prelude != expected.prelude:
        raise ZoocError(
            error(
                "Z0463",
                f"{path} was calibrated with the same preprocessing, but compiled by other versions",
                notes=("the order of resampling follows Pillow's version, and so do the pixels",),
                hint="calibrate again with these versions of zooc and Pillow",
            )
        )
