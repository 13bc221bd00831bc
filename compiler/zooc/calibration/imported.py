"""`--ranges FILE`: a calibration measured elsewhere, or a table of ranges, held against the network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx

from zooc.calibration.file import Calibration, Identity, shards_missing
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.ranges import Ranges
from zooc.calibration.table import parse_table, table_places
from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import Diagnostic, SourceFile, Span, ZoocError, error
from zooc.ir.graph import is_clamp_from_zero, read_graph, variables
from zooc_runtime.support.shards import missing

__all__ = ["fit_ranges", "load_ranges", "read_table", "refuse_ranges", "require_tensors"]


def load_ranges(
    path: Path, body: onnx.ModelProto, expected: Identity, tensors: Sequence[str]
) -> ActivationHistograms | Ranges:
    """Return what a file says of `tensors`: histograms of a `.calib` file, or the ranges of a table.

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
    histograms = found.measured(path)
    require_tensors(histograms, tensors, str(path))
    return histograms.only(tensors)


def refuse_ranges(path: Path | None, quantize: Quantize) -> None:
    """Raise Z0475 if a file of ranges is given to a data type that has none."""
    if path is not None:
        hint = "leave out --ranges, or write `quantize int8`"
        what = f"{quantize.dtype} needs no calibration, so {path} would be ignored"
        raise ZoocError(error("Z0475", what, quantize.span, hint=hint))


def read_table(path: Path) -> SourceFile | None:
    """Return a table's text; `None` if the file is no text.

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
        reason = "it is neither a .calib file nor a text file"
    else:
        if text.strip() and "\0" not in text:
            return SourceFile(str(path), text.replace("\r\n", "\n"))
        reason = "it is neither a .calib file nor a text file" if text.strip() else "it is empty"
    hint = "name a .calib file of `zooc calibrate`, or a table of lines `name threshold min max`"
    raise ZoocError(error("Z0461", f"cannot use the calibration {path}: {reason}", hint=hint))


def check_identity(path: Path, found: Identity, expected: Identity) -> None:
    """Raise Z0463 or Z0464 if a calibration is of another preprocessing or network."""
    if found.preprocess != expected.preprocess:
        raise ZoocError(
            error(
                "Z0463",
                f"{path} was calibrated with other preprocessing",
                notes=(f"there: {found.preprocess}", f"here: {expected.preprocess}"),
                hint="calibrate again with this description, or use the one that the file was made with",
            )
        )
    if found.network != expected.network:
        raise ZoocError(
            error(
                "Z0464",
                f"{path} was calibrated for another network",
                notes=(f"there: sha256 {found.network[:16]}...", f"here: sha256 {expected.network[:16]}..."),
                hint="calibrate again with this network and these weights; "
                "a table (zooc calibrate export) is matched by tensor names only",
            )
        )
    if found.prelude and found.prelude != expected.prelude:
        raise ZoocError(
            error(
                "Z0463",
                f"{path} has the same preprocessing, but its prelude was compiled by other versions",
                notes=(
                    "the order of the resampling passes, and so the pixels, depend on the version of Pillow",
                ),
                hint="calibrate again with these versions of zooc and Pillow",
            )
        )


_MOST_NAMED = 10


def fit_ranges(
    ranges: Ranges,
    body: onnx.ModelProto,
    tensors: Sequence[str],
    origin: str,
    places: Mapping[str, Span] | None = None,
) -> Ranges:
    """Return the ranges of `tensors`, in that order.

    A range of a tensor that a ReLU has clamped begins at zero, whatever the file says (a threshold alone
    stands for a symmetric range): otherwise half of the levels would be lost, and the ReLU could not be
    dropped. Ranges of tensors that the network has but does not quantize are passed over.

    Args:
        ranges: as read.
        body: the float network, prepared for quantization.
        tensors: what has to be quantized.
        origin: the file, for messages.
        places: where each tensor is named in it.

    Raises:
        ZoocError: Z0469, tensors that the network does not have; Z0470, tensors without a range.
    """
    graph = read_graph(body)
    known = {tensor.name for tensor in variables(graph)}
    strangers = [name for name in ranges if name not in known]
    problems = [_unknown(name, known, origin, (places or {}).get(name)) for name in strangers[:_MOST_NAMED]]
    if problems and len(strangers) == len(ranges):
        # Not one name fits: listing them would not help.
        hint = "export a table of this network (zooc calibrate export) and compare the names"
        raise ZoocError(error("Z0469", f"{origin} names no tensor of this network", hint=hint))
    if problems:
        raise ZoocError(*problems)
    require_tensors(ranges, tensors, origin)
    clamped = {node.outputs[0].name for node in graph.nodes if is_clamp_from_zero(node)}
    return {name: (0.0, ranges[name][1]) if name in clamped else ranges[name] for name in tensors}


def require_tensors(have: Iterable[str], tensors: Sequence[str], origin: str) -> None:
    """Raise Z0470 if some of `tensors` are not among `have`."""
    there = set(have)
    lacking = [name for name in tensors if name not in there]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ZoocError(
            error(
                "Z0470",
                f'{origin} has no range for "{lacking[0]}"{more} of {len(tensors)} tensors',
                notes=tuple(f'missing: "{name}"' for name in lacking[:_MOST_NAMED]),
                hint="calibrate with this description; changing `keep` changes which tensors are quantized",
            )
        )


def _unknown(name: str, known: Iterable[str], origin: str, span: Span | None) -> Diagnostic:
    near = difflib.get_close_matches(name, sorted(known), 3, 0.7)
    hint = "did you mean " + " or ".join(f'"{n}"' for n in near) + "?" if near else "delete the line"
    where = "" if span else f"{origin}: "
    return error("Z0469", f'{where}the network has no tensor "{name}"', span, hint=hint)
