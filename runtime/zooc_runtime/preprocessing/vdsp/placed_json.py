"""JSON with the place of every value: the standard library's scanner, its results wrapped on their way."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from json.decoder import JSONArray, JSONObject  # type: ignore[attr-defined]
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any

__all__ = ["JsonError", "Placed", "position", "read_json"]

_DEEPEST = 40
_LONGEST_NUMBER = 400
_WORDS = {
    "Expecting value": "a value is wanted",
    "Expecting property name": 'a key in `"` is wanted',
    "Expecting ':'": "`:` is wanted",
    "Expecting ','": "`,` or the end is wanted",
}
"""What the decoder misses, by how its messages begin."""
_FOUND = re.compile(r"-?[A-Za-z_][\w.]*|.", re.DOTALL)
_TRAILING_COMMA = re.compile(r",[ \t\r\n]*([}\]])")
_NOT_FINITE = re.compile(r"-?(?:nan|inf|infinity)\b", re.IGNORECASE)
_OPEN_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*\Z')


@dataclass(frozen=True)
class Placed:
    """A value and where it stands in the text, `[start, end)`.

    Attributes:
        value: a string, number, bool or `None`; a list of `Placed`; or a dict of them.
        keys: of an object, where each key stands.
    """

    value: Any
    start: int
    end: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value


class JsonError(Exception):
    """Why a text is no JSON: what and where, and the remedy if there is one."""

    def __init__(self, message: str, start: int, end: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.start, self.end, self.hint = message, start, end, hint


def position(text: str, offset: int) -> tuple[int, int]:
    """Return the line and column of a character, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def read_json(text: str) -> Placed:
    """Return the whole text as one value.

    Raises:
        JsonError: it is not JSON, with the first place that is wrong.
    """
    start = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        value, end = _Decoder().placed(text, start)
    except json.JSONDecodeError as error:
        raise _in_words(text, error.pos, error.msg) from None
    except StopIteration as stop:
        raise _in_words(text, stop.value, "Expecting value") from None
    if rest := text[end:].lstrip(" \t\r\n"):
        raise JsonError("not JSON: something follows the end", len(text) - len(rest), len(text), "delete it")
    return value


def _in_words(text: str, at: int, said: str) -> JsonError:
    """The decoder's message in ours; from Python 3.13 on it finds a trailing comma by itself."""
    comma = at if said.startswith("Illegal trailing comma") else len(text[:at].rstrip(" \t\r\n")) - 1
    if comma > 0 and (trailing := _TRAILING_COMMA.match(text, comma)):
        what = "object" if trailing[1] == "}" else "list"
        return JsonError(f"not JSON: a comma before the end of the {what}", comma, comma + 1, "delete it")
    if said.startswith("Invalid control character") and (string := _OPEN_STRING.search(text, 0, at)):
        at, said = string.start(), "Unterminated string"
    if said.startswith("Unterminated string"):
        return JsonError("not JSON: a string without end", at, at + 1, 'close it with `"`')
    if said == "Expecting value" and (number := _NOT_FINITE.match(text, at)):
        return JsonError(f"{number[0]} is not JSON", at, number.end(), "write a finite number")
    for beginning, wanted in _WORDS.items():
        if said.startswith(beginning):
            return _missing(text, at, wanted)
    return JsonError(f"not JSON: {said}", at, at + 1)


def _missing(text: str, at: int, wanted: str) -> JsonError:
    found = _FOUND.match(text, at)
    if found is None:
        return JsonError(f"not JSON: {wanted}, but the text ends", at, at)
    shown = found[0] if found[0].isprintable() else f"U+{ord(found[0][0]):04X}"
    return JsonError(f"not JSON: {wanted}, not {shown}", at, found.end())


class _Decoder(json.JSONDecoder):
    """Scans with `placed` in place of the scanner's own call for nested values."""

    def __init__(self) -> None:
        super().__init__(parse_int=_integer, parse_constant=_refuse)
        self._depth = 0
        self.parse_array = lambda at, *_: JSONArray(at, self.placed)
        self.parse_object = lambda at, strict, _scan, _hook, _pairs, memo: JSONObject(
            at, strict, self.placed, None, list, memo
        )
        self._scan = py_make_scanner(self)

    def placed(self, text: str, start: int) -> tuple[Placed, int]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise JsonError(f"nested more than {_DEEPEST} deep", start, start + 1)
        try:
            value, end = self._scan(text, start)
        except ValueError as error:
            if isinstance(error, json.JSONDecodeError):
                raise
            word = str(error).partition(" ")[0]
            raise JsonError(str(error), start, start + len(word), "write a finite number") from None
        self._depth -= 1
        if text[start] == "{":
            return _object(text, value, start, end), end
        return Placed(value, start, end), end


def _object(text: str, pairs: list[tuple[str, Placed]], start: int, end: int) -> Placed:
    keys: dict[str, tuple[int, int]] = {}
    previous = start + 1
    for key, item in pairs:
        begin = text.index('"', previous)
        place = begin, text.rindex('"', begin + 1, item.start) + 1
        if key in keys:
            line, column = position(text, keys[key][0])
            message = f'the key "{key}" is given twice (first in line {line}, column {column})'
            raise JsonError(message, *place, "delete one of the two")
        keys[key] = place
        previous = item.end
    return Placed(dict(pairs), start, end, keys)


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number of more than {_LONGEST_NUMBER} digits")
    return int(digits)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
