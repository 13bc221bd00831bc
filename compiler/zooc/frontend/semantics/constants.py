"""The names that `let` defines, and the evaluation of constant expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from zooc.diagnostics.diagnostic import Diagnostic, Label, Span, error
from zooc.diagnostics.suggest import did_you_mean
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.literals import MAX_INTEGER
from zooc.frontend.syntax.vocabulary import FUNCTIONS, RESERVED

__all__ = ["Definition", "Scope", "Value", "describe"]


@dataclass(frozen=True, slots=True)
class Definition:
    """What a `let` (or an override of one) says."""

    name: ast.Name
    value: ast.Expr


@dataclass(frozen=True, slots=True)
class Value:
    """An evaluated expression, the place that diagnostics about it point to, and the `let` it stands for."""

    data: int | float | str | tuple[Value | None, ...]
    span: Span
    origin: Span | None = None


def describe(value: Value) -> str:
    """Return the value in words, for messages."""
    if isinstance(value.data, str):
        return f'the string "{value.data}"' if len(value.data) <= 40 else "a string"
    if isinstance(value.data, tuple):
        return f"a list of {len(value.data)}"
    return f"the number {value.data}"


class Scope:
    """Definitions in any order; each is evaluated once, whether it is used or not.

    Attributes:
        values: each name's value, `None` after an error.
        used: names that some expression refers to.
    """

    def __init__(self, definitions: Mapping[str, Definition], report: Callable[[Diagnostic], None]) -> None:
        self.used: set[str] = set()
        self._definitions = definitions
        self._report = report
        self.values: dict[str, Value | None] = {}
        for name in self._in_order():
            if name not in self.values:
                self.values[name] = self.evaluate(definitions[name].value)

    def evaluate(self, expr: ast.Expr) -> Value | None:  # noqa: PLR0911 - one return a case
        """Return the constant that `expr` stands for; `None` after an error, which is then reported."""
        match expr:
            case ast.Number(value, span):
                return Value(value, span)
            case ast.String(text, span):
                return Value(text, span)
            case ast.Group(inner):
                return self.evaluate(inner)
            case ast.ListExpr(items, span):
                return Value(tuple(self.evaluate(item) for item in items), span)
            case ast.Negate(operand, times, span):
                number = self._number(operand)
                return None if number is None else Value(-number if times % 2 else number, span)
            case ast.Chain():
                return self._chain(expr)
            case ast.Reference():
                return self._reference(expr)
            case ast.Call():
                self._report_call(expr)
                return None
            case ast.Comparison(span=span):
                self._report(error("Z0109", "a comparison is not allowed here", span))
                return None

    def _reference(self, expr: ast.Reference) -> Value | None:
        word = expr.word
        if word is not None and word in self.values:
            self.used.add(word)
            value = self.values[word]
            return None if value is None else Value(value.data, expr.span, self._definitions[word].value.span)
        if word is None or word in RESERVED:
            self._report(error("Z0109", f"`{expr.text}` is not allowed here", expr.span))
            return None
        hint = (
            did_you_mean(word, self.values) or f"define it with `let {word} = ...`, or quote it if it is text"
        )
        self._report(error("Z0101", f"unknown name `{word}`", expr.span, hint=hint))
        return None

    def _report_call(self, expr: ast.Call) -> None:
        name = expr.name.text
        if name in FUNCTIONS:
            self._report(error("Z0109", f"`{name}(...)` is not allowed here", expr.span))
        else:
            hint = did_you_mean(name, FUNCTIONS)
            self._report(error("Z0104", f"unknown function `{name}`", expr.name.span, hint=hint))

    def _number(self, expr: ast.Expr) -> int | float | None:
        value = self.evaluate(expr)
        if value is None:
            return None
        if isinstance(value.data, int | float):
            return value.data
        self._report(error("Z0109", f"arithmetic takes numbers, found {describe(value)}", value.span))
        return None

    def _chain(self, expr: ast.Chain) -> Value | None:
        numbers = [self._number(operand) for operand in expr.operands]
        known = [number for number in numbers if number is not None]
        if len(known) < len(numbers):
            return None
        result = known[0]
        for operator, operand, operand_expr in zip(expr.operators, known[1:], expr.operands[1:], strict=True):
            if operand == 0 and operator in ("/", "//", "%"):
                self._report(error("Z0111", "division by zero", operand_expr.span))
                return None
            result = _apply(operator, result, operand)
            if not math.isfinite(result) or (isinstance(result, int) and abs(result) > MAX_INTEGER):
                self._report(error("Z0111", "the result is too large", expr.span))
                return None
        return Value(result, expr.span)

    def _in_order(self) -> list[str]:
        """Names with their dependencies first; the members of cycles are reported and have no value."""
        order: list[str] = []
        done: set[str] = set()
        for root in self._definitions:
            path: list[str] = []
            stack: list[tuple[str, Iterator[str]]] = []
            if root not in done:
                path.append(root)
                stack.append((root, self._dependencies(root)))
            while stack:
                name, rest = stack[-1]
                following = next(rest, None)
                if following is None:
                    stack.pop()
                    path.pop()
                    done.add(name)
                    order.append(name)
                elif following in path:
                    self._cycle(path[path.index(following) :])
                elif following not in done:
                    path.append(following)
                    stack.append((following, self._dependencies(following)))
        return order

    def _dependencies(self, name: str) -> Iterator[str]:
        pending: list[ast.Expr] = [self._definitions[name].value]
        while pending:
            match pending.pop():
                case ast.Reference() as reference if reference.word in self._definitions:
                    yield reference.text
                case ast.Group(inner) | ast.Negate(inner):
                    pending.append(inner)
                case ast.Comparison(left, right):
                    pending += [right, left]
                case ast.Chain(items) | ast.ListExpr(items):
                    pending.extend(reversed(items))
                case _:
                    pass

    def _cycle(self, names: list[str]) -> None:
        fresh = [name for name in names if name not in self.values]
        self.values.update(dict.fromkeys(names))
        self.used.update(names)
        if not fresh:
            return
        first, *others = (self._definitions[name].name for name in names)
        labels = tuple(Label(other.span, f"`{other.text}` takes part") for other in others)
        shown = " -> ".join([*names, names[0]])
        message = f"`{first.text}` is defined by itself"
        notes = (f"the cycle is {shown}",) if others else ()
        self._report(
            error(
                "Z0112",
                message,
                first.span,
                labels=labels,
                notes=notes,
                hint="give one of them a value of its own",
            )
        )


def _apply(operator: str, left: int | float, right: int | float) -> int | float:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case "//":
            return left // right
        case _:
            return left % right
