"""Calls a function in a process of its own that is stopped when it takes too long or too much memory.

What an ONNX file asks of the libraries that read and run it cannot be told beforehand: a loop need not end, a
shape may be computed, and a damaged file may end the process that reads it. So the first to run a file is a
process whose end costs nothing.

One worker (`zooc.support.confined_worker`) is started for all calls and imports the libraries once; on Linux
it forks for each call, elsewhere it serves one call and ends. It ends by itself after some idle seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.support.limits import VARIABLE, limits
from zooc.support.worker import worker_command

__all__ = ["call_confined"]

_START_SECONDS = 60
"""For the worker to import what it needs, on the slowest machine; not counted against the limit."""

_ENGINE_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""A process is forked safely where it has no threads; ONNX Runtime starts its own in the child."""


def call_confined(function: str, *arguments: Any, what: str, span: Span | None) -> Any:
    """Return what a function returns, run under the limits of `ZOOC_LIMITS`.

    Args:
        function: `package.module:name`; it, its arguments and its answer must be picklable.
        arguments: its arguments.
        what: the file that it works on, for messages.
        span: where that is named.

    Raises:
        ZoocError: what the function raises; `Z0514` after too long, `Z0515` for too much memory, `Z0517` if
            the process dies, `Z0518` for what ONNX's libraries refuse, `Z0911` if another library or zooc
            itself raises something else.
    """
    allowed = limits()
    place = (str(Path.cwd()), os.environ.get(VARIABLE, ""))
    request = (*place, function, arguments, allowed.memory, allowed.seconds)
    with _lock:
        kind, value = _ask(request, allowed.seconds)
    if kind == "done":
        return value
    if kind == "error":
        raise ZoocError(*value)
    raise ZoocError(_explained(kind, value, what, span, function))


class _Worker:
    def __init__(self) -> None:
        command = worker_command("zooc.support.confined_worker")
        self._process = subprocess.Popen(
            [command[0], "-W", "ignore", *command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ENGINE_THREADS},
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="zooc-confined", daemon=True).start()
        self.fresh = True

    def ask(self, request: Any, seconds: float) -> Any:
        """Return `(kind, value)`; `None` if the worker has gone.

        Raises:
            queue.Empty: there is no answer in time.
        """
        pipe = self._process.stdin
        try:
            if self.fresh and self._answers.get(timeout=_START_SECONDS) is None:
                return None
            self.fresh = False
            if pipe is None:
                return None
            pickle.dump(request, pipe)
            pipe.flush()
        except BrokenPipeError:
            return None
        return self._answers.get(timeout=seconds)

    def stop(self) -> None:
        """End the worker and the call that it serves."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, 9)
            else:
                self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()

    def _read(self) -> None:
        try:
            while self._process.stdout is not None:
                self._answers.put(pickle.load(self._process.stdout))  # noqa: S301 - our own child wrote it
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._answers.put(None)


_lock = threading.Lock()
_running: list[_Worker] = []


def _ask(request: Any, seconds: float) -> tuple[str, Any]:
    for _ in range(2):
        if not _running:
            _running.append(_Worker())
        worker = _running[0]
        was_idle = not worker.fresh
        try:
            answer = worker.ask(request, seconds)
        except queue.Empty:
            _stop()
            return "late", seconds
        except BaseException:
            _stop()
            raise
        if answer is not None:
            if not sys.platform.startswith("linux"):
                _stop()
            found: tuple[str, Any] = answer
            return found
        _stop()
        if not was_idle:
            break
    return "died", "its process ended"


def _stop() -> None:
    while _running:
        _running.pop().stop()


atexit.register(_stop)


def _explained(kind: str, value: Any, what: str, span: Span | None, function: str) -> Any:
    raise_it = "a file that you trust may take more: set the environment variable "
    if kind == "late":
        message = f"{what} was not read, converted and run on one example within {value} seconds"
        return error("Z0514", message, span, hint=f"{raise_it}{VARIABLE}=seconds=NUMBER")
    if kind == "memory":
        message = f"{what} takes more than {limits().memory:,} MiB of memory to read, convert and run once"
        return error("Z0515", message, span, notes=(value,), hint=f"{raise_it}{VARIABLE}=memory=NUMBER (MiB)")
    if kind == "died":
        message = f"{what} makes the libraries that read and run it end their process"
        hint = "check the file with onnx.checker.check_model(..., full_check=True), or export it again"
        return error("Z0517", message, span, notes=(value,), hint=hint)
    if kind == "refused":
        hint = "export the model again: this one is damaged, or was made to do harm"
        return error("Z0518", f"{what} is not a sound ONNX model: {value}", span, hint=hint)
    step = function.rpartition(":")[2].replace("_", " ").strip()
    message = f"{what} has something that zooc does not understand (step: {step})"
    hint = "export the model again; if onnx.checker.check_model accepts it, report it with this note"
    return error("Z0911", message, span, notes=(value,), hint=hint)
