"""Exports a model in a process of its own, whose memory is free again afterwards."""

from __future__ import annotations

import pickle
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

from zooc.deployment import Model
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.networks.network import Network, read_network
from zooc.networks.onnx_file.guess import Guess
from zooc.networks.source import Progress
from zooc.support.worker import worker_command

__all__ = ["Task", "export_apart", "guess_apart"]

Task = Literal["export", "count", "guess"]
"""What the process does beside writing the network: nothing, count operations, or tell what it guessed."""


def export_apart(model: Model, on_progress: Progress, *, count: bool = False) -> tuple[Network, int | None]:
    """The network, and with `count` its operations for one image (`zooc.networks.torch.count_operations`).

    Raises:
        ZoocError: what the export raises; `Z0223` if its process dies; `Z0702` if its file cannot be written.
    """
    network, operations = _apart(model, "count" if count else "export", on_progress)
    return network, operations


def guess_apart(model: Model, on_progress: Progress) -> tuple[Guess, Network]:
    """What can be told of a program's file, and its network.

    Raises:
        ZoocError: as for `export_apart`.
    """
    network, guess = _apart(model, "guess", on_progress)
    return guess, network


def _apart(model: Model, task: Task, on_progress: Progress) -> tuple[Network, Any]:
    try:
        with tempfile.TemporaryDirectory(prefix="zooc-") as folder:
            file = Path(folder, "network")
            answer = _run(model, file, task, on_progress, Path(folder, "messages"))
            return read_network(file, model.source.span), answer
    except OSError as problem:
        raise ZoocError(
            error(
                "Z0702",
                f"cannot write the temporary export: {problem.strerror or problem}",
                hint=f"free space in {tempfile.gettempdir()}, or set TMPDIR to another folder",
            )
        ) from problem


def _run(model: Model, file: Path, task: Task, on_progress: Progress, messages: Path) -> Any:
    command = worker_command("zooc.networks.torch.export_worker")
    with (
        messages.open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            kind, value = _converse(process, (model, str(file), task), on_progress)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            process.wait()
            raise _died(model, process.returncode, messages) from None
        except BaseException:
            process.kill()
            raise
    if kind == "error":
        raise ZoocError(*value)
    return value


def _converse(process: subprocess.Popen[bytes], question: Any, on_progress: Progress) -> tuple[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise EOFError
    with process.stdin as pipe:
        pickle.dump(question, pipe)
    while True:
        kind, value = pickle.load(process.stdout)  # noqa: S301 - our own child wrote it
        if kind != "progress":
            return kind, value
        on_progress(value)


def _died(model: Model, status: int, messages: Path) -> ZoocError:
    name = model.source.shown
    if status < 0:
        how = f"was killed by signal {-status}"
        hint = "the machine most likely ran out of memory; close other programs, or choose a smaller model"
    else:
        how = f"ended with status {status}"
        hint = "install matching versions of torch and its packages: pip install -U 'zooc[models]'"
    lines = messages.read_text("utf-8", "replace").strip().splitlines()
    notes = (lines[-1],) if lines else ()
    return ZoocError(
        error("Z0223", f"the process exporting {name} {how}", model.source.span, notes=notes, hint=hint)
    )
