"""What a long search has tried so far, kept in the cache for the next run of the same command."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from zooc.support.cache import Cache

__all__ = ["KeptTrials"]

_SAVE_EVERY = 5.0


class KeptTrials:
    """One entry of the cache, by what was tried; values have a JSON form."""

    def __init__(self, cache: Cache, family: str, name: str) -> None:
        """Touch nothing yet; `name` is what `cache.key` returned."""
        self._cache, self._family, self._name = cache, family, name
        self._saved, self._count = time.monotonic(), -1

    def load(self) -> dict[str, Any]:
        """Return what an earlier search has left."""
        path = self._cache.get(self._family, self._name)
        if path is None:
            return {}
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        self._count = len(found)
        return dict(found)

    def save(self, done: dict[str, Any], *, now: bool = False) -> None:
        """Keep it, if there is more and it is time."""
        if len(done) == self._count or not (now or time.monotonic() - self._saved > _SAVE_EVERY):
            return
        text = json.dumps(done, sort_keys=True)

        def write(path: Path) -> None:
            path.write_text(text, "utf-8")

        self._cache.put(self._family, self._name, write)
        self._saved, self._count = time.monotonic(), len(done)
