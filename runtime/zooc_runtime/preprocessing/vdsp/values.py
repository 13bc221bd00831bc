"""Typed values out of a vdsp_params file; every mismatch is recorded where it stands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from .keys import KEYS
from .placed_json import Placed

__all__ = ["ConfigReader", "Fault"]

_LARGEST = 8192


@dataclass(frozen=True)
class Fault:
    """What is wrong in the text at `[start, end)`; `unsupported` where only we cannot do what it says."""

    start: int
    end: int
    message: str
    hint: str | None = None
    unsupported: bool = False


class ConfigReader:
    """The document, its `OpConfig` once known, and what was found on the way.

    Methods give `None` after a fault, which is then recorded.
    """

    def __init__(self, document: Placed, defaults: Mapping[str, int]) -> None:
        self.document = document
        self.defaults = defaults
        self.faults: list[Fault] = []
        self.assumed: list[str] = []
        self.unused: list[str] = []
        self.config = Placed({}, document.start, document.start + 1)

    def places(self) -> dict[str, tuple[int, int]]:
        """Return where each key's value stands."""
        objects = [o for o in (self.document, self.config) if isinstance(o.value, dict)]
        return {key: (item.start, item.end) for o in objects for key, item in o.value.items()}

    def fault(
        self,
        place: tuple[int, int] | Placed,
        message: str,
        hint: str | None = None,
        *,
        unsupported: bool = False,
    ) -> None:
        """Record a fault."""
        start, end = (place.start, place.end) if isinstance(place, Placed) else place
        self.faults.append(Fault(start, end, message, hint, unsupported))

    def required(self, key: str) -> Placed | None:
        """Return the value of `key`; a fault when it is missing."""
        found: Placed | None = self.config.value.get(key)
        if found is None:
            misspelt = get_close_matches(key, [k for k in self.config.keys if k not in KEYS], 1, 0.7)
            if not misspelt:  # else the unknown key is a fault already
                start = self.config.start
                place = self.document.keys.get("OpConfig", (start, start + 1))
                self.fault(place, f"{key} is missing", "add it")
        return found

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> str | None:
        """Return one of the words `known`."""
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
        """Return a whole number of at least `least`; a missing one may have a default."""
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
        """Return several whole numbers, or `None` when one is missing or wrong."""
        values = [self.integer(key, least) for key in keys]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None

    def triple(self, key: str) -> tuple[float, float, float] | None:
        """Return three finite numbers."""
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
