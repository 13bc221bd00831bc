"""Vastai's vdsp_params as steps: a file, or the same keys as arguments of `vdsp(...)`.

What a file means and what is wrong with it is the runtime's knowledge
(`zooc_runtime.preprocessing.vdsp.document`); here it becomes actions and diagnostics with places.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zooc import deployment
from zooc.deployment import InputShape
from zooc.diagnostics.diagnostic import Diagnostic, Label, SourceFile, Span, error
from zooc.frontend.semantics.blocks.image_flow import Action, Channels, Convert, Pixel, Source, Standardize
from zooc.frontend.semantics.constants import Value
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc_runtime.preprocessing.vdsp.document import Fault, VdspParams, examine_vdsp
from zooc_runtime.preprocessing.vdsp.keys import COLORS, FORMATS, NORMALIZATIONS, OPERATIONS, RESIZE_TYPES

__all__ = ["MAX_VDSP_BYTES", "read_inline_vdsp", "read_vdsp", "steps_of"]

Report = Callable[[Diagnostic], None]

MAX_VDSP_BYTES = 1_000_000

_WORDS = (*OPERATIONS, *FORMATS, *COLORS, *NORMALIZATIONS, *RESIZE_TYPES, "CONSTANT", "UINT8", "FP16")


def read_vdsp(path: Path, span: Span, shape: InputShape | None, report: Report) -> list[Action] | None:
    """The steps that a file describes; `None` after an error.

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
    """The steps that `vdsp(OpType=..., ...)` describes; `None` after an error."""
    document: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for key, node in bound.items():
        value = _plain(node, reader)
        if value is None:
            return None
        document[key], spans[key] = value, node.span
    kind = document.pop("OpType", None)
    text, starts = _as_json(kind, document)
    found = examine_vdsp(text, _defaults(shape))
    offsets = [start for start, _ in starts]
    for fault in found.faults:
        at = bisect_right(offsets, fault.start) - 1
        reader.report(_diagnostic(fault, fault.message, spans.get(starts[at][1], call.span)))
    return None if found.params is None else _actions(found.params, call.span)


def steps_of(params: VdspParams, span: Span | None = None) -> tuple[deployment.Step, ...]:
    """The pixel steps of a file as a description has them."""
    steps = []
    for step in params.steps:
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in step.items() if k != "op"}
        steps.append(getattr(deployment, step["op"])(**values, span=span))
    return tuple(steps)


def _diagnostic(fault: Fault, message: str, span: Span, labels: tuple[Label, ...] = ()) -> Diagnostic:
    code = "Z0311" if fault.unsupported else "Z0310"
    return error(code, message, span, labels=labels, hint=fault.hint)


def _defaults(shape: InputShape | None) -> dict[str, int]:
    return {} if shape is None else {"OimageHeight": shape.height, "OimageWidth": shape.width}


def _actions(params: VdspParams, span: Span) -> list[Action]:
    actions: list[Action] = [] if params.source == "rgb" else [Source(params.source, span)]
    for step in steps_of(params, span):
        swap = isinstance(step, deployment.SwapChannels)
        actions.append(Channels("BGR", span) if swap else Pixel(step))
    actions.append(Convert(params.divisor, span))
    if params.mean != (0.0, 0.0, 0.0) or params.std != (1.0, 1.0, 1.0):
        actions.append(Standardize(params.mean, params.std, span))
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


def _as_json(kind: Any, config: dict[str, Any]) -> tuple[str, list[tuple[int, str]]]:
    """The document's text, and where in it each key's part begins."""
    starts = [(0, "")]
    text = "{"
    if kind is not None:
        starts.append((len(text), "OpType"))
        text += f'"OpType": {json.dumps(kind)}, '
    starts.append((len(text), ""))
    text += '"OpConfig": {'
    for number, (key, value) in enumerate(config.items()):
        text += ", " if number else ""
        starts.append((len(text), key))
        text += f'"{key}": {json.dumps(value)}'
    starts.append((len(text), ""))
    return text + "}}", starts
