"""Vastai's vdsp_params as steps: a file, or the same keys as arguments of `vdsp(...)`.

What a file means and what is wrong with it is the runtime's knowledge
(`zooc_runtime.preprocessing.vdsp.document`); here it becomes actions and diagnostics with places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zooc.deployment import InputShape
from zooc.diagnostics.diagnostic import Diagnostic, Label, SourceFile, Span, error
from zooc.frontend.semantics.blocks.image_flow import Action, Channels, Convert, Pixel, Source, Standardize
from zooc.frontend.semantics.constants import Value
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc_runtime.preprocessing.steps import SwapChannels
from zooc_runtime.preprocessing.vdsp.document import Fault, VdspParams, examine_values, examine_vdsp
from zooc_runtime.preprocessing.vdsp.keys import COLORS, FORMATS, NORMALIZATIONS, OPERATIONS, RESIZE_TYPES
from zooc_runtime.preprocessing.vdsp.placed_json import Placed

__all__ = ["MAX_VDSP_BYTES", "read_inline_vdsp", "read_vdsp"]

Report = Callable[[Diagnostic], None]

MAX_VDSP_BYTES = 1_000_000

_WORDS = (*OPERATIONS, *FORMATS, *COLORS, *NORMALIZATIONS, *RESIZE_TYPES, "CONSTANT", "UINT8", "FP16")


def read_vdsp(path: Path, span: Span, shape: InputShape | None, report: Report) -> list[Action] | None:
    """Return the steps that a file describes; `None` after an error.

    Args:
        path: the JSON file.
        span: the call that names it.
        shape: the model's input, for a file that leaves its output's size out.
        report: takes the findings, which point to the call and into the file.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_VDSP_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as failure:
        report(error("Z0310", f"{path.name} cannot be read: {failure.strerror}", span))
        return None
    except UnicodeDecodeError:
        report(error("Z0310", f"{path.name} is not UTF-8 text", span, hint="is it a vdsp_params file?"))
        return None
    if len(data) > MAX_VDSP_BYTES:
        message = f"{path.name} is larger than {MAX_VDSP_BYTES:,} bytes"
        report(error("Z0310", message, span, hint="is it a vdsp_params file?"))
        return None
    source = SourceFile(path.name, text)
    found = examine_vdsp(text, _defaults(shape))
    for fault in found.faults:
        label = Label(Span(source, fault.start, max(fault.end, fault.start + 1)), "here")
        report(_diagnostic(fault, f"{path.name}: {fault.message}", span, (label,)))
    return None if found.params is None else _actions(found.params, span)


def read_inline_vdsp(
    call: ast.Call, bound: Mapping[str, ast.Expr], shape: InputShape | None, reader: Reader
) -> list[Action] | None:
    """Return the steps that `vdsp(OpType=..., ...)` describes; `None` after an error."""
    spans = [call.span]
    config: dict[str, Placed] = {}
    for key, node in bound.items():
        value = _plain(node, reader)
        if value is None:
            return None
        config[key] = _placed(value, len(spans))
        spans.append(node.span)
    kind = config.pop("OpType", None)
    values = {"OpConfig": Placed(config, 0, 0, {key: (item.start, item.end) for key, item in config.items()})}
    found = examine_values(
        Placed(values if kind is None else {"OpType": kind, **values}, 0, 0), _defaults(shape)
    )
    for fault in found.faults:
        reader.report(_diagnostic(fault, fault.message, spans[fault.start]))
    return None if found.params is None else _actions(found.params, call.span)


def _diagnostic(fault: Fault, message: str, span: Span, labels: tuple[Label, ...] = ()) -> Diagnostic:
    code = "Z0311" if fault.unsupported else "Z0310"
    return error(code, message, span, labels=labels, hint=fault.hint)


def _defaults(shape: InputShape | None) -> dict[str, int]:
    return {} if shape is None else {"OimageHeight": shape.height, "OimageWidth": shape.width}


def _actions(params: VdspParams, span: Span) -> list[Action]:
    actions: list[Action] = [] if params.source == "rgb" else [Source(params.source, span)]
    for step in params.steps:
        swap = isinstance(step, SwapChannels)
        actions.append(Channels("BGR", span) if swap else Pixel(replace(step, span=span)))
    actions.append(Convert(params.divisor, span))
    if params.mean != (0.0, 0.0, 0.0) or params.std != (1.0, 1.0, 1.0):
        actions.append(Standardize(params.mean, params.std, span, span, span))
    return actions


def _plain(node: ast.Expr, reader: Reader) -> Any:
    """A number, a word, a string or a list of them as JSON has it; `None` after an error."""
    if isinstance(node, ast.Reference) and node.text in _WORDS:
        return node.text
    value = reader.value(node)
    return None if value is None else _unwrapped(value)


def _unwrapped(value: Value) -> Any:
    if isinstance(value.data, tuple):
        return [None if item is None else _unwrapped(item) for item in value.data]
    return value.data


def _placed(value: Any, argument: int) -> Placed:
    """A value whose place is the number of the argument that gives it; 0 is the call."""
    if isinstance(value, list):
        value = [_placed(item, argument) for item in value]
    return Placed(value, argument, argument + 1)
