"""Explains in plain words why a token does not fit: what was expected, and what most likely is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lark import Token

from zooc.diagnostics.diagnostic import Diagnostic, Label, SourceFile, Span, error
from zooc.frontend.syntax.lexer import span_of, stray

__all__ = ["explain_syntax_error"]

_PAIRS = {"_LBRACE": "_RBRACE", "_LSQB": "_RSQB", "_LPAR": "_RPAR"}
_SHOWN = {"_LBRACE": "{", "_RBRACE": "}", "_LSQB": "[", "_RSQB": "]", "_LPAR": "(", "_RPAR": ")"}
_VALUES = {"NAME", "FUNCTION", "STRING", "NUMBER", "PERCENTAGE", "BAD_STRING", "BAD_NUMBER"}
_VALUES |= {"_LSQB", "_LPAR", "MINUS"}


def explain_syntax_error(
    source: SourceFile, before: Sequence[Token], token: Token | None, accepted: Iterable[str]
) -> Diagnostic:
    """Return the diagnostic for `token` (`None`: the end), which follows the tokens `before` that did parse.

    Args:
        source: the text.
        before: the accepted tokens of this item.
        token: the one that does not fit.
        accepted: names of the terminals that would have fitted.
    """
    opened = _open_brackets(before)
    expected = set(accepted)
    if token is None:
        return _at_end(source, before, opened, expected)
    span = span_of(source, token)
    if token.type == "_COLON":
        return stray(span)
    if token.type in _PAIRS.values():
        return _closing(source, opened, token, span, before, expected)
    if opened and opened[-1].type != "_LBRACE" and _starts_line(source, token) and not _wants_value(expected):
        return _never_closed(source, opened[-1], before)
    if opened and token.type in ("_LBRACE", "_LET"):
        thing = "a `{`" if token.type == "_LBRACE" else "`let`"
        label = Label(span_of(source, opened[-1]), "this is still open")
        close = _SHOWN[_PAIRS[opened[-1].type]]
        message = f"{thing} is not allowed inside `{_SHOWN[opened[-1].type]}`"
        return error("Z0002", message, span, labels=(label,), hint=f"is a `{close}` missing before it?")
    message = f"expected {_describe(expected, opened)}, found {_found(token)}"
    return error("Z0001", message, span, hint=_hint(source, before, token, expected, opened))


def _at_end(
    source: SourceFile, before: Sequence[Token], opened: list[Token], expected: set[str]
) -> Diagnostic:
    if opened:
        return _never_closed(source, opened[-1], before)
    end = before[-1].end_pos if before else 0
    last = Span(source, before[-1].start_pos if before else 0, end)
    message = f"expected {_describe(expected, opened)} after `{last.text}`"
    return error("Z0001", message, last, hint="the statement ends here")


def _never_closed(source: SourceFile, opening: Token, before: Sequence[Token]) -> Diagnostic:
    close = _SHOWN[_PAIRS[opening.type]]
    end = before[-1]
    labels = (
        ()
        if end is opening
        else (Label(span_of(source, end), f"a `{close}` is missing, at the latest after this"),)
    )
    message = f"this `{_SHOWN[opening.type]}` is never closed"
    return error("Z0002", message, span_of(source, opening), labels=labels, hint=f"add `{close}`")


def _closing(
    source: SourceFile,
    opened: list[Token],
    token: Token,
    span: Span,
    before: Sequence[Token],
    expected: set[str],
) -> Diagnostic:
    shown = _SHOWN[token.type]
    if not opened:
        return error(
            "Z0002", f"this `{shown}` closes nothing", span, hint="delete it, or open a block before it"
        )
    wanted = _PAIRS[opened[-1].type]
    if wanted != token.type:
        label = Label(span_of(source, opened[-1]), f"`{_SHOWN[opened[-1].type]}` is opened here")
        message = f"expected `{_SHOWN[wanted]}`, found `{shown}`"
        return error("Z0002", message, span, labels=(label,), hint=f"close `{_SHOWN[opened[-1].type]}` first")
    last = before[-1]
    if last.type == "_LPAR" and wanted == "_RPAR":
        hint = "write no blank between a function and its `(`: `ToTensor()`"
        return error("Z0001", "empty parentheses are not a value", span, hint=hint)
    message = f"expected {_describe(expected, opened)} after `{last}`, found `{shown}`"
    return error("Z0001", message, span)


def _open_brackets(tokens: Sequence[Token]) -> list[Token]:
    opened: list[Token] = []
    for token in tokens:
        if token.type in _PAIRS:
            opened.append(token)
        elif token.type in _PAIRS.values():
            opened.pop()
    return opened


def _wants_value(expected: set[str]) -> bool:
    return "STRING" in expected


def _describe(expected: set[str], opened: list[Token]) -> str:  # noqa: PLR0911 - one return a case
    inside = opened[-1].type if opened else None
    if inside in ("_LSQB", "_LPAR") and "_COMMA" in expected:
        return f"`,` or `{_SHOWN[_PAIRS[inside]]}`"
    if inside in ("_LSQB", "_LPAR") and _PAIRS[inside] in expected and not _wants_value(expected):
        return f"`{_SHOWN[_PAIRS[inside]]}`"
    if inside is None and "_LET" in expected:
        return "a block or `let`"
    if inside == "_LBRACE" and "_RBRACE" in expected:
        return "a statement or `}`"
    if _wants_value(expected):
        return "a value"
    if "_EQUAL" in expected:
        return "`=`"
    return "a name" if "NAME" in expected else "the end"


def _found(token: Token) -> str:
    number = dict.fromkeys(("NUMBER", "PERCENTAGE"), "the number ")
    kinds = {"STRING": "a string", **number, "NAME": "", "_LET": ""}
    if token.type == "STRING":
        return "a string"
    return f"{kinds.get(token.type, '')}`{token}`"


def _hint(  # noqa: PLR0911 - one return a case
    source: SourceFile, before: Sequence[Token], token: Token, expected: set[str], opened: list[Token]
) -> str | None:
    if token.type == "DOUBLE_SLASH" and _starts_line(source, token):
        return "comments begin with `#`"
    if token.type == "STAR" and before and before[-1].type == "STAR":
        return "there is no power operator"
    if before and before[-1].type == "_LET" and token.type != "NAME":
        return "write `let NAME = VALUE`; a name begins with a letter"
    if token.type == "_EQUAL" and opened and opened[-1].type == "_LSQB":
        return f"is a `]` missing before `{before[-1]}`?"
    if token.type == "_EQUAL":
        return "only `let NAME = VALUE`, a variant's `PATH = VALUE` and a function's `name=value` use `=`"
    if token.type in ("AT_MOST", "AT_LEAST"):
        example = "drop <= 0.5% on images(...)" if token.type == "AT_MOST" else "throughput >= 120/s"
        return f"`{token}` is used only in `require {example}`"
    if token.type == "_COMMA" and (not opened or opened[-1].type == "_LBRACE"):
        return "statements are separated by blanks or line breaks, without commas"
    if opened and opened[-1].type in ("_LSQB", "_LPAR") and _VALUES & {token.type} and "_COMMA" in expected:
        return "values in brackets are separated by commas"
    return None


def _starts_line(source: SourceFile, token: Token) -> bool:
    start = token.start_pos or 0
    return not source.text[source.text.rfind("\n", 0, start) + 1 : start].strip()
