"""Holds ranges that somebody else measured, or edited, against the network they are to quantize."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import onnx

from zooc.diagnostics import Diagnostic, Span, ZoocError, error
from zooc.quantize.body_graph import BodyGraph
from zooc.quantize.operators import is_clamp_from_zero
from zooc.quantize.ranges import Ranges

__all__ = ["fit_ranges", "require_tensors"]

_MOST_NAMED = 10


def fit_ranges(
    ranges: Ranges,
    body: onnx.ModelProto,
    tensors: Sequence[str],
    origin: str,
    places: Mapping[str, Span] | None = None,
) -> Ranges:
    """The ranges of `tensors`, in that order.

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
    graph = BodyGraph(body)
    known = {name for node in body.graph.node for name in node.output} | {v.name for v in body.graph.input}
    strangers = [name for name in ranges if name not in known]
    problems = [_unknown(name, known, origin, (places or {}).get(name)) for name in strangers[:_MOST_NAMED]]
    if problems and len(strangers) == len(ranges):
        # Not one name fits: listing them would not help.
        hint = "export a table of this network (zooc calibrate export) and compare the names"
        raise ZoocError(error("Z0469", f"{origin} names no tensor of this network", hint=hint))
    if problems:
        raise ZoocError(*problems)
    require_tensors(ranges, tensors, origin)
    clamped = {node.output[0] for index, node in enumerate(graph.nodes) if is_clamp_from_zero(graph, index)}
    return {name: (0.0, ranges[name][1]) if name in clamped else ranges[name] for name in tensors}


def require_tensors(have: Iterable[str], tensors: Sequence[str], origin: str) -> None:
    """Raises Z0470 if some of `tensors` are not among `have`."""
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
