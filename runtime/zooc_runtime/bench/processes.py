"""Several benchmark processes: spawned, started together once all are warm, their measurements collected."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from ..errors import PackageError
from .job import Job, Measurement
from .served import measure_served, prepare_served
from .worker import measure, prepare

__all__ = ["run_jobs"]


def run_jobs(jobs: Sequence[Job]) -> list[Measurement]:
    """Run each job in a process of its own (a single one in this process).

    Raises:
        PackageError: a process failed; the others are ended.
    """
    if len(jobs) == 1:
        return [_prepared(jobs[0])()]
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = []
    pipes: list[Connection] = []
    try:
        for job in jobs:
            ours, theirs = context.Pipe()
            process = context.Process(target=_child, args=(theirs, job), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        _collect(pipes, "warm")
        for pipe in pipes:
            pipe.send("go")
        measured = _collect(pipes, "done")
        for process in processes:
            process.join()
        return [Measurement(**content) for content in measured]
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()


def _collect(pipes: Sequence[Connection], wanted: str) -> list[dict[str, Any]]:
    """One message of each process, in the order of `pipes`; fails as soon as one of them does."""
    answers: dict[int, dict[str, Any]] = {}
    while len(answers) < len(pipes):
        for pipe in wait([pipe for i, pipe in enumerate(pipes) if i not in answers]):
            index = next(i for i, known in enumerate(pipes) if known is pipe)
            try:
                kind, content = pipes[index].recv()
            except (EOFError, ConnectionError):
                raise PackageError(
                    f"benchmark process {index} ended without a result, possibly for lack of memory; "
                    f"lower --processes"
                ) from None
            if kind != wanted:
                raise PackageError(f"benchmark process {index}: {content}")
            answers[index] = content
    return [answers[i] for i in range(len(pipes))]


def _prepared(job: Job) -> Callable[[], Measurement]:
    """Load the package, or connect to the server, and warm up; returns what then measures."""
    if job.server is not None:
        return partial(measure_served, job, *prepare_served(job))
    return partial(measure, job, *prepare(job))


def _child(pipe: Connection, job: Job) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends us
    try:
        measured = _prepared(job)
        pipe.send(("warm", {}))
        pipe.recv()
        pipe.send(("done", asdict(measured())))
    except PackageError as error:
        pipe.send(("failed", str(error)))
    except (EOFError, ConnectionError):
        sys.exit(1)
    except Exception as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
