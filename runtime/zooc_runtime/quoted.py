"""The one way in which text of others gets into messages: harmless to a terminal, and short.

Every diagnostic of the compiler and every `PackageError` passes through `quoted` when it is made, so that
what is shown in a terminal, in JSON, in a report and in a log is the same.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["MESSAGE", "QUOTE", "cut", "quoted", "visible"]

QUOTE = 400
"""Characters that a piece in quotation marks, or a word, may have in a message."""

MESSAGE = 1500
"""Characters that a whole message may have."""

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_ROOM = 40
_PIECES = re.compile(rf'"[^"\n]*"|`[^`\n]*`|(?<!\w)\'[^\'\n]*\'(?!\w)|[^\s/\\"`]{{{QUOTE + 1},}}')


def visible(char: str) -> str:
    """Return a character, or its number where it is one that hides text or drives a terminal.

    These are Unicode's categories of control characters, of format characters (the overrides of the direction
    of writing among them), of lone surrogates and of line and paragraph separators.
    """
    return f"<U+{ord(char):04X}>" if unicodedata.category(char) in _HIDDEN else char


def cut(text: str, limit: int = QUOTE) -> str:
    """Return `text`, its middle replaced by its length where it is longer than `limit` characters.

    What is returned is never longer than `limit`, so that cutting twice is cutting once.
    """
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - _ROOM]}... ({len(text):,} characters) ...{text[-tail:]}"


def quoted(text: str, limit: int = MESSAGE, *, lines: bool = False) -> str:
    """Return a message with hidden characters spelled out, long quotations cut, and `limit` kept.

    Args:
        text: the message, with whatever it quotes.
        limit: its longest, in characters.
        lines: whether it may have line ends and tabs of its own.
    """
    text = cut(text, 64 * limit)
    if not text.isprintable():
        text = "".join(char if lines and char in "\n\t" else visible(char) for char in text)
    if len(text) > QUOTE:
        text = _PIECES.sub(lambda piece: cut(piece[0]), text)
    return cut(text, limit)
