"""Typed access to the mappings of a build configuration; every mismatch is reported where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from zooc.diagnostics.diagnostic import Diagnostic, Span, error, warning
from zooc.support.limits import MAX_FINDINGS
from zooc.vastai.yaml_tree import Node

__all__ = ["Reading", "Section"]

_NAMES = {
    "dict": "a mapping",
    "list": "a list",
    "str": "a word",
    "bool": "true or false",
    "int": "a whole number",
}


class Reading:
    """Collects the findings of one file."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.sound = True
        """Whether there was no error yet."""

    def error(self, code: str, message: str, span: Span | None, **more: Any) -> None:
        """Record an error."""
        self.sound = False
        self._keep(error(code, message, span, **more))

    def warn(self, code: str, message: str, span: Span | None, **more: Any) -> None:
        """Record a warning."""
        self._keep(warning(code, message, span, **more))

    def _keep(self, finding: Diagnostic) -> None:
        if len(self.diagnostics) < MAX_FINDINGS:
            self.diagnostics.append(finding)


class Section:
    """One mapping of the file, `path` being where it hangs (`backend.quantize`).

    A key that is unknown and nearly a known one is read as that one, with a warning.
    """

    def __init__(self, node: Node, path: str, known: Iterable[str], reading: Reading) -> None:
        self.node = node
        self.path = path
        self.reading = reading
        self.known = tuple(known)
        self._values: dict[str, Node] = dict(node.value)
        self._keys = dict(node.keys)
        self.unknown: list[str] = []
        for key, span in node.keys.items():
            if key not in self.known:
                self._unknown(key, span)

    def _unknown(self, key: str, span: Span) -> None:
        near = get_close_matches(key, [k for k in self.known if k not in self._values], 1, 0.8)
        if not near:
            self.unknown.append(key)
            return
        message = f"unknown key `{self.name(key)}`, read as `{near[0]}`"
        self.reading.warn("Z0803", message, span, hint=f"did you mean `{near[0]}`?")
        self._values[near[0]], self._keys[near[0]] = self._values.pop(key), self._keys.pop(key)

    def name(self, key: str) -> str:
        """Return the key with its path."""
        return f"{self.path}.{key}" if self.path else key

    def node_of(self, key: str) -> Node | None:
        """Return the value; `None` also where the file says null."""
        node = self._values.get(key)
        return None if node is None or node.value is None else node

    def has(self, key: str) -> bool:
        """Tell whether the key is there, be it null."""
        return key in self._values

    def span(self, key: str | None = None) -> Span:
        """Return where the key stands, else the mapping's first key."""
        if key is not None and key in self._keys:
            return self._keys[key]
        return next(iter(self._keys.values()), self.node.span)

    def get(self, key: str, kind: type, *, required: bool = False) -> Any:
        """Return the value of type `kind`, `None` if it is missing or wrong."""
        node = self.node_of(key)
        if node is None:
            if required:
                self.reading.error("Z0802", f"`{self.name(key)}` is missing", self.span(), hint="add it")
            return None
        value = node.value
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if not fits:
            wanted = _NAMES.get(kind.__name__, kind.__name__)
            self.reading.error("Z0802", f"`{self.name(key)}` must be {wanted}, found {node.shown}", node.span)
            return None
        return value

    def section(self, key: str, known: Iterable[str], *, required: bool = False) -> Section | None:
        """Return the mapping under `key`."""
        if self.get(key, dict, required=required) is None:
            return None
        node = self.node_of(key)
        assert node is not None
        return Section(node, self.name(key), known, self.reading)

    def numbers(self, key: str, count: int) -> list[float] | None:
        """Return a list of `count` finite numbers, `None` if it is missing or wrong."""
        items = self.get(key, list)
        if items is None:
            return None
        values = [_number(item) for item in items]
        known = [value for value in values if value is not None and abs(value) < 1e30]
        if len(known) != len(values) or len(known) != count:
            node = self.node_of(key)
            assert node is not None
            message = f"`{self.name(key)}` must be a list of {count} numbers, found {node.shown}"
            self.reading.error("Z0802", message, node.span)
            return None
        return known

    def callback(self) -> Callable[[Diagnostic], None]:
        """Return the function that takes what others find."""
        return self.reading.diagnostics.append


def _number(node: Node) -> float | None:
    value = node.value
    if isinstance(value, str):  # YAML 1.1 takes 1e-3 for a word
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e30 else None
