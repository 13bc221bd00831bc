"""The effects of a compile: the cache, what is shown while it runs, what is told to the user at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from zooc.diagnostics.diagnostic import Diagnostic
from zooc.pipeline.stages import STAGES
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime.support.workers import HERE, Workers

__all__ = ["Context", "Stopped"]


class Stopped(Exception):
    """The compile has reached the stage before which it was to stop."""


class Context:
    """What every stage of one compile shares.

    Attributes:
        cache: of networks and calibrations.
        progress: shows what is under way.
        workers: who runs images: this process, or a cluster.
        stop_before: one of `STAGES`, or `None` to run them all.
        warnings: what the user should know, as it was found.
        facts: what the stages so far have found, as plain JSON data.
    """

    def __init__(
        self,
        cache: Cache,
        progress: Progress,
        stop_before: str | None = None,
        workers: Workers = HERE,
    ) -> None:
        """Begin with nothing found."""
        self.workers = workers
        self.cache = cache
        self.progress = progress
        self.stop_before = stop_before
        self.warnings: list[Diagnostic] = []
        self.facts: dict[str, Any] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Surround one of `STAGES`.

        Raises:
            Stopped: the compile is to stop before this stage, or before an earlier one that it left out.
        """
        if self.stop_before is not None and STAGES.index(name) >= STAGES.index(self.stop_before):
            raise Stopped(name)
        with self.progress.stage(name):
            yield

    def diagnostics(self) -> list[Diagnostic]:
        """Return all warnings so far, those of the cache too."""
        return [*self.warnings, *self.cache.warnings]

    def warn(self, found: Iterable[Diagnostic]) -> None:
        """Keep warnings for the end."""
        self.warnings += found
