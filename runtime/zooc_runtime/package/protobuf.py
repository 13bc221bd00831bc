"""Protobuf's wire format, as much as cutting an ONNX file takes: a message's fields, nothing copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..errors import PackageError

__all__ = ["ProtoField", "encode_bytes_field", "fields"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class ProtoField(NamedTuple):
    """One field: its number, the whole of it with its key, and its payload (a varint's is its bytes)."""

    number: int
    whole: memoryview
    payload: memoryview


def fields(message: memoryview) -> Iterator[ProtoField]:
    """Yield the fields of a message in the order written.

    Raises:
        PackageError: the bytes end within a field, or are no protobuf message.
    """
    position, end = 0, len(message)
    while position < end:
        start = position
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _BYTES:
            length, begin = _varint(message, position)
        elif kind == _VARINT:
            begin = position
            length = _varint(message, position)[1] - position
        elif kind in (_FIXED32, _FIXED64):
            begin, length = position, 4 if kind == _FIXED32 else 8
        else:
            raise _broken()
        position = begin + length
        if position > end or key < 8:
            raise _broken()
        yield ProtoField(key >> 3, message[start:position], message[begin:position])


def encode_bytes_field(number: int, parts: list[memoryview | bytes]) -> list[memoryview | bytes]:
    """Return a length-delimited field holding the concatenation of `parts`, still in parts."""
    length = sum(len(part) for part in parts)
    return [_encode_varint(number << 3 | _BYTES) + _encode_varint(length), *parts]


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise _broken()
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _broken()


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _broken() -> PackageError:
    return PackageError(
        "the model is truncated or is not an ONNX file; reinstall or compile the package again"
    )
