"""Brings a model to plain operators of ONNX's default domain, of opset 20 to 22."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import onnx
import onnx.inliner
import onnx.version_converter

from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.ir.interface import opset_of
from zooc.ir.rename import subgraphs
from zooc.networks.onnx_file.quantized.form import as_pairs, is_integer_operator

__all__ = ["IR_VERSION", "MAX_OPSET", "MIN_OPSET", "drop_initializer_inputs", "use_default_operators"]

MIN_OPSET = 20
MAX_OPSET = 22
"""The newest that the oldest supported ONNX Runtime has whole: 1.23 lacks QuantizeLinear of opset 23."""
IR_VERSION = 10

_DEFAULT = ("", "ai.onnx")


def use_default_operators(model: onnx.ModelProto, file: str, span: Span | None) -> onnx.ModelProto:
    """Return `model` with functions inlined, an opset from `MIN_OPSET` to `MAX_OPSET`, and IR version 10.

    Raises:
        ZoocError: operators outside the default domain (`Z0217`), an opset that cannot be converted
            (`Z0218`), or what `as_pairs` does not take of a quantized network.
    """
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    if _count(model, lambda node: is_integer_operator(node.op_type)):
        model = as_pairs(model, file, span)
    _refuse_foreign(model, file, span)
    version = opset_of(model)
    wanted = min(max(version, MIN_OPSET), MAX_OPSET)
    if version > wanted:
        model = _spell_out_newer(model)
    if version != wanted:
        model = _convert(model, version, wanted, file, span)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", wanted))
    model.ir_version = IR_VERSION
    return model


def _refuse_foreign(model: onnx.ModelProto, file: str, span: Span | None) -> None:
    version = opset_of(model)

    def foreign(node: onnx.NodeProto) -> bool:
        return node.domain not in _DEFAULT or not onnx.defs.has(node.op_type, max(version, 1), "")

    found = _count(model, foreign)
    if found:
        raise ZoocError(
            error(
                "Z0217",
                f"{file} uses operators that are not standard ONNX: {found}",
                span,
                hint="export the model again without fusions or custom operators",
            )
        )


def _count(model: onnx.ModelProto, wanted: Callable[[onnx.NodeProto], bool]) -> str:
    """The operators that `wanted` picks, with counts, as text; empty if there are none."""
    names = Counter(
        f"{node.domain}.{node.op_type}" if node.domain not in _DEFAULT else node.op_type
        for graph in subgraphs(model.graph)
        for node in graph.node
        if wanted(node)
    )
    return ", ".join(f"{name} x {count}" if count > 1 else name for name, count in sorted(names.items()))


def _spell_out_newer(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace operators that are newer than `MAX_OPSET`, where ONNX defines them by others (`Swish`)."""
    newer = set()
    for graph in subgraphs(model.graph):
        for node in graph.node:
            if not onnx.defs.has(node.op_type, MAX_OPSET, ""):
                newer.add(("", node.op_type))
                _write_defaults(node, opset_of(model))
    if not newer:
        return model
    return onnx.inliner.inline_selected_functions(model, sorted(newer), inline_schema_functions=True)


def _write_defaults(node: onnx.NodeProto, version: int) -> None:
    """The inliner loses attributes that a node leaves at their defaults."""
    given = {attribute.name for attribute in node.attribute}
    for name, known in onnx.defs.get_schema(node.op_type, version, "").attributes.items():
        if name not in given and known.default_value.name:
            node.attribute.append(known.default_value)


def _convert(
    model: onnx.ModelProto, version: int, wanted: int, file: str, span: Span | None
) -> onnx.ModelProto:
    try:
        # The converter knows constants only where they are no inputs of the graph, since IR version 4.
        drop_initializer_inputs(model)
        model.ir_version = max(model.ir_version, 4)
        return onnx.version_converter.convert_version(model, wanted)
    except Exception as problem:  # the converter raises whatever its C++ side throws
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise ZoocError(
            error(
                "Z0218",
                f"{file} uses opset {version}, and cannot be converted to opset {wanted}",
                span,
                notes=(lines[0],),
                hint=f"export the model again with opset_version={MIN_OPSET}",
            )
        ) from problem


def drop_initializer_inputs(model: onnx.ModelProto) -> None:
    """Old files list their weights among the graph's inputs: takes those out, in place."""
    constants = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(kept)
