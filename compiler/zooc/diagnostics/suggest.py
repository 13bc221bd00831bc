"""Did you mean: the known words nearest to an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["all_of", "did_you_mean", "either", "near_names"]


_MARGIN = 0.15
"""Candidates this much less alike than the best are noise beside it."""


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """A hint naming up to three near words of `known`, `None` when none is as near as `cutoff` (of 1)."""
    by_fold: dict[str, str] = {}
    for candidate in known:
        by_fold.setdefault(candidate.casefold(), candidate)
    wanted = word.casefold()
    near = difflib.get_close_matches(wanted, by_fold, n=3, cutoff=cutoff)
    ratios = [difflib.SequenceMatcher(None, match, wanted).ratio() for match in near]
    kept = [by_fold[match] for match, ratio in zip(near, ratios, strict=True) if ratio >= ratios[0] - _MARGIN]
    return f"did you mean {either(kept)}?" if kept else None


def either(words: Iterable[str]) -> str:
    """Return the words in backquotes, in the form "`a`, `b` or `c`"."""
    return _joined(words, "or")


def all_of(words: Iterable[str]) -> str:
    """Return the words in backquotes, in the form "`a`, `b` and `c`"."""
    return _joined(words, "and")


def _joined(words: Iterable[str], last: str) -> str:
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def near_names(name: str, known: Sequence[str]) -> list[str]:
    """Name to suggest for an unknown one, best first: close spellings, then those that contain it."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.75)
    containing = sorted((k for k in known if name and name in k), key=lambda k: (len(k), k))
    return list(dict.fromkeys([*close, *containing]))[:5]
