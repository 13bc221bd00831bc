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
from zooc.networks.torch.export_process import Task

__all__ = ["work"]


def work() -> None:
    """Read `(model, file, task)` from standard input and answer it.

    The answer is any number of `("progress", text)`, then `("done", operations, guess or None)` or
    `("error", diagnostics)`.
    """
    # Ctrl-C reaches the parent too, which decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    model, file, task = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    try:
        _answer(answers, "done", _export(model, Path(file), task, answers))
    except ZoocError as problem:
        _answer(answers, "error", problem.diagnostics)


def _export(model: Model, file: Path, task: Task, answers: BinaryIO) -> Any:
    def on_progress(text: str) -> None:
        _answer(answers, "progress", text)

    answer: Any = None
    if model.source.kind != "torch":
        from zooc.networks.torch.source import export_here

        network, answer = export_here(model, task == "count", on_progress)
    elif task == "guess":
        from zooc.networks.torch.program.open_here import guess_here

        answer, network = guess_here(model, on_progress)
    else:
        from zooc.networks.torch.program.open_here import open_here

        network = open_here(model, on_progress)
    write_network(network, file)
    return answer


def _answer(answers: BinaryIO, kind: str, value: Any) -> None:
    pickle.dump((kind, value), answers)
    answers.flush()
