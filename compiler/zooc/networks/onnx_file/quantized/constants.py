"""Scales and zero points of a quantized file: checked, and brought to one form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.diagnostics.diagnostic import Diagnostic, Span, ZoocError, error
from zooc.ir.graph import DEFAULT_DOMAIN, Constant, Graph, Node, Tensor, maker, shape_of, values_of
from zooc.networks.onnx_file.quantized.steps import given

__all__ = ["PAIR", "check_pairs"]

PAIR = ("QuantizeLinear", "DequantizeLinear")

_MOST_TOLD = 3
_LARGEST = 1e30
_SMALLEST = float(np.finfo(np.float32).tiny)
_LEVELS = (np.dtype(np.uint8), np.dtype(np.int8))
_STORED = (*_LEVELS, np.dtype(np.int32))
_OUTPUT_DTYPES = {0: np.dtype(np.uint8), 2: np.dtype(np.uint8), 3: np.dtype(np.int8)}
"""ONNX's numbers of the types that a QuantizeLinear without zero point may name."""

_SCALE_HINT = (
    "export the network again: a scale is a positive float, of the range of a tensor over 255 levels"
)


class _Unsound(Exception):
    """What is wrong with one node's constants."""

    def __init__(self, message: str, hint: str, code: str = "Z0485") -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code


def check_pairs(graph: Graph, file: str, span: Span | None) -> None:
    """Give every QuantizeLinear and DequantizeLinear both constants in one form, in place.

    The form is: a scale and a zero point without dimensions, or one for each channel and a non-negative
    `axis`; nothing else among the attributes, and the default domain.

    Raises:
        ZoocError: Z0485, the constants of a node are missing, computed, or no scale and zero point; Z0228,
            its integers are of a type that zooc does not take.
    """
    problems: list[Diagnostic] = []
    for node in graph.nodes:
        if node.op not in PAIR:
            continue
        try:
            _check(node)
        except _Unsound as problem:
            message = f"{node.op} {node.name} of {file} {problem.message}"
            problems.append(error(problem.code, message, span, hint=problem.hint))
    if problems:
        more = len(problems) - _MOST_TOLD
        notes = (f"{more} more nodes of the file are refused",) if more > 0 else ()
        told = problems[:_MOST_TOLD]
        raise ZoocError(*told[:-1], replace(told[-1], notes=(*told[-1].notes, *notes)))


def _check(node: Node) -> None:
    if node.attrs.get("block_size", 0):
        hint = "quantize for each tensor or each channel"
        raise _Unsound("has a scale for each block, which engines do not compute in 8 bits", hint, "Z0228")
    scale = _scale(node)
    zero_point = _zero_point(node, scale)
    axis = _axis(node, scale)
    if axis is None:
        scale, zero_point = scale.reshape(()), zero_point.reshape(())
    stored = [_stored(node, position, values) for position, values in ((1, scale), (2, zero_point))]
    node.inputs = [node.inputs[0], *stored]
    node.attrs = {} if axis is None else {"axis": axis}
    node.domain = DEFAULT_DOMAIN[0]


def _scale(node: Node) -> npt.NDArray[Any]:
    tensor = given(node, 1)
    if tensor is None:
        raise _Unsound("has no scale", _SCALE_HINT)
    scale = values_of(tensor)
    if scale is None:
        hint = "quantize statically: the scales of a compiled network are stored in the file"
        raise _Unsound(f"takes its scale from {_origin(tensor)}, and not from the file", hint)
    if scale.dtype.kind in "iub" or not scale.size:
        raise _Unsound(f"has a scale of {scale.size} {scale.dtype} values", _SCALE_HINT)
    numbers = scale.astype(np.float64).reshape(-1)
    bad = numbers[~((numbers >= _SMALLEST) & (numbers <= _LARGEST))]
    if bad.size:
        of_all = f" ({bad.size} of {numbers.size} scales)" if numbers.size > 1 else ""
        raise _Unsound(f"has the scale {bad[0]:g}{of_all}", _SCALE_HINT)
    return scale


def _zero_point(node: Node, scale: npt.NDArray[Any]) -> npt.NDArray[Any]:
    expected = _type_of_levels(node)
    tensor = given(node, 2)
    if tensor is None:
        zero_point: npt.NDArray[Any] | None = np.zeros(scale.shape, expected or np.uint8)
    else:
        zero_point = values_of(tensor)
    if zero_point is None:
        hint = "quantize statically: the zero points of a compiled network are stored in the file"
        raise _Unsound(f"takes its zero point from {_origin(node.inputs[2])}, and not from the file", hint)
    known = _STORED if values_of(node.inputs[0]) is not None and node.op == "DequantizeLinear" else _LEVELS
    if zero_point.dtype not in known:
        hint = "quantize activations to uint8 or int8, weights to int8 or uint8, biases to int32"
        raise _Unsound(f"quantizes to {zero_point.dtype}, which zooc does not take", hint, "Z0228")
    if expected is not None and zero_point.dtype != expected:
        hint = "export the network again: a zero point is a level of the tensor"
        raise _Unsound(f"has a zero point of {zero_point.dtype} for levels of {expected}", hint)
    if zero_point.size != scale.size:
        hint = "export the network again: each scale has one zero point"
        raise _Unsound(f"has {scale.size} scales, but {zero_point.size} zero points", hint)
    return zero_point


def _type_of_levels(node: Node) -> np.dtype[Any] | None:
    """The type of the integers by everything but the zero point; `None` if nothing else tells it."""
    if node.op == "QuantizeLinear":
        number = node.attrs.get("output_dtype", 0)
        if number not in _OUTPUT_DTYPES:
            hint = "quantize activations to uint8 or int8"
            raise _Unsound(f"quantizes to ONNX's type {number}, which zooc does not take", hint, "Z0228")
        return _OUTPUT_DTYPES[number] if number or given(node, 2) is None else None
    levels = node.inputs[0]
    rounding = maker(levels, "QuantizeLinear")
    zero_point = None if rounding is None or given(rounding, 2) is None else values_of(rounding.inputs[2])
    if zero_point is not None:
        return zero_point.dtype
    values = values_of(levels)
    found = levels.dtype if values is None else values.dtype
    return None if found is None else np.dtype(found)


def _axis(node: Node, scale: npt.NDArray[Any]) -> int | None:
    """The axis of the channels, `None` for one scale of the whole tensor."""
    if scale.size == 1:
        return None
    shape, axis = shape_of(node.inputs[0]), node.attrs.get("axis", 1)
    if scale.ndim != 1:
        hint = "quantize for each tensor or each channel"
        raise _Unsound(f"has scales of shape {list(scale.shape)}", hint, "Z0228")
    if shape is None:
        return int(axis)
    if not -len(shape) <= axis < len(shape) or shape[axis] not in (None, scale.size):
        hint = "export the network again: there is one scale for each channel along `axis`"
        raise _Unsound(f"has {scale.size} scales along axis {axis} of shape {list(shape)}", hint)
    return int(axis % len(shape))


def _stored(node: Node, position: int, values: npt.NDArray[Any]) -> Constant:
    """The constant as it is, or a new one where the form differs."""
    tensor = given(node, position)
    if isinstance(tensor, Constant) and tuple(tensor.shape) == values.shape:
        return tensor
    name = ("scale", "zero_point")[position - 1]
    return Constant(f"{node.name}/{name}", values)


def _origin(tensor: Tensor) -> str:
    before = maker(tensor)
    return f"{before.op} {before.name}" if before is not None else f"the input {tensor.name}"
