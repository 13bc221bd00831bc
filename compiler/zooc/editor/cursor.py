"""Where the cursor is, told from the tokens before it, so that a half-typed text will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lark import Token

from zooc.editor.document import Document
from zooc.frontend.syntax.parser import cut_items
from zooc.frontend.syntax.vocabulary import BLOCKS, HEAD

__all__ = ["Place", "place_of"]

Kind = Literal["item", "let", "header", "statement", "value", "step", "head", "target", "argument", "nothing"]

_OPENING = {"_LBRACE": "block", "_LPAR": "call", "_LSQB": "list"}
_CLOSING = ("_RBRACE", "_RPAR", "_RSQB")
_OPERATORS = ("PLUS", "MINUS", "STAR", "SLASH", "DOUBLE_SLASH", "PERCENT")


@dataclass(frozen=True)
class Place:
    """What may be written at the cursor.

    Attributes:
        kind: of `value` the value number `index` of `statement` in `block`; of `argument` that of `function`.
        start: the offset at which the word being typed begins; the cursor's own where none does.
        parts: the words before the last dot of the path being typed, `["timm"]` of `timm.res`.
        text: inside a string its text up to the cursor, else `None`.
        block: the block around the cursor; `head` for one head of `heads`.
        statement: the statement whose value it is, or a variant's target with its dot.
        index: which value of the statement, or argument of the function, from 0.
        function: the function in whose parentheses the cursor is.
        keyword: the parameter named before the `=`; `None` where a name may still be written.
        given: parameters, statements or targets that are there already.
    """

    kind: Kind
    start: int
    parts: tuple[str, ...] = ()
    text: str | None = None
    block: str = ""
    statement: str = ""
    index: int = 0
    function: str = ""
    keyword: str | None = None
    given: frozenset[str] = frozenset()


@dataclass
class _Frame:
    """An open bracket: what it belongs to, and the tokens directly in it, a closed bracket being one."""

    kind: str
    name: str = ""
    tokens: list[Token] = field(default_factory=list)


def place_of(document: Document, offset: int) -> Place:
    """Return what the cursor at `offset` is in."""
    if document.in_comment(offset):
        return Place("nothing", offset)
    before = [token for token in document.tokens if (token.start_pos or 0) < offset]
    start, text = offset, None
    parts: list[str] = []
    if before and before[-1].type in ("STRING", "BAD_STRING") and _is_inside(before[-1], offset):
        string = before.pop()
        start = (string.start_pos or 0) + 1
        text = document.source.text[start:offset]
    else:
        if before and before[-1].type in ("NAME", "FUNCTION", "_LET") and before[-1].end_pos >= offset:
            start = before.pop().start_pos or 0
        elif before and before[-1].type in ("NUMBER", "BAD_NUMBER") and before[-1].end_pos >= offset:
            return Place("nothing", offset)
        while len(before) > 1 and before[-1].type == "_DOT" and before[-2].type == "NAME":
            parts.insert(0, str(before[-2]))
            del before[-2:]
    items = cut_items(document.source, before)
    stack = _open(items[-1])
    return _place(stack, start, tuple(parts), text)


def _is_inside(string: Token, offset: int) -> bool:
    return (string.end_pos or 0) > offset or string.type == "BAD_STRING"


def _open(tokens: Sequence[Token]) -> list[_Frame]:
    stack = [_Frame("file")]
    for token in tokens:
        if token.type in _OPENING:
            stack.append(_Frame(_OPENING[token.type], _name(stack[-1], token)))
        elif token.type in _CLOSING and len(stack) > 1:
            kind = stack.pop().kind
            if kind == "block":
                stack[-1].tokens.clear()  # the item is complete
            elif not (stack[-1].tokens and stack[-1].tokens[-1].type == "FUNCTION"):
                stack[-1].tokens.append(Token("VALUE", ""))
        else:
            stack[-1].tokens.append(token)
    return stack


def _name(parent: _Frame, opening: Token) -> str:
    """The block or function that an opening bracket belongs to."""
    if opening.type == "_LPAR":
        last = parent.tokens[-1] if parent.tokens else None
        return str(last) if last is not None and last.type == "FUNCTION" else ""
    words = [str(token) for token in parent.tokens if token.type == "NAME"]
    return next((word for word in words if word in BLOCKS), words[0] if words else "")


def _place(stack: list[_Frame], start: int, parts: tuple[str, ...], text: str | None) -> Place:
    while stack[-1].kind == "list" or (stack[-1].kind == "call" and not stack[-1].name):
        stack.pop()  # a list's elements are the words of the value that it is
    frame = stack[-1]
    if frame.kind == "call":
        return _argument(stack, start, parts, text)
    if frame.kind == "file":
        return _top(frame.tokens, start, parts, text)
    if frame.name == "preprocess":
        return Place("step", start, parts, text, frame.name)
    if frame.name == "variant":
        return _override(frame.tokens, start, parts, text)
    if frame.name == "heads":
        return _in_head(frame.tokens, start, parts, text)
    return _in_block(frame.name, frame.tokens, start, parts, text)


def _top(tokens: list[Token], start: int, parts: tuple[str, ...], text: str | None) -> Place:
    if not tokens:
        return Place("item" if text is None else "nothing", start, parts, text)
    if tokens[0].type == "_LET":
        wants = tokens[-1].type == "_EQUAL" or tokens[-1].type in _OPERATORS
        if wants:
            return Place("let", start, parts, text)
        return Place("item" if len(tokens) > 3 else "nothing", start)
    word = str(tokens[0])
    if word in ("quantize", "preprocess") and len(tokens) == 1:
        return Place("header", start, parts, text, word)
    return Place("item" if word == "quantize" or word not in BLOCKS else "nothing", start)


def _in_block(block: str, tokens: list[Token], start: int, parts: tuple[str, ...], text: str | None) -> Place:
    arity = HEAD if block == "head" else BLOCKS.get(block, {})
    places = [i for i, token in enumerate(tokens) if token.type == "NAME" and str(token) in arity]
    given = frozenset(str(tokens[i]) for i in places)
    if not places:
        return Place("statement", start, parts, text, block)
    name, values = str(tokens[places[-1]]), tokens[places[-1] + 1 :]
    if name == "require":
        return _requirement(values, Place("value", start, parts, text, block, name, given=given))
    index, complete = _count(values)
    wanted = arity[name]
    if index < wanted or not complete:
        index = min(index if complete else index - 1, max(wanted - 1, 0))
        return Place("value", start, parts, text, block, name, max(index, 0), given=given)
    return Place("statement", start, parts, text, block, given=given)


def _requirement(values: list[Token], place: Place) -> Place:
    """`require` has words between its values: 0 is the quantity, 1 the limit, 2 what follows, 3 behind `on`.

    From 2 on the statement is the quantity, as it says what may follow.
    """
    types = [token.type for token in values]
    words = [str(token) for token in values]
    if not values:
        return place
    if "on" in words and types[-1] == "FUNCTION":
        return replace(place, kind="statement", statement="")
    if types[-1] in ("AT_MOST", "AT_LEAST", *_OPERATORS):
        return replace(place, index=1)
    if {"AT_MOST", "AT_LEAST"} & set(types):
        return replace(place, statement=words[0], index=3 if words[-1] == "on" else 2)
    return replace(place, kind="nothing")


def _count(values: list[Token]) -> tuple[int, bool]:
    """How many values these tokens are, and whether the last is complete."""
    count, joins = 0, False
    for token in values:
        if token.type in ("_DOT", *_OPERATORS, "AT_MOST", "AT_LEAST"):
            count += count == 0
            joins = True
        else:
            count += not joins
            joins = False
    return count, not joins


def _in_head(tokens: list[Token], start: int, parts: tuple[str, ...], text: str | None) -> Place:
    colons = [i for i, token in enumerate(tokens) if token.type == "_COLON"]
    if not colons:
        return Place("head", start, parts, text, "heads")
    return _in_block("head", tokens[colons[-1] + 1 :], start, parts, text)


def _override(tokens: list[Token], start: int, parts: tuple[str, ...], text: str | None) -> Place:
    equals = [i for i, token in enumerate(tokens) if token.type == "_EQUAL"]
    given = frozenset(_target(tokens, i) for i in equals)
    if equals:
        target = _target(tokens, equals[-1])
        count, complete = _count(tokens[equals[-1] + 1 :])
        if not count or not complete:
            return Place("value", start, parts, text, "variant", target, given=given)
    return Place("target", start, parts, text, "variant", given=given)


def _target(tokens: list[Token], equal: int) -> str:
    begin = equal - 1
    while begin > 1 and tokens[begin - 1].type == "_DOT":
        begin -= 2
    return "".join("." if token.type == "_DOT" else str(token) for token in tokens[max(begin, 0) : equal])


def _argument(stack: list[_Frame], start: int, parts: tuple[str, ...], text: str | None) -> Place:
    frame, around = stack[-1], stack[-2]
    arguments: list[list[Token]] = [[]]
    for token in frame.tokens:
        if token.type == "_COMMA":
            arguments.append([])
        else:
            arguments[-1].append(token)
    given = frozenset(str(a[0]) for a in arguments[:-1] if len(a) > 1 and a[1].type == "_EQUAL")
    last, index = arguments[-1], len(arguments) - 1
    named = len(last) > 1 and last[1].type == "_EQUAL"
    keyword = str(last[0]) if named else None
    rest = last[2:] if named else last
    if rest and rest[-1].type not in _OPERATORS:
        return Place("nothing", start)
    block = around.name if around.kind == "block" else ""
    owner = [t for t in around.tokens[:-1] if t.type == "NAME" and str(t) in BLOCKS.get(block, {})]
    statement = str(owner[-1]) if owner else ""
    return Place("argument", start, parts, text, block, statement, index, frame.name, keyword, given)
