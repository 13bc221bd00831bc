"""Messages in protobuf's text format, as far as a Triton `config.pbtxt` needs it.

The format: https://protobuf.dev/reference/protobuf/textformat-spec/. Strings are written in ASCII, every
other byte of their UTF-8 as an octal escape, so that no text can leave its quotes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["Enum", "Message", "pbtxt"]


class Enum(str):
    """The name of an enumeration's value, which stands without quotes."""

    __slots__ = ()


Message: TypeAlias = Mapping[str, Any]
"""Fields in order: numbers, texts, messages, and lists of numbers or messages, which are repeated fields.

A map is a list of messages with `key` and `value`.
"""


def pbtxt(message: Message) -> str:
    """Return the message as text, a field a line."""
    return "".join(f"{line}\n" for line in _lines(message))


def _lines(message: Message) -> Iterator[str]:
    for field, value in message.items():
        if isinstance(value, Mapping):
            yield from _block(field, value)
        elif isinstance(value, (str, int)):
            yield f"{field}: {_scalar(value)}"
        elif all(isinstance(one, int) for one in value):
            yield f"{field}: [ {', '.join(str(one) for one in value)} ]"
        else:
            for one in value:
                yield from _block(field, one)


def _block(field: str, message: Message) -> Iterator[str]:
    yield f"{field} {{"
    yield from (f"  {line}" for line in _lines(message))
    yield "}"


def _scalar(value: str | int) -> str:
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(text: str) -> str:
    return '"' + "".join(_escaped(byte) for byte in text.encode("utf-8", "replace")) + '"'


def _escaped(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and byte not in b"\"'\\"
    return chr(byte) if plain else f"\\{byte:03o}"
