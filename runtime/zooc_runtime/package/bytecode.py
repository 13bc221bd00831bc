"""Byte code in `__pycache__`, held to the source beside it, without running or unmarshalling any of it.

Python runs a `.pyc` file in place of its source if a time and a size in it match, or without asking at all
(PEP 552): one that was planted replaces a source that nobody has touched. Here the source is compiled again,
and both are read as marshal writes them (CPython's `Python/marshal.c`, versions 4 and 5), because
`marshal.loads` is not made for data from strangers. Only the name of the source's file may differ.
"""

from __future__ import annotations

import importlib.util
import marshal
import re
import sys
import warnings
from pathlib import Path
from typing import Any

__all__ = ["complaint_about", "is_bytecode"]

_HEADER = 16
_NAME = re.compile(r"(?P<module>[^.]+)\.(?P<tag>[^.]+)(?:\.opt-(?P<level>[12]))?\.pyc")
_REFERENCED = 0x80
_FIXED = {b"i": 4, b"g": 8, b"y": 16}
_CODE_NUMBERS, _FILE_NAME, _TABLES = (5, 5, 2) if sys.version_info >= (3, 11) else (6, 6, 1)
"""Of a code object: numbers in front, the place of the file's name in its eight parts, tables at the end."""


def is_bytecode(name: str) -> bool:
    """Tell whether a file, by its relative POSIX path, is byte code as Python itself writes it."""
    return name.endswith(".pyc") and name.split("/")[-2:-1] == ["__pycache__"]


def complaint_about(path: Path) -> str | None:
    """Return what is wrong with a file of byte code, `None` where it is what its source gives.

    Args:
        path: `FOLDER/__pycache__/MODULE.TAG.pyc`, whose source `FOLDER/MODULE.py` is trusted already.
    """
    name = _NAME.fullmatch(path.name)
    source = path.parent.parent / f"{name['module']}.py" if name else None
    if name is None or source is None or not source.is_file():
        return "byte code without its source"
    if name["tag"] != sys.implementation.cache_tag or sys.implementation.name != "cpython":
        return f"byte code of another Python ({name['tag']}), which this one cannot check"
    try:
        data = path.read_bytes()
        if data[:4] != importlib.util.MAGIC_NUMBER:
            return "byte code of another version of this Python, which this one cannot check"
        same = _tree(data[_HEADER:]) == _compiled(source, int(name["level"] or 0))
    except OSError as error:
        return f"byte code that cannot be read ({error.strerror})"
    except (ValueError, IndexError, RecursionError):
        same = False
    return None if same else "byte code that is not of the source beside it"


def _compiled(source: Path, level: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = compile(source.read_bytes(), source.name, "exec", dont_inherit=True, optimize=level)
    return _tree(marshal.dumps(code))


def _tree(data: bytes) -> Any:
    """The one object in the data; nothing may follow it."""
    reader = _Reader(data)
    tree = reader.read()
    if reader.place != len(data):
        raise ValueError("more than one object")
    return tree


class _Reader:
    """Reads marshal's format into trees: pairs of kind and bytes, and lists that begin with their kind.

    How often an object is referred to, and whether a text is interned, depends on what else a process has
    done; neither is part of a tree.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0
        self.known: list[Any] = []

    def read(self) -> Any:
        """The next object.

        Raises:
            ValueError: it is none that compiled source has.
            IndexError: a reference to nothing.
            RecursionError: objects in objects without end.
        """
        mark = self._bytes(1)[0]
        kind, index = bytes([mark & ~_REFERENCED]), len(self.known)
        if kind == b"r":
            return self.known[self._number(4)]
        if mark & _REFERENCED:
            self.known.append(None)
        found = self._object(kind)
        if mark & _REFERENCED:
            self.known[index] = found
        return found

    def _object(self, kind: bytes) -> Any:  # noqa: PLR0911 - a return a kind
        if kind in b"NTF.S":
            return kind, b""
        if kind in _FIXED:
            return kind, self._bytes(_FIXED[kind])
        if kind == b"l":
            size = self._bytes(4)
            return kind, size + self._bytes(2 * abs(int.from_bytes(size, "little", signed=True)))
        if kind == b"s":
            return kind, self._bytes(self._number(4))
        if kind in b"aAutzZ":
            return b"u", self._bytes(self._number(1 if kind in b"zZ" else 4))
        if kind in b"()":
            return [b"(", *(self.read() for _ in range(self._number(1 if kind == b")" else 4)))]
        if kind == b">":
            return self._unordered([self.read() for _ in range(self._number(4))])
        if kind == b":":
            return [kind, self.read(), self.read(), self.read()]
        if kind == b"c":
            return self._code()
        raise ValueError(f"an object of kind {kind!r}")

    def _code(self) -> Any:
        numbers = self._bytes(4 * _CODE_NUMBERS)
        parts = [self.read() for _ in range(8)]
        del parts[_FILE_NAME]
        line = self._bytes(4)
        return [b"c", numbers, line, *parts, *(self.read() for _ in range(_TABLES))]

    def _unordered(self, members: list[Any]) -> Any:
        try:
            return [b">", frozenset(members)]  # Python 3.10 writes them in the order of their hashes
        except TypeError:
            return [b">", *members]

    def _number(self, size: int) -> int:
        return int.from_bytes(self._bytes(size), "little")

    def _bytes(self, size: int) -> bytes:
        found = self.data[self.place : self.place + size]
        if len(found) != size:
            raise ValueError("the data ends too soon")
        self.place += size
        return found
