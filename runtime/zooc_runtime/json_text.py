"""Reads JSON and keeps the place of every value and key, for messages that name line and column.

Stricter than the standard library's reader: `NaN`, `Infinity` and repeated keys are mistakes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["JsonError", "Located", "position", "read_json"]

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"-?[A-Za-z_][\w.]*")
_CONSTANTS = {"true": True, "false": False, "null": None}
_DEEPEST = 40


@dataclass(frozen=True)
class Located:
    """A value and where it stands in the text, `[start, end)`.

    Attributes:
        value: a string, number, bool or `None`; a list of `Located`; or a dict of them.
        keys: of an object, where each key stands.
    """

    value: Any
    start: int
    end: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    def plain(self) -> Any:
        """The value without places."""
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
    """Line and column of a character, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def read_json(text: str) -> Located:
    """The whole text as one value.

    Raises:
        JsonError: it is not JSON, with the first place that is wrong.
    """
    reader = _Reader(text)
    value = reader.value(0)
    reader.blank()
    if reader.at < len(text):
        raise JsonError("not JSON: something follows the end", reader.at, len(text), "delete it")
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def blank(self) -> None:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def wrong(self, wanted: str, hint: str | None = None) -> JsonError:
        if self.at >= len(self.text):
            return JsonError(f"not JSON: {wanted} is wanted, but the text ends", self.at, self.at, hint)
        word = _WORD.match(self.text, self.at)
        end = word.end() if word else self.at + 1
        found = self.text[self.at : end]
        shown = found if found.isprintable() else f"U+{ord(found[0]):04X}"
        return JsonError(f"not JSON: {wanted} is wanted, not {shown}", self.at, end, hint)

    def value(self, depth: int) -> Located:
        if depth > _DEEPEST:
            raise JsonError(f"nested more than {_DEEPEST} deep", self.at, self.at + 1)
        self.blank()
        start = self.at
        first = self.text[start : start + 1]
        if first == "{":
            return self.object(depth)
        if first == "[":
            return self.list(depth)
        if first == '"':
            return self.string()
        if number := _NUMBER.match(self.text, start):
            self.at = number.end()
            whole = not number[1] and not number[2]
            if len(number[0]) > 400:
                raise JsonError("a number of more than 400 digits", start, self.at)
            return Located(int(number[0]) if whole else float(number[0]), start, self.at)
        word = _WORD.match(self.text, start)
        if word and word[0] in _CONSTANTS:
            self.at = word.end()
            return Located(_CONSTANTS[word[0]], start, self.at)
        if word and word[0].lstrip("-").lower() in ("nan", "infinity", "inf"):
            raise JsonError(f"{word[0]} is not JSON", start, word.end(), "write a finite number")
        raise self.wrong("a value")

    def string(self) -> Located:
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise JsonError("not JSON: a string without end", self.at, self.at + 1, 'close it with `"`')
        start, self.at = self.at, found.end()
        try:
            return Located(json.loads(found[0]), start, self.at)
        except json.JSONDecodeError as error:
            raise JsonError(f"not JSON: {error.msg}", start, self.at) from None

    def list(self, depth: int) -> Located:
        start = self.at
        self.at += 1
        items: list[Located] = []
        self.blank()
        while not self.take("]"):
            items.append(self.value(depth + 1))
            self.separate("]", "list")
        return Located(items, start, self.at)

    def object(self, depth: int) -> Located:
        start = self.at
        self.at += 1
        values: dict[str, Located] = {}
        keys: dict[str, tuple[int, int]] = {}
        self.blank()
        while not self.take("}"):
            if self.text[self.at : self.at + 1] != '"':
                raise self.wrong('a key in `"`')
            key = self.string()
            if key.value in keys:
                line, column = position(self.text, keys[key.value][0])
                raise JsonError(
                    f'the key "{key.value}" is given twice (first in line {line}, column {column})',
                    key.start,
                    key.end,
                    "delete one of the two",
                )
            keys[key.value] = (key.start, key.end)
            self.blank()
            if not self.take(":"):
                raise self.wrong("`:`")
            values[key.value] = self.value(depth + 1)
            self.separate("}", "object")
        return Located(values, start, self.at, keys)

    def take(self, char: str) -> bool:
        if self.text[self.at : self.at + 1] != char:
            return False
        self.at += 1
        return True

    def separate(self, close: str, what: str) -> None:
        """After an item: a comma and another one, or the end."""
        self.blank()
        comma = self.at
        if self.take(","):
            self.blank()
            if self.text[self.at : self.at + 1] == close:
                raise JsonError(
                    f"not JSON: a comma before the end of the {what}", comma, comma + 1, "delete it"
                )
        elif self.text[self.at : self.at + 1] != close:
            raise self.wrong(f"`,` or `{close}`")
