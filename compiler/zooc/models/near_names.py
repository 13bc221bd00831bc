"""Names to suggest for an unknown model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ["near_names"]


def near_names(name: str, known: Sequence[str]) -> list[str]:
    """Names to suggest for an unknown one, best first: close spellings, then those that contain it."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.75)
    containing = sorted((k for k in known if name and name in k), key=lambda k: (len(k), k))
    return list(dict.fromkeys([*close, *containing]))[:5]
