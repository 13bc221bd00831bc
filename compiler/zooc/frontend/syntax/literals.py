"""Decodes string and number literals, reporting each malformed place exactly."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from zooc.diagnostics.diagnostic import Diagnostic, Span, error

__all__ = ["MAX_INTEGER", "bad_number", "bad_string", "number", "percentage", "string"]

Report = Callable[[Diagnostic], None]

MAX_INTEGER = 2**53
"""Integers beyond this are not exact as floats, and nothing here is that large."""

_SIMPLE_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_HEX = frozenset("0123456789abcdefABCDEF")


def string(span: Span, report: Report) -> str:
    r"""Return the value of a string literal with its quotes; escapes are `\" \\ \n \t \uXXXX`."""
    text, out, i = span.text, [], 1
    while i < len(text) - 1:
        if text[i] != "\\":
            out.append(text[i])
            i += 1
            continue
        char, digits = text[i + 1], text[i + 2 : i + 6]
        length = 2
        if char in _SIMPLE_ESCAPES:
            out.append(_SIMPLE_ESCAPES[char])
        elif char == "u" and len(digits) == 4 and _HEX.issuperset(digits):
            length = 6
            code = int(digits, 16)
            if 0xD800 <= code < 0xE000:
                report(
                    _bad_escape(
                        span, i, length, "is only half of a surrogate pair", "write the character itself"
                    )
                )
            else:
                out.append(chr(code))
        else:
            hint = r"write `\\` for a backslash (or `/` in paths); the escapes are \" \\ \n \t \uXXXX"
            report(_bad_escape(span, i, length, "is not an escape", hint))
        i += length
    return "".join(out)


def _bad_escape(span: Span, offset: int, length: int, why: str, hint: str) -> Diagnostic:
    start = span.start + offset
    place = Span(span.source, start, start + length)
    return error("Z0005", f"`{place.text}` in a string {why}", place, hint=hint)


def bad_string(span: Span, report: Report) -> str:
    """Report a string in single quotes or one that its line ends before it does."""
    text = span.text
    if text.startswith("'"):
        report(error("Z0003", "strings take double quotes", span, hint="write \"...\" instead of '...'"))
        return text.strip("'")
    hint = 'add `"`; a line break inside a string is written \\n'
    report(error("Z0003", "the string is not closed on its line", span, hint=hint))
    return text[1:]


def number(span: Span, report: Report) -> int | float:
    """Return the value of a well-formed number."""
    text = span.text
    if text.isdecimal():
        if len(text) <= 16 and (value := int(text)) <= MAX_INTEGER:
            return value
        report(error("Z0006", f"the integer is larger than {MAX_INTEGER}", span))
        return 1
    if math.isinf(value_float := float(text)):
        report(error("Z0006", "the number is larger than a double can hold", span))
        return 1.0
    return value_float


def percentage(span: Span, report: Report) -> float:
    """Return the share that `0.5%` stands for: 0.005."""
    value = float(span.text[:-1]) / 100.0
    if math.isfinite(value):
        return value
    report(error("Z0006", "the number is larger than a double can hold", span))
    return 1.0


def bad_number(span: Span, report: Report) -> int | float:
    """Report a malformed number."""
    text = span.text
    hint = "numbers are written 224, 0.5 or 1e-3"
    if text.startswith(".") and text[1:].isdecimal():
        hint = f"write 0{text}"
    elif text.endswith(".") and text[:-1].isdecimal():
        hint = f"write {text}0 or {text[:-1]}"
    elif found := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|us|s)", text):
        hint = f"write `{found[1]} {found[2]}`, with a blank before the unit"
    report(error("Z0006", f"`{text}` is not a number", span, hint=hint))
    return 1
