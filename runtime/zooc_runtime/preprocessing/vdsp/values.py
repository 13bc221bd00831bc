"""Typed values out of a vdsp_params file; every mismatch is recorded where it stands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from .keys import KEYS

__all__ = ["Fault", "JsonError", "Located", "Reading", "position", "read_json"]

_LARGEST = 8192


@dataclass(frozen=True)
class Fault:
    """What is wrong in the text at `[start, end)`; `unsupported` where only we cannot do what it says."""

    start: int
    end: int
    message: str
    hint: str | None = None
    unsupported: bool = False


class Reading:
    """The document, its `OpConfig` once known, and what was found on the way.

    Methods give `None` after a fault, which is then recorded.
    """

    def __init__(self, document: Located, defaults: Mapping[str, int]) -> None:
        self.document = document
        self.defaults = defaults
        self.faults: list[Fault] = []
        self.assumed: list[str] = []
        self.unused: list[str] = []
        self.config = Located({}, document.start, document.start + 1)

    def places(self) -> dict[str, tuple[int, int]]:
        """Where each key's value stands."""
        objects = [o for o in (self.document, self.config) if isinstance(o.value, dict)]
        return {key: (item.start, item.end) for o in objects for key, item in o.value.items()}

    def fault(
        self,
        place: tuple[int, int] | Located,
        message: str,
        hint: str | None = None,
        *,
        unsupported: bool = False,
    ) -> None:
        """Records a fault."""
        start, end = (place.start, place.end) if isinstance(place, Located) else place
        self.faults.append(Fault(start, end, message, hint, unsupported))

    def required(self, key: str) -> Located | None:
        """The value of `key`; a fault when it is missing."""
        found: Located | None = self.config.value.get(key)
        if found is None:
            misspelt = get_close_matches(key, [k for k in self.config.keys if k not in KEYS], 1, 0.7)
            if not misspelt:  # else the unknown key is a fault already
                start = self.config.start
                place = self.document.keys.get("OpConfig", (start, start + 1))
                self.fault(place, f"{key} is missing", "add it")
        return found

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> str | None:
        """One of the words `known`."""
        if default is not None and key not in self.config.value:
            return default
        found = self.required(key)
        if found is None:
            return None
        if found.value not in known:
            near = get_close_matches(str(found.value), known, 1, 0.5)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
            self.fault(found, f"{key} {json.dumps(found.plain())} is unknown", hint)
            return None
        return str(found.value)

    def integer(self, key: str, least: int = 1) -> int | None:
        """A whole number of at least `least`; a missing one may have a default."""
        if key not in self.config.value and key in self.defaults:
            self.assumed.append(key)
            return self.defaults[key]
        found = self.required(key)
        if found is None:
            return None
        value = found.value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
            wanted = f"a whole number from {least} to {_LARGEST} is wanted"
            self.fault(found, f"{key} is {json.dumps(found.plain())}; {wanted}")
            return None
        return value

    def integers(self, *keys: str, least: int = 1) -> list[int] | None:
        """Several whole numbers, or `None` when one is missing or wrong."""
        values = [self.integer(key, least) for key in keys]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None

    def triple(self, key: str) -> tuple[float, float, float] | None:
        """Three finite numbers."""
        found = self.required(key)
        if found is None:
            return None
        items = found.value if isinstance(found.value, list) else [found]
        numbers = [item.value for item in items]
        if len(items) != 3 or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in numbers):
            self.fault(found, f"{key} is {json.dumps(found.plain())}; three numbers are wanted")
            return None
        for item in items:
            if abs(item.value) > 1e30 or not math.isfinite(item.value):
                self.fault(item, f"{key} holds a number that is far too large")
                return None
        return float(numbers[0]), float(numbers[1]), float(numbers[2])


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
