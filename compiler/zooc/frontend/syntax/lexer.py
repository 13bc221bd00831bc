"""Cuts a text into tokens with the grammar's own lexer, and keeps apart what the parser must not see."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

from lark import Lark, Token

from zooc.diagnostics.diagnostic import Diagnostic, SourceFile, Span, error
from zooc.resources import resource
from zooc.support.limits import MAX_FINDINGS, MAX_NESTING, MAX_TOKENS
from zooc_runtime.errors import PackageError
from zooc_runtime.support.files import make_folder
from zooc_runtime.support.user_cache import cache_folder

__all__ = ["Tokens", "grammar", "span_of", "stray", "tokenize"]

_OPENING = ("_LBRACE", "_LSQB", "_LPAR")
_CLOSING = ("_RBRACE", "_RSQB", "_RPAR")

_STRAY_HINTS = {
    ";": "statements are separated by blanks or line breaks",
    ":": "statements take their values without a colon: `topk 5`",
    "'": 'strings take double quotes: "..."',
    "\0": "is this a text file? It holds a NUL byte",
    "\ufeff": "a byte order mark is allowed only at the start of the file",
    "\xa0": "this is a no-break space; replace it by an ordinary blank",
    "<": "the comparisons are `<=` and `>=`",
    ">": "the comparisons are `<=` and `>=`",
    "$": "names are used as they are: `size`",
    "\\": "a statement may continue in the next line without it",
}


@dataclass(frozen=True)
class Tokens:
    """`significant` is what the parser gets; `comments` and line ends matter only to the formatter."""

    significant: list[Token]
    comments: list[Token]


@functools.lru_cache(maxsize=1)
def grammar() -> Lark:
    """Return the parser generator's tables for `grammar/zooc.lark`.

    Built once a process, or read from the cache folder: that saves a sixth of `zooc check`. Lark itself makes
    sure that the file fits the grammar, and builds the tables again if it is damaged.
    """
    text = resource("grammar/zooc.lark").read_text(encoding="utf-8")
    return Lark(
        text,
        parser="lalr",
        lexer="basic",
        propagate_positions=True,
        maybe_placeholders=False,
        start=["file", "setting"],
        cache=_cache_file(),
    )


def _cache_file() -> str | bool:
    try:
        folder = cache_folder() / "grammar"
        make_folder(folder)
    except PackageError:
        return False
    return str(folder / "zooc.lark.tables")


def span_of(source: SourceFile, token: Token) -> Span:
    """Return the characters of a token."""
    return Span(source, token.start_pos, token.end_pos)


def tokenize(source: SourceFile) -> tuple[Tokens, list[Diagnostic]]:
    """Return all tokens of `source`; a character that belongs nowhere is reported and left out."""
    tokens = Tokens([], [])
    diagnostics: list[Diagnostic] = []
    strays: list[Token] = []
    depth = 0
    for token in grammar().lex(source.text, dont_ignore=True):
        if len(diagnostics) > MAX_FINDINGS:
            break
        if token.type == "BLANK":
            continue
        if token.type == "COMMENT":
            tokens.comments.append(token)
        elif token.type == "STRAY":
            if strays and strays[-1].end_pos == token.start_pos and strays[-1] == token:
                strays[-1] = token  # a run of the same character is one finding
            else:
                strays.append(token)
                diagnostics.append(stray(span_of(source, token)))
        else:
            tokens.significant.append(token)
            depth += (token.type in _OPENING) - (token.type in _CLOSING)
            if len(tokens.significant) > MAX_TOKENS:
                message = f"{source.name} has more than {MAX_TOKENS:,} words, numbers and signs"
                return Tokens([], []), [error("Z0009", message, span_of(source, token))]
            if depth > MAX_NESTING:
                message = f"brackets are nested more than {MAX_NESTING} deep"
                return Tokens([], []), [error("Z0010", message, span_of(source, token))]
            if token.type in ("NAME", "FUNCTION") and not token.isascii():
                hint = "names consist of the letters a to z, A to Z, digits and `_`; put other text in quotes"
                diagnostics.append(
                    error("Z0004", f"the name `{token}` is not ASCII", span_of(source, token), hint=hint)
                )
    return tokens, diagnostics


def stray(span: Span) -> Diagnostic:
    """Return the error for one character that has no meaning where it stands."""
    char = span.text
    shown = char if char.isprintable() and char.isascii() else unicodedata.name(char, "a control character")
    message = (
        f"stray character `{shown}`" if shown == char else f"stray character U+{ord(char):04X} ({shown})"
    )
    return error("Z0004", message, span, hint=_STRAY_HINTS.get(char))
