"""Colours for `zoo` blocks: a lexer of Pygments, with the words of the language's own vocabulary."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from pygments.lexer import RegexLexer, words
from pygments.lexers import LEXERS
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text

from zooc.frontend.syntax.vocabulary import BLOCKS, STEPS

__all__ = ["ZooLexer", "on_config"]


class ZooLexer(RegexLexer):
    """The tokens of a description; what is no word of the language is a plain name."""

    name = "Zoo"
    aliases: ClassVar = ["zoo"]
    tokens: ClassVar = {
        "root": [
            (r"#.*$", Comment.Single),
            (r'"(\\.|[^"\\\n])*"', String),
            (r"\d+(\.\d+)?(e[+-]?\d+)?%?", Number),
            (words(("let", "variant", *BLOCKS), suffix=r"\b"), Keyword),
            (words(tuple(STEPS), suffix=r"\b"), Name.Function),
            (words({word for block in BLOCKS.values() for word in block}, suffix=r"\b"), Keyword.Type),
            (r"[A-Za-z_]\w*", Name),
            (r"[-+*/%=<>]+", Operator),
            (r"[][(){},.]", Punctuation),
            (r"\s+", Text),
        ]
    }


def on_config(config: Any) -> Any:
    """Let Pygments find the lexer by the blocks' language."""
    sys.modules.setdefault("zoo_lexer", sys.modules[ZooLexer.__module__])
    LEXERS["ZooLexer"] = ("zoo_lexer", "Zoo", ("zoo",), ("*.zoo",), ())
    return config
