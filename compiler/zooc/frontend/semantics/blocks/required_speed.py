"""`require latency <= 8 ms on this_machine(engine=openvino)`, `require throughput >= 120/s`."""

from __future__ import annotations

from collections.abc import Sequence

from zooc.deployment import Package, Quantize, SpeedRequirement
from zooc.diagnostics.diagnostic import Diagnostic, error
from zooc.diagnostics.suggest import did_you_mean
from zooc.frontend.semantics.declarations import Setting
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import ACCELERATORS, ENGINES, FUNCTIONS, SPEEDS

__all__ = ["read_speed", "speed_contradictions"]

_MOST = 1024
"""Threads and streams at most."""

_IN_MS = {"s": 1000.0, "us": 0.001}


def read_speed(quantity: str, field: Setting, reader: Reader) -> SpeedRequirement | None:
    """Check the statement of one quantity of `SPEEDS`; `None` after an error."""
    comparison = field.values[0] if field.values else None
    rest: Sequence[ast.Expr] = field.values[1:]
    if not isinstance(comparison, ast.Comparison):
        message = f"an override of the required {quantity} can only drop it: `false`"
        hint = f"name the limit with a `let` and override that: `{_with_let(quantity)}`"
        reader.report(error("Z0489", message, field.span, hint=hint))
        return None
    wanted = "<=" if quantity == "latency" else ">="
    if comparison.operator != wanted:
        side = "above" if quantity == "latency" else "below"
        message = f"a {quantity} is limited from {side}, with `{wanted}`"
        reader.report(error("Z0489", message, comparison.span, hint=f"write `{SPEEDS[quantity]}`"))
        return None
    limit, rest = (_latency if quantity == "latency" else _throughput)(comparison, rest, reader)
    place = _place(quantity, rest, field, reader)
    if limit is None or place is None:
        return None
    return SpeedRequirement(quantity, limit, **place, span=field.span)  # type: ignore[arg-type]


def speed_contradictions(quantize: Quantize, package: Package) -> list[Diagnostic]:
    """Return the errors of requirements that the other statements leave no way to hold."""
    found = []
    for one in quantize.speed:
        if quantize.dtype == "int8" and quantize.target in ACCELERATORS:
            message = f"a {one.quantity} is measured on the CPU, which `target {quantize.target}` is not for"
            hint = "delete it, or write `target cpu(vnni)`"
            found.append(error("Z0489", message, one.span, hint=hint))
        if one.engine is not None and one.engine not in package.engines:
            message = f"the package is not compiled for {one.engine}, in which the {one.quantity} is required"
            hint = f"write `engines [{', '.join((*package.engines, one.engine))}]` in `package`"
            found.append(error("Z0489", message, one.span, hint=hint))
    return found


def _latency(
    comparison: ast.Comparison, rest: Sequence[ast.Expr], reader: Reader
) -> tuple[float | None, Sequence[ast.Expr]]:
    """`latency <= 8 ms`: the milliseconds, and the values behind them."""
    limit = comparison.right
    unit = rest[0].word if rest and isinstance(rest[0], ast.Reference) else None
    if unit in (None, "on"):
        found = f"`{limit.span.text}` lacks the unit of a latency"
        reader.report(error("Z0489", found, limit.span, hint=f"write `{limit.span.text} ms`"))
        return None, rest
    if unit == "ms":
        return _positive(limit, "latency", reader), rest[1:]
    hint = f"write `{SPEEDS['latency']}`"
    if unit in _IN_MS and isinstance(limit, ast.Number):
        hint = f"write `{limit.value * _IN_MS[unit]:g} ms`"
    reader.report(error("Z0489", f"a latency is given in `ms`, found `{unit}`", rest[0].span, hint=hint))
    return None, rest[1:]


def _throughput(
    comparison: ast.Comparison, rest: Sequence[ast.Expr], reader: Reader
) -> tuple[float | None, Sequence[ast.Expr]]:
    """`throughput >= 120/s`: the images a second, and the values behind them."""
    limit = comparison.right
    unit = limit.operands[-1] if isinstance(limit, ast.Chain) and limit.operators[-1] == "/" else None
    if isinstance(limit, ast.Chain) and isinstance(unit, ast.Reference) and unit.word == "s":
        return _positive(_without_last(limit), "throughput", reader), rest
    known = isinstance(unit, ast.Reference) and unit.word in reader.scope.values
    if isinstance(unit, ast.Reference) and not known:
        message = f"a throughput is given in images a second, `/s`, found `/{unit.text}`"
        reader.report(error("Z0489", message, unit.span, hint=f"write `{SPEEDS['throughput']}`"))
        return None, rest
    message = f"`{limit.span.text}` lacks the unit of a throughput, images a second"
    reader.report(error("Z0489", message, limit.span, hint=f"write `{limit.span.text}/s`"))
    is_word = bool(rest) and isinstance(rest[0], ast.Reference) and rest[0].word != "on"
    return None, rest[1:] if is_word else rest  # as in `120 fps`


def _without_last(chain: ast.Chain) -> ast.Expr:
    if len(chain.operands) == 2:
        return chain.operands[0]
    return ast.Chain(chain.operands[:-1], chain.operators[:-1], chain.span)


def _positive(node: ast.Expr, quantity: str, reader: Reader) -> float | None:
    value = reader.number(node, "the limit")
    if value is None or value > 0.0:
        return value
    message = f"a {quantity} is above 0, found {value:g}"
    reader.report(error("Z0489", message, node.span, hint=f"write for example `{SPEEDS[quantity]}`"))
    return None


def _place(
    quantity: str, rest: Sequence[ast.Expr], field: Setting, reader: Reader
) -> dict[str, str | int | None] | None:
    """`on this_machine(...)`, which may be left out; `None` after an error."""
    if not rest:
        return {}
    example = f"write `{SPEEDS[quantity]} on this_machine(engine=onnxruntime, threads=1)`"
    if len(rest) != 2:
        message = f"expected nothing more than `on this_machine` behind the {quantity}'s limit"
        reader.report(error("Z0489", message, rest[min(2, len(rest) - 1)].span, hint=example))
        return None
    on, machine = rest
    sound = reader.word(on, ["on"], "word before the machine") is not None
    if not isinstance(machine, ast.Call) or machine.name.text != "this_machine":
        place = machine.name.span if isinstance(machine, ast.Call) else machine.span
        name = place.text
        if name == "this_machine":
            return {} if sound else None
        message = f"a {quantity} is measured on `this_machine`, found `{name}`"
        hint = did_you_mean(name, ["this_machine"]) or example
        reader.report(error("Z0489", message, place, hint=hint))
        return None
    leave_out = "streams" if quantity == "latency" else ""
    given = reader.bind(machine, [one for one in FUNCTIONS["this_machine"] if one.name != leave_out])
    if given is None or not sound:
        return None
    found: dict[str, str | int | None] = {}
    if "engine" in given:
        found["engine"] = reader.word(given["engine"], ENGINES, "engine")
    for name in ("threads", "streams"):
        if name in given:
            found[name] = reader.integer(given[name], f"`{name}`", 1, _MOST)
    return None if None in found.values() else found


def _with_let(quantity: str) -> str:
    return "latency <= limit ms" if quantity == "latency" else "throughput >= limit/s"
