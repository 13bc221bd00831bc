"""Did you mean: the known words nearest to an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "either"]


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming up to three near words of `known`, `None` when none is near."""
    by_fold: dict[str, str] = {}
    for candidate in known:
        by_fold.setdefault(candidate.casefold(), candidate)
    near = difflib.get_close_matches(word.casefold(), by_fold, n=3, cutoff=0.6)
    return f"did you mean {either(by_fold[match] for match in near)}?" if near else None


def either(words: Iterable[str]) -> str:
    """The words in backquotes, in the form "`a`, `b` or `c`"."""
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
