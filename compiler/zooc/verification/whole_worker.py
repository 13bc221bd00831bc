"""The process that runs the whole graph: it compares, prints the differences as JSON, and ends."""

from __future__ import annotations

import json
import pickle
import signal
import sys
from collections.abc import Iterator

from zooc_runtime.errors import PackageError
from zooc_runtime.inference.whole import Whole
from zooc_runtime.support.arrays import AnyArray

__all__ = ["work"]


def work() -> None:
    """Read `(model, boundaries, batch)` and then inputs from standard input; see `check_whole`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which decides
    model, boundaries, batch = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    try:
        differences = list(Whole(model, boundaries, batch).differences(_inputs()))
    except PackageError as problem:
        differences = [str(problem)]
    print(json.dumps(differences))  # noqa: T201 - the answer


def _inputs() -> Iterator[AnyArray]:
    while True:
        try:
            yield pickle.load(sys.stdin.buffer)  # noqa: S301 - as above
        except EOFError:
            return
