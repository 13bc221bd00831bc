"""Turns the parser generator's tree into the syntax tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lark import Token, Tree

from zooc.diagnostics import Diagnostic, SourceFile, Span, error
from zooc.frontend import ast, literals
from zooc.frontend.grouping import Body, Piece
from zooc.frontend.tokens import span_of

if TYPE_CHECKING:
    Node = Any

__all__ = ["Builder"]


class Builder:
    """Builds one file's nodes; malformed literals are reported and stand in as plain values."""

    def __init__(self, source: SourceFile, report: Callable[[Diagnostic], None]) -> None:
        self._source = source
        self._report = report

    def pieces(self, tree: Node) -> tuple[Piece, ...]:
        """The children of a `file`, `setting` or `body`, not yet grouped."""
        return tuple(self._piece(child) for child in tree.children)

    def _piece(self, tree: Node) -> Piece:
        if tree.data == "let":
            name, value = tree.children
            return ast.Let(self._name(name), self.value(value), self._span(tree))
        if tree.data == "assignment":
            target, value = tree.children
            return ast.Assignment(self._path(target), self.value(value), self._span(tree))
        if tree.data == "body":
            return Body(self.pieces(tree), self._span(tree))
        return self.value(tree)

    def value(self, tree: Node) -> ast.Expr:
        """Any expression."""
        build: Callable[[Node], ast.Expr] = getattr(self, f"_{tree.data}")
        return build(tree)

    def _path(self, tree: Node) -> ast.Reference:
        return ast.Reference(tuple(self._name(part) for part in tree.children), self._span(tree))

    def _call(self, tree: Node) -> ast.Call:
        name, *arguments = tree.children
        values: list[ast.Expr] = []
        keywords: list[ast.Keyword] = []
        for argument in arguments:
            if argument.data == "keyword":
                key, value = argument.children
                keywords.append(ast.Keyword(self._name(key), self.value(value), self._span(argument)))
                continue
            values.append(self.value(argument))
            if keywords:
                message = "a value without a name cannot follow one with a name"
                self._report(
                    error("Z0001", message, values[-1].span, hint="write it first, or as `name=value`")
                )
        return ast.Call(self._name(name), tuple(values), tuple(keywords), self._span(tree))

    def _list(self, tree: Node) -> ast.ListExpr:
        return ast.ListExpr(tuple(self.value(item) for item in tree.children), self._span(tree))

    def _group(self, tree: Node) -> ast.Group:
        return ast.Group(self.value(tree.children[0]), self._span(tree))

    def _negate(self, tree: Node) -> ast.Negate:
        *signs, operand = tree.children
        return ast.Negate(self.value(operand), len(signs), self._span(tree))

    def _chain(self, tree: Node) -> ast.Chain:
        operands = tuple(self.value(child) for child in tree.children[::2])
        return ast.Chain(operands, tuple(str(child) for child in tree.children[1::2]), self._span(tree))

    _sum = _chain
    _product = _chain

    def _comparison(self, tree: Node) -> ast.Comparison:
        left, _, right = tree.children
        return ast.Comparison(self.value(left), self.value(right), self._span(tree))

    def _string(self, tree: Node) -> ast.String:
        span = self._span(tree)
        return ast.String(literals.string(span, self._report), span)

    def _bad_string(self, tree: Node) -> ast.String:
        span = self._span(tree)
        return ast.String(literals.bad_string(span, self._report), span)

    def _number(self, tree: Node) -> ast.Number:
        span = self._span(tree)
        return ast.Number(literals.number(span, self._report), span)

    def _percentage(self, tree: Node) -> ast.Number:
        span = self._span(tree)
        return ast.Number(literals.percentage(span, self._report), span)

    def _bad_number(self, tree: Node) -> ast.Number:
        span = self._span(tree)
        return ast.Number(literals.bad_number(span, self._report), span)

    def _name(self, token: Token) -> ast.Name:
        return ast.Name(str(token), span_of(self._source, token))

    def _span(self, tree: Tree[Any]) -> Span:
        return Span(self._source, tree.meta.start_pos, tree.meta.end_pos)
