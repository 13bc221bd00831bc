"""Measured placement as text: what was measured, then a line for each layer that stays in float.

    zooc-placement 1
    network  digits 3d1f...
    zooc     0.9.0
    cpu      "Intel(R) Xeon(R) Processor"
    cores    2
    goal     latency
    clock    wall
    engine   onnxruntime 1.32.0 1.207

    # activations: 1.11 times as fast
    float    stem/Sigmoid

The last column of `engine` is by how much the network is faster so than by the compiler's rules, in time of
the clock on the wall, or in CPU time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import Diagnostic, Label, SourceFile, Span, ZoocError, error, warning
from zooc.diagnostics.suggest import did_you_mean
from zooc.ir.graph import read_graph
from zooc.ir.structure import structure_sha256
from zooc.support.columns import quoted, table_rows, unquoted
from zooc_runtime.inference.cpu import cpu_name
from zooc_runtime.inference.engines import ENGINES, installed_engines
from zooc_runtime.inference.settings import HINTS

__all__ = [
    "BEGINS",
    "EXISTS",
    "MeasuredIn",
    "MeasuredPlacement",
    "format_placement",
    "read_placement",
    "require_rules",
]

EXISTS = "Z0430"
"""The code for a table that `tune` would replace."""

_MAGIC, _VERSION = "zooc-placement", "1"

BEGINS = _MAGIC.encode()
"""What every table begins with."""

_COLUMNS = {"network": 2, "zooc": 1, "cpu": 1, "cores": 1, "goal": 1, "clock": 1, "engine": 3, "float": 1}
"""How many values stand behind each word."""

_CLOCKS = ("wall", "cpu")

_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class MeasuredIn:
    """An engine that was timed; `speedup`: time by the compiler's rules over time with the table."""

    engine: str
    version: str
    speedup: float

    def in_words(self) -> str:
        """Return it for a sentence."""
        return f"{self.speedup:.2f} times as fast in {self.engine} {self.version}"


@dataclass(frozen=True, slots=True)
class MeasuredPlacement:
    """Which layers stay in float because that was measured to be faster.

    Attributes:
        name: of the package whose network was measured.
        network: `structure_sha256` of its body as it is quantized.
        zooc: the compiler's version.
        cpu, cores: the machine.
        goal: one of `HINTS`.
        clock: `wall` or `cpu`: seconds that pass, or those that the process computes.
        engines: at least one.
        layers: names of nodes, in network order.
        notes: for some of them, what is written above.
        places: where they stand in a table that was read.
    """

    name: str
    network: str
    zooc: str
    cpu: str
    cores: int
    goal: str
    clock: str
    engines: tuple[MeasuredIn, ...]
    layers: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict, compare=False)
    places: Mapping[str, Span] = field(default_factory=dict, compare=False, repr=False)

    def in_words(self) -> str:
        """Return one line for summary and report."""
        measured = f"placement measured for {self.goal}"
        if not self.layers:
            return f"{measured}: the rules' is the fastest"
        count = f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)} in float"
        time = " (CPU time)" if self.clock == "cpu" else ""
        return f"{measured}: {count}, {', '.join(e.in_words() for e in self.engines)} as by the rules{time}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for manifests and `--format json`."""
        return {
            "network": self.network,
            "zooc": self.zooc,
            "cpu": self.cpu,
            "cores": self.cores,
            "goal": self.goal,
            "clock": self.clock,
            "engines": {
                one.engine: {"version": one.version, "speedup": round(one.speedup, 3)} for one in self.engines
            },
            "float": list(self.layers),
        }

    def check(self, origin: Path, name: str, body: onnx.ModelProto) -> list[Diagnostic]:
        """Hold the table against a network; return warnings.

        Args:
            origin: its file, for messages.
            name: of the package that is compiled.
            body: float, as it is quantized.

        Raises:
            ZoocError: Z0433, it is of another network; Z0434, it names nodes that there are not.
        """
        here = structure_sha256(body)
        if here != self.network:
            raise ZoocError(
                error(
                    "Z0433",
                    f"{origin} was measured on another network",
                    notes=(
                        f"there: {self.name}, structure {self.network[:16]}...",
                        f"here: {name}, structure {here[:16]}...",
                    ),
                    hint="measure this one: zooc tune FILE.zoo -o NAME.placement",
                )
            )
        known = {node.name for node in read_graph(body).nodes}
        strangers = [layer for layer in self.layers if layer not in known]
        if strangers:
            raise ZoocError(*(self._unknown(layer, known) for layer in strangers[:_MOST_NAMED]))
        return self._elsewhere(origin)

    def _unknown(self, layer: str, known: set[str]) -> Diagnostic:
        hint = did_you_mean(layer, sorted(known)) or "delete the line"
        return error("Z0434", f'the network has no node "{layer}"', self.places.get(layer), hint=hint)

    def _elsewhere(self, origin: Path) -> list[Diagnostic]:
        """A warning where this machine is not the one that was measured."""
        installed = installed_engines([one.engine for one in self.engines])
        notes = [
            f"{one.engine} {one.version} there, {installed[one.engine]} here"
            for one in self.engines
            if installed.get(one.engine, one.version) != one.version
        ]
        if self.cpu != cpu_name():
            notes.append(f"{self.cpu} there, {cpu_name()} here")
        if not notes:
            return []
        hint = "if the package is to run here, measure again; otherwise all is well"
        return [warning("Z0435", f"{origin} was measured elsewhere", notes=tuple(notes), hint=hint)]


def format_placement(placement: MeasuredPlacement) -> str:
    """Return the table as text; the same placement gives the same text."""
    engines = [[e.engine, quoted(e.version), f"{e.speedup:.3f}"] for e in placement.engines]
    head: list[tuple[str, list[str]]] = [
        ("network", [quoted(placement.name), placement.network]),
        ("zooc", [quoted(placement.zooc)]),
        ("cpu", [quoted(placement.cpu)]),
        ("cores", [str(placement.cores)]),
        ("goal", [placement.goal]),
        ("clock", [placement.clock]),
        *(("engine", columns) for columns in engines),
    ]
    lines = [f"{_MAGIC} {_VERSION}", *(f"{word:<8} {' '.join(columns)}" for word, columns in head)]
    note = ""
    for layer in placement.layers:
        if (above := placement.notes.get(layer, "")) != note:
            lines += ["", f"# {above}"]
        note = above
        lines.append(f"{'float':<8} {quoted(layer)}")
    return "\n".join(lines) + "\n"


def read_placement(path: Path) -> MeasuredPlacement:
    """Read a table.

    Raises:
        ZoocError: Z0431, the file is none; Z0432, one for each malformed line.
    """
    source = _read(path)
    found: dict[str, list[list[str]]] = {word: [] for word in _COLUMNS}
    places: dict[str, Span] = {}
    problems: list[Diagnostic] = []
    rows = list(table_rows(source))
    head = [column.text for column in rows[0]] if rows else []
    if head[:1] != [_MAGIC]:
        raise _unusable(path, f'it does not begin with "{_MAGIC} {_VERSION}"')
    if head[1:] != [_VERSION]:
        raise _unusable(path, f"it is of version {' '.join(head[1:]) or 'none'}, this zooc reads {_VERSION}")
    for row in rows[1:]:
        try:
            word, values = _entry(row)
            if word in ("engine", "float") and values[0] in places:
                first = (Label(places[values[0]], "first given here"),)
                raise _BadLine(f'"{values[0]}" is given twice', row[1], "keep one of the lines", first)
            if word not in ("engine", "float") and found[word]:
                raise _BadLine(f"`{word}` is given twice", row[0], "keep one of the lines")
        except _BadLine as bad:
            problems.append(error("Z0432", bad.message, bad.span, labels=bad.labels, hint=bad.hint))
        else:
            found[word].append(values)
            if word in ("engine", "float"):
                places[values[0]] = row[1]
    if problems:
        raise ZoocError(*problems)
    if missing := [f"`{word}`" for word in _COLUMNS if word != "float" and not found[word]]:
        raise _unusable(path, f"it has no line {', '.join(missing)}")
    return MeasuredPlacement(
        name=found["network"][0][0],
        network=found["network"][0][1],
        zooc=found["zooc"][0][0],
        cpu=found["cpu"][0][0],
        cores=int(found["cores"][0][0]),
        goal=found["goal"][0][0],
        clock=found["clock"][0][0],
        engines=tuple(MeasuredIn(name, version, float(ratio)) for name, version, ratio in found["engine"]),
        layers=tuple(values[0] for values in found["float"]),
        places=places,
    )


def require_rules(quantize: Quantize, otherwise: str) -> None:
    """Raise Z0436 if it is not zooc that decides what becomes integer.

    Args:
        quantize: the description's settings.
        otherwise: what follows for the command, for the message.
    """
    if quantize.dtype == "int8" and quantize.ranges == "measured":
        return
    what = f"compiled as {quantize.dtype}" if quantize.dtype != "int8" else "quantized by its source"
    message = f"the network is {what}: {otherwise}"
    hint = "write `quantize int8 { data images(...) }`; a placement says what stays in float of that"
    raise ZoocError(error("Z0436", message, quantize.span, hint=hint))


class _BadLine(Exception):
    def __init__(self, message: str, span: Span, hint: str, labels: tuple[Label, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.span, self.hint, self.labels = message, span, hint, labels


def _entry(row: Sequence[Span]) -> tuple[str, list[str]]:
    """A line's word and what stands behind it, checked."""
    word, whole = row[0].text, Span(row[0].source, row[0].start, row[-1].end)
    if word not in _COLUMNS:
        hint = did_you_mean(word, _COLUMNS) or f"a line begins with {', '.join(_COLUMNS)}"
        raise _BadLine(f"unknown word `{word}`", row[0], hint)
    if len(row) - 1 != _COLUMNS[word]:
        message = f"`{word}` has {len(row) - 1} values, {_COLUMNS[word]} expected"
        raise _BadLine(message, whole, "a name with blanks is written in double quotes")
    values = []
    for column in row[1:]:
        try:
            values.append(unquoted(column))
        except ValueError:
            message = f"{column.text} is no quoted name"
            raise _BadLine(message, column, "a quoted name is a JSON string") from None
    if (expected := _expected(word, values)) is not None:
        raise _BadLine(f"`{word}` is {' '.join(values)}", whole, f"expected: {expected}")
    return word, values


def _expected(word: str, values: Sequence[str]) -> str | None:
    """What would be right, where the values are not."""
    if word == "network" and not _HASH.fullmatch(values[1]):
        return "a name, and 64 digits from 0 to f"
    if word == "cores" and not (values[0].isascii() and values[0].isdecimal() and int(values[0])):
        return "a whole number of at least 1"
    if word == "goal" and values[0] not in HINTS:
        return " or ".join(HINTS)
    if word == "clock" and values[0] not in _CLOCKS:
        return " or ".join(_CLOCKS)
    if word == "engine" and not (values[0] in ENGINES and _is_positive(values[2])):
        return f"one of {', '.join(ENGINES)}, its version, and a positive number"
    return None


def _is_positive(text: str) -> bool:
    try:
        return math.isfinite(number := float(text)) and number > 0
    except ValueError:
        return False


def _read(path: Path) -> SourceFile:
    try:
        return SourceFile(str(path), path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"))
    except OSError as problem:
        raise _unusable(path, problem.strerror or str(problem)) from None
    except UnicodeDecodeError:
        raise _unusable(path, "it is no text file") from None


def _unusable(path: Path, reason: str) -> ZoocError:
    hint = "name a file that `zooc tune` wrote"
    return ZoocError(error("Z0431", f"cannot use the placement {path}: {reason}", hint=hint))
