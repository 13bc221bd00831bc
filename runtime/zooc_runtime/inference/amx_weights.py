"""The same weights with zero point -1, for CPUs with AMX.

ONNX Runtime's convolution with symmetric int8 weights (zero point 0) has kernels of its own, which do not
use AMX; its general one does. `(w - 1) - (-1)` is `w`: taking 1 off every weight and off its zero point
sends a convolution to the general kernel and changes no bit of its result.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..package.protobuf import fields

__all__ = ["move_zero_points"]

# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OPERATOR = 1, 4
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA = 1, 2, 8, 9
_INT8 = 3


def move_zero_points(model: bytes) -> bytes:
    """Return the model with the weights of its int8 convolutions and their zero points less 1 each.

    Depthwise convolutions stay (nothing is summed over channels there), and so does what something else reads
    too, or what holds -128.

    Raises:
        PackageError: the bytes are truncated, or are no ONNX model.
    """
    buffer = bytearray(model)  # fields are views of it: the tensors are changed in place
    tensors: dict[str, memoryview] = {}
    reads: Counter[str] = Counter()
    dequantized: list[list[str]] = []
    for graph in fields(memoryview(buffer)):
        for part in fields(graph.payload) if graph.number == _MODEL_GRAPH else ():
            if part.number == _INITIALIZER:
                name = next(f.payload for f in fields(part.payload) if f.number == _TENSOR_NAME)
                tensors[_text(name)] = part.payload
            elif part.number == _NODE:
                inputs = [_text(f.payload) for f in fields(part.payload) if f.number == _NODE_INPUT]
                operator = next(f.payload for f in fields(part.payload) if f.number == _NODE_OPERATOR)
                reads.update(inputs)
                if _text(operator) == "DequantizeLinear" and len(inputs) == 3:
                    dequantized.append(inputs)
    for weight, _, zero_point in dequantized:
        if weight in tensors and zero_point in tensors and reads[weight] == reads[zero_point] == 1:
            _move(tensors[weight], tensors[zero_point])
    return bytes(buffer)


def _move(weight: memoryview, zero_point: memoryview) -> None:
    levels, zeros = _int8(weight), _int8(zero_point)
    if levels is None or zeros is None or zeros.any() or levels.min() == -128:
        return
    shape = _shape(weight)
    if len(shape) != 4 or shape[1] == 1:
        return
    levels -= 1
    zeros -= 1


def _int8(tensor: memoryview) -> np.ndarray[tuple[int], np.dtype[np.int8]] | None:
    """The values of a tensor, in place; `None` unless int8 and stored raw."""
    parts = {f.number: f.payload for f in fields(tensor)}
    if bytes(parts.get(_DATA_TYPE, b"")) != bytes([_INT8]) or not parts.get(_RAW_DATA):
        return None
    return np.frombuffer(parts[_RAW_DATA], np.int8)


def _shape(tensor: memoryview) -> list[int]:
    """A tensor's dimensions, which protobuf writes one by one or packed."""
    packed = b"".join(bytes(f.payload) for f in fields(tensor) if f.number == _DIMS)
    shape, value, shift = [], 0, 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            shape.append(value)
            value, shift = 0, 0
    return shape


def _text(payload: memoryview) -> str:
    return bytes(payload).decode("utf-8", "replace")
