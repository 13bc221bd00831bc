"""Text to syntax tree, or to every syntax error that can be told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lark import Token, Tree, UnexpectedToken

from zooc.diagnostics.diagnostic import Diagnostic, SourceFile, Span, error
from zooc.frontend.syntax import ast, literals
from zooc.frontend.syntax.errors import explain_syntax_error
from zooc.frontend.syntax.lexer import grammar, span_of, tokenize
from zooc.frontend.syntax.statements import Body, HeadName, Piece, group_items
from zooc.frontend.syntax.vocabulary import BLOCKS
from zooc.support.limits import MAX_FINDINGS

if TYPE_CHECKING:
    Node = Any

__all__ = ["OVERRIDE_SOURCE", "TreeBuilder", "cut_items", "parse", "parse_override", "parse_sound_items"]

OVERRIDE_SOURCE = "--set"
"""Name of the source that a command line override is, as diagnostics show it."""


def parse(source: SourceFile) -> tuple[ast.File | None, list[Diagnostic]]:
    """Parse a whole file.

    The text is parsed in one go. If that fails, each top-level item is parsed by itself, so that one run
    reports the first error of every item.

    Returns:
        The tree and no diagnostics, or `None` and at least one.
    """
    tokens, diagnostics = tokenize(source)
    builder = TreeBuilder(source, diagnostics.append)
    tree, failure = _run(source, tokens.significant, "file")
    if failure is None:
        items = group_items(builder.pieces(tree), diagnostics.append)
    else:
        items = ()
        diagnostics += _errors_by_item(source, tokens.significant, builder) or [failure]
    if diagnostics:
        return None, sorted(diagnostics, key=lambda d: d.span.start if d.span else 0)[:MAX_FINDINGS]
    return ast.File(items, source), []


def parse_sound_items(source: SourceFile) -> ast.File:
    """Return the top-level items that can be parsed, for an editor; what is broken is left out."""
    tokens, _ = tokenize(source)
    builder = TreeBuilder(source, _unheard)
    items: list[ast.Item] = []
    for chunk in cut_items(source, tokens.significant):
        tree, failure = _run(source, chunk, "file")
        if failure is None:
            items += group_items(builder.pieces(tree), _unheard)
    return ast.File(tuple(items), source)


def _unheard(_: Diagnostic) -> None:
    """Take no notice of a finding."""


def parse_override(text: str) -> tuple[ast.Assignment | None, list[Diagnostic]]:
    """Parse `NAME=VALUE` as the command line's `--set` takes it.

    A value that is no expression (`weights/a b.pth`) is taken as the string that it spells.
    """
    source = SourceFile(OVERRIDE_SOURCE, text)
    left, equal, right = text.partition("=")
    parts = left.split(".")
    everything = Span(source, 0, len(text))
    if not equal or not right.strip() or not all(part.strip().isidentifier() for part in parts):
        hint = "write --set NAME=VALUE, such as --set size=256 or --set model.weights=other.pth"
        return None, [error("Z0117", f"`--set {text}` is not of the form NAME=VALUE", everything, hint=hint)]
    tokens, diagnostics = tokenize(source)
    tree, failure = _run(source, tokens.significant, "setting")
    if failure is None:
        (piece,) = TreeBuilder(source, diagnostics.append).pieces(tree)
        if not diagnostics and isinstance(piece, ast.Assignment):
            return piece, []
    value_start = len(left) + 1
    value = ast.String(right.strip(), Span(source, value_start, len(text)))
    return ast.Assignment(_reference(source, parts), value, everything), []


def _reference(source: SourceFile, parts: Sequence[str]) -> ast.Reference:
    names, start = [], 0
    for part in parts:
        names.append(ast.Name(part.strip(), Span(source, start, start + len(part))))
        start += len(part) + 1
    return ast.Reference(tuple(names), Span(source, 0, start - 1))


def _run(source: SourceFile, tokens: Sequence[Token], start: str) -> tuple[Any, Diagnostic | None]:
    parser = grammar().parse_interactive("", start=start)
    end = Token("$END", "", tokens[-1].end_pos if tokens else 0)
    for i, token in enumerate([*tokens, end]):
        try:
            tree = parser.feed_token(token)
        except UnexpectedToken:
            found = None if token.type == "$END" else token
            return None, explain_syntax_error(source, tokens[:i], found, parser.accepts())
    return tree, None


def _errors_by_item(source: SourceFile, tokens: Sequence[Token], builder: TreeBuilder) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for chunk in cut_items(source, tokens):
        tree, failure = _run(source, chunk, "file")
        if failure is not None:
            found.append(failure)
        else:
            group_items(builder.pieces(tree), found.append)
    return found


def cut_items(source: SourceFile, tokens: Sequence[Token]) -> list[list[Token]]:
    """Cut before every `let` and block name that begins a line outside of brackets, or at the margin."""
    chunks: list[list[Token]] = [[]]
    depth = 0
    for token, following in zip(tokens, [*tokens, None][1:], strict=True):
        opens = token.type == "_LET" or (
            token.type == "NAME"
            and token in BLOCKS
            and following is not None
            and following.type in ("_LBRACE", "NAME", "FUNCTION")
        )
        if opens and chunks[-1] and _begins_line(source, chunks[-1][-1], token, anywhere=depth <= 0):
            chunks.append([])
            depth = 0
        chunks[-1].append(token)
        depth += (token.type in ("_LBRACE", "_LSQB", "_LPAR")) - (token.type in ("_RBRACE", "_RSQB", "_RPAR"))
    return chunks


def _begins_line(source: SourceFile, before: Token, token: Token, *, anywhere: bool) -> bool:
    """Whether a token is the first of its line, and at the margin unless it may stand `anywhere`."""
    between = source.text[before.end_pos : token.start_pos]
    return "\n" in between and (anywhere or between.endswith("\n"))


class TreeBuilder:
    """Builds one file's nodes; malformed literals are reported and stand in as plain values."""

    def __init__(self, source: SourceFile, report: Callable[[Diagnostic], None]) -> None:
        self._source = source
        self._report = report

    def pieces(self, tree: Node) -> tuple[Piece, ...]:
        """Return the children of a `file`, `setting` or `body`, not yet grouped."""
        return tuple(self._piece(child) for child in tree.children)

    def _piece(self, tree: Node) -> Piece:
        if tree.data == "let":
            name, value = tree.children
            return ast.Let(self._name(name), self.value(value), self._span(tree))
        if tree.data == "assignment":
            target, value = tree.children
            return ast.Assignment(self._path(target), self.value(value), self._span(tree))
        if tree.data == "head":
            return self._head(tree)
        if tree.data == "body":
            return Body(self.pieces(tree), self._span(tree))
        return self.value(tree)

    def value(self, tree: Node) -> ast.Expr:
        """Return the node of any expression."""
        build: Callable[[Node], ast.Expr] = getattr(self, f"_{tree.data}")
        return build(tree)

    def _head(self, tree: Node) -> HeadName:
        (token,) = tree.children
        span = span_of(self._source, token)
        text = literals.string(span, self._report) if token.type == "STRING" else str(token)
        return HeadName(ast.Name(text, span), self._span(tree))

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
        left, operator, right = tree.children
        return ast.Comparison(self.value(left), self.value(right), self._span(tree), str(operator))

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
