"""The protocol's tensors: from JSON or binary data to arrays, and back.

The binary form is Triton's binary tensor data extension: numbers in row-major order, little-endian; each
element of `BYTES` behind its length as an unsigned integer of 4 bytes.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from ..support.arrays import AnyArray
from .limits import Refusal

__all__ = ["bytes_of_binary", "bytes_of_json", "numbers_of_binary", "numbers_of_json", "to_binary"]

_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype(np.uint8), "FP32": np.dtype("<f4")}


def bytes_of_binary(data: memoryview, count: int, name: str) -> list[bytes]:
    """Return the elements of a `BYTES` tensor.

    Raises:
        Refusal: lengths that do not fit the data.
    """
    elements: list[bytes] = []
    at = 0
    while at < len(data) and len(elements) < count:
        if at + 4 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if length > len(data) - at:
            raise Refusal(
                400,
                f'input "{name}": element {len(elements)} says it has {length} bytes, but '
                f"{len(data) - at} are left; each element stands behind its length, 4 bytes little-endian",
            )
        elements.append(bytes(data[at : at + length]))
        at += length
    if len(elements) != count or at != len(data):
        raise Refusal(
            400,
            f'input "{name}": {len(data)} bytes do not hold the {count} elements of its shape; '
            "each stands behind its length, 4 bytes little-endian",
        )
    return elements


def bytes_of_json(data: Any, count: int, name: str) -> list[bytes]:
    """Return the elements of a `BYTES` tensor whose JSON strings are base64.

    Raises:
        Refusal: other than `count` strings of base64.
    """
    strings = _flat(data)
    if len(strings) != count or not all(isinstance(text, str) for text in strings):
        raise Refusal(400, f'input "{name}": its data is not a list of {count} strings, as its shape says')
    try:
        return [base64.b64decode(text, validate=True) for text in strings]
    except (binascii.Error, ValueError):
        raise Refusal(
            400,
            f'input "{name}": a string is not base64; JSON carries files as base64, '
            "the binary extension as they are",
        ) from None


def numbers_of_binary(data: memoryview, datatype: str, shape: tuple[int, ...], name: str) -> AnyArray:
    """Return the array, a view of `data`.

    Raises:
        Refusal: another number of bytes, or numbers that are not finite.
    """
    dtype = _DTYPES[datatype]
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise Refusal(
            400,
            f'input "{name}": {datatype} {list(shape)} has {expected} bytes, but {len(data)} are given',
        )
    return _finite(np.frombuffer(data, dtype).reshape(shape), name)


def numbers_of_json(data: Any, datatype: str, shape: tuple[int, ...], name: str) -> AnyArray:
    """Return the array of a list of numbers, flat or nested as its shape is.

    Raises:
        Refusal: no numbers, others than the datatype has, or another count of them than `shape` says.
    """
    wanted = "whole numbers from 0 to 255" if datatype == "UINT8" else "numbers"
    refusal = Refusal(400, f'input "{name}": its data is not a list of {wanted}, as {datatype} needs')
    flat = _flattened(data)
    if not set(map(type, flat)) <= ({int} if datatype == "UINT8" else {int, float}):
        raise refusal
    try:
        given = np.array(flat, np.int64 if datatype == "UINT8" else np.float64)
    except OverflowError:
        raise refusal from None
    if given.size != math.prod(shape):
        raise Refusal(
            400,
            f'input "{name}": {datatype} {list(shape)} has {math.prod(shape)} numbers, '
            f"but {given.size} are given",
        )
    if datatype == "UINT8" and given.size and (given.min() < 0 or given.max() > 255):
        raise refusal
    with np.errstate(over="ignore"):
        return _finite(given.astype(_DTYPES[datatype]).reshape(shape), name)


def to_binary(values: AnyArray | Iterable[bytes]) -> bytes:
    """Return the binary form of `float32` numbers, or of the elements of a `BYTES` tensor."""
    if isinstance(values, np.ndarray):
        return values.astype("<f4", copy=False).tobytes()
    return b"".join(struct.pack("<I", len(element)) + element for element in values)


def _flattened(data: Any) -> list[Any]:
    """The entries of a list that may be nested as a tensor of at most five dimensions is."""
    flat = data if isinstance(data, list) else [data]
    for _ in range(4):
        if set(map(type, flat)) != {list}:
            break
        flat = list(chain.from_iterable(flat))
    return flat


def _flat(data: Any) -> list[Any]:
    """A list, or the lists of one element in it, `[["a"], ["b"]]` for a shape `[2, 1]`."""
    if not isinstance(data, list):
        return []
    return [one[0] if isinstance(one, list) and len(one) == 1 else one for one in data]


def _finite(array: AnyArray, name: str) -> AnyArray:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Refusal(400, f'input "{name}": it has numbers that are infinite, not a number, or beyond FP32')
    return array
