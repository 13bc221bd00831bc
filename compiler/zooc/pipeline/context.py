"""The effects of a compile: the cache, what is shown while it runs, what is told to the user at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error
from zooc.pipeline.stages import STAGES
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime.data.remote import retries_told
from zooc_runtime.support.workers import HERE, Workers

__all__ = ["Context", "Stopped", "engine_refusal"]


_RUNNING = re.compile(r"while running (\w+) node\. Name:'([^']*)'")
"""How ONNX Runtime names the node that it fails in."""


class Stopped(Exception):
    """The compile has reached the stage before which it was to stop."""


class Context:
    """What every stage of one compile shares.

    Attributes:
        cache: of networks and calibrations.
        progress: shows what is under way.
        workers: who runs images: this process, or a cluster.
        stop_before: one of `STAGES`, or `None` to run them all.
        verify_images: the cache knows images by what is in them, however many there are.
        warnings: what the user should know, as it was found.
        facts: what the stages so far have found, as plain JSON data.
    """

    def __init__(
        self,
        cache: Cache,
        progress: Progress,
        stop_before: str | None = None,
        workers: Workers = HERE,
        *,
        verify_images: bool = False,
    ) -> None:
        """Begin with nothing found."""
        self.workers = workers
        self.cache = cache
        self.progress = progress
        self.stop_before = stop_before
        self.verify_images = verify_images
        self.warnings: list[Diagnostic] = []
        self.facts: dict[str, Any] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Surround one of `STAGES`.

        Raises:
            Stopped: the compile is to stop before this stage, or before an earlier one that it left out.
            ZoocError: Z0519, ONNX or ONNX Runtime refuse the network in the midst of it.
        """
        if self.stop_before is not None and STAGES.index(name) >= STAGES.index(self.stop_before):
            raise Stopped(name)
        with self.progress.stage(name), retries_told(self.progress.note):
            try:
                yield
            except Exception as problem:  # ONNX Runtime's own exceptions share no base class but this one
                if (refusal := engine_refusal(problem, name)) is None:
                    raise
                raise ZoocError(refusal) from problem

    def diagnostics(self) -> list[Diagnostic]:
        """Return all warnings so far, those of the cache too."""
        return [*self.warnings, *self.cache.warnings]

    def warn(self, found: Iterable[Diagnostic]) -> None:
        """Keep warnings for the end."""
        self.warnings += found


def engine_refusal(problem: Exception, stage: str) -> Diagnostic | None:
    """Return Z0519 for what ONNX or ONNX Runtime raised at a stage; `None` for what is not theirs."""
    if type(problem).__module__.partition(".")[0] not in ("onnx", "onnxruntime"):
        return None
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    node = _RUNNING.search(str(problem))
    where = f" in {node[1]} {node[2]}" if node else ""
    return error(
        "Z0519",
        f"ONNX Runtime refuses the network{where}, at the stage {stage}",
        notes=tuple(lines[:1]),
        hint='compile it as `quantize fp32`, or keep that layer out of int8: `keep fp32 ["PATTERN"]`',
    )
