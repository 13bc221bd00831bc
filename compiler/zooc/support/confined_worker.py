"""The process that `zooc.support.confined` starts: it calls functions under limits of time and memory.

Frames go to standard output, pickled: `None` never, first `("ready", None)`, then one answer a request.
"""

from __future__ import annotations

import importlib
import os
import pickle
import select
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from zooc.diagnostics.diagnostic import ZoocError
from zooc.support.limits import VARIABLE

__all__ = ["answer_forked", "work"]

_IDLE_SECONDS = 20
"""A worker that nobody asks keeps the memory of the libraries that it has imported."""

_PRELOADED = ("zooc.networks.onnx_file.source", "zooc.inspection.describe")
_OWN_MIB_PER_CORE = 200
"""Of address space: each thread of the engine reserves a stack and an arena of the C library."""

_LIBRARIES = ("onnx", "onnx_graphsurgeon", "onnxruntime")
"""What is raised inside of them is the file's fault: it says what is amiss, and most often where."""

_NO_MEMORY = ("bad_alloc", "Failed to allocate memory", "Unable to allocate", "bad allocation")


def work() -> None:
    """Answer requests `(folder, limits, function, arguments, memory, seconds)` until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    for name in _PRELOADED:
        importlib.import_module(name)
    _send(answers, ("ready", None))
    forks = sys.platform.startswith("linux")
    while not forks or select.select([requests], [], [], _IDLE_SECONDS)[0]:
        try:
            request = pickle.load(requests)  # noqa: S301 - our own parent wrote it
        except EOFError:
            return
        folder, os.environ[VARIABLE], *call = request
        os.chdir(folder)
        _send(answers, answer_forked(*call) if forks else _answer(*call[:2]))
        if not forks:
            return


def answer_forked(function: str, arguments: tuple[Any, ...], memory: int, seconds: int) -> tuple[str, Any]:
    """Return the answer of a fork of this process, which must have no threads, under limits (MiB, s)."""
    with tempfile.TemporaryFile() as file:
        child = os.fork()
        if not child:
            code = 1
            try:
                _limit(memory, seconds)
                _send(file, _answer(function, arguments))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status:
            signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            return "died", f"it ended by signal {signal}" if signal else "it ended without an answer"
        file.seek(0)
        found: tuple[str, Any] = pickle.load(file)  # noqa: S301 - our own child wrote it
        return found


def _limit(memory: int, seconds: int) -> None:
    """Bound the address space and, in case that nobody is left to stop it, the processor time."""
    import resource

    cores = os.cpu_count() or 1
    reserved = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    size = reserved + ((memory + cores * _OWN_MIB_PER_CORE) << 20)
    for kind, limit in ((resource.RLIMIT_AS, size), (resource.RLIMIT_CPU, (seconds + 5) * cores)):
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(function: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    module, _, name = function.partition(":")
    try:
        return "done", getattr(importlib.import_module(module), name)(*arguments)
    except ZoocError as problem:
        texts = [note for diagnostic in problem.diagnostics for note in diagnostic.notes]
        if any(sign in text for sign in _NO_MEMORY for text in texts):
            return "memory", texts[0]
        return "error", problem.diagnostics
    except Exception as problem:  # whatever a library makes of a damaged file
        text = f"{type(problem).__name__}: {problem}"
        if isinstance(problem, MemoryError) or any(sign in text for sign in _NO_MEMORY):
            return "memory", text
        frames = [frame for frame, _ in traceback.walk_tb(problem.__traceback__)]
        modules = (type(problem).__module__, str(frames[-1].f_globals.get("__name__")))
        if any(module.partition(".")[0] in _LIBRARIES for module in modules):
            return "refused", _first_line(text)
        place = traceback.extract_tb(problem.__traceback__)[-1]
        return "raised", f"{text} (at {Path(place.filename).name}:{place.lineno})"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), text)


def _send(stream: BinaryIO, value: Any) -> None:
    pickle.dump(value, stream)
    stream.flush()
