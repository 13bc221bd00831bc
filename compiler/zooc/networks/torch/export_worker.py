"""The process that imports torch: it exports one model, writes it to a file, and ends.

torch, its exporter and the module keep a gigabyte and more for as long as their process lives, which
calibration then lacks. Frames go to standard output, pickled; nothing else may be written there.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from zooc.deployment import Model
from zooc.diagnostics.diagnostic import ZoocError
from zooc.networks.network import write_network

__all__ = ["work"]


def work() -> None:
    """Read `(model, file, count)` from standard input and answer it.

    The answer is any number of `("progress", text)`, then `("done", operations or None)` or
    `("error", diagnostics)`.
    """
    # Ctrl-C reaches the parent too, which decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    model, file, count = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    try:
        _answer(answers, "done", _export(model, Path(file), count, answers))
    except ZoocError as problem:
        _answer(answers, "error", problem.diagnostics)


def _export(model: Model, file: Path, count: bool, answers: BinaryIO) -> int | None:
    from zooc.networks.torch.source import export_here

    network, operations = export_here(model, count, lambda text: _answer(answers, "progress", text))
    write_network(network, file)
    return operations


def _answer(answers: BinaryIO, kind: str, value: Any) -> None:
    pickle.dump((kind, value), answers)
    answers.flush()
