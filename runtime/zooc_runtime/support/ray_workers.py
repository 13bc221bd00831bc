"""Workers on a Ray cluster: tasks, retries and the object store are Ray's; here is what goes over and back.

The code goes out as `py_modules`, a job once into the object store; every worker process opens it once. A
shard is one task of one CPU: Ray runs it again when its worker or node dies, and only then. Nothing of
Ray's is shown, and no usage statistics are sent.
"""

from __future__ import annotations

import difflib
import importlib
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..errors import PackageError
from .workers import Job

__all__ = ["RayProblem", "RayWorkers", "check_address", "connect", "own_code"]

S = TypeVar("S")
R = TypeVar("R")

COMPARED = ("numpy", "onnxruntime", "PIL")
"""Modules whose versions decide results; a worker has the caller's."""

_RETRIES = 10
"""Deaths of a shard's worker after which the shard itself is blamed."""

_AHEAD = 2
"""Shards under way or queued for each CPU, so that none waits for the caller."""

_REORDER = 8
"""How far a shard may be before the first unfinished one, in shards for each CPU: bounds the memory."""

_POLL = 0.5
_REACH_S, _JOIN_S = 4.0, 10.0
"""Seconds to reach an address, and for Ray to answer there; Ray itself would try for two minutes."""


_HEAD_S = 15.0
_HEAD_LOST = "the head node does not answer; Ray ends this command within a minute (what is done is kept)"
"""Said after so many seconds: then Ray ends the process, and asks nobody."""


class RayProblem(PackageError):
    """What is wrong with a cluster, before or while it works.

    Attributes:
        kind: `missing`, `address`, `unreachable`, `versions` or `died`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return RayProblem, (self.kind, str(self))


def check_address(text: str) -> str:
    """Return what `--ray` was given: `local`, `auto`, `HOST:PORT` or `ray://HOST:PORT`.

    Raises:
        RayProblem: it is none of them.
    """
    match = re.fullmatch(r"(?:ray://)?(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})", text, re.ASCII)
    if text in ("local", "auto") or (match and 0 < int(match[1]) < 1 << 16):
        return text
    near = difflib.get_close_matches(text.lower(), ("local", "auto"), 1)
    advice = f'did you mean "{near[0]}"?' if near else "give local, auto or HOST:PORT"
    raise RayProblem("address", f"--ray {text!r}: not the address of a Ray cluster; {advice}")


def own_code() -> Path:
    """Return the folder of the top-level package of this code: zooc_runtime, or a compiled package."""
    file = importlib.import_module(__name__.partition(".")[0]).__file__
    assert file is not None
    return Path(file).parent


def versions_here(modules: Sequence[str] = COMPARED) -> dict[str, str]:
    """Return the versions of Python, of modules by name, and of this machine's Ray."""
    found = {name: str(importlib.import_module(name).__version__) for name in modules}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **found}


@contextmanager
def connect(
    address: str,
    code: Sequence[Path],
    cpus: int,
    tell: Callable[[str], None] = lambda _text: None,
    *,
    modules: Sequence[str] = COMPARED,
) -> Iterator[RayWorkers]:
    """Join a cluster, or start one, for as long as the context lasts.

    Args:
        address: as `check_address` returns it; `local` starts a cluster on this machine that ends with the
            context.
        code: folders of the packages that jobs are written in; data in them (`*.onnx`, `*.npz`) stays here.
        cpus: how many workers a cluster that is started here has.
        tell: called with a line for the user: a worker died, none is left.
        modules: whose versions workers must share with this process.

    Raises:
        RayProblem: Ray is not installed, or there is no cluster at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Ray's tips on its own future
            ray = importlib.import_module("ray")
    except ImportError:
        remedy = "pip install 'ray>=2.60'"
        raise RayProblem("missing", f"--ray {address}: Ray is not installed; {remedy}") from None
    if address != "local":
        _check_reachable(address)
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": "CRITICAL",
        "runtime_env": {
            "py_modules": [str(folder) for folder in code],
            "excludes": ["*.onnx", "*.npz", "__pycache__"],
        },
    }
    if address == "local":
        options |= {"num_cpus": cpus, "include_dashboard": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, on its settings
        try:
            ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError) as problem:
            raise RayProblem("unreachable", f"--ray {address}: {_first_line(problem)}") from None
    printed = _silence(ray)
    try:
        yield RayWorkers(ray, versions_here(modules), tell)
    finally:
        ray.shutdown()
        ray._private.worker.print_to_stdstream = printed


def _silence(ray: Any) -> Callable[..., None]:
    """Keep Ray from printing each death of a worker on standard output, which no setting does.

    Returns:
        What printed, to be put back.
    """
    printed: Callable[..., None] = ray._private.worker.print_to_stdstream
    ray._private.worker.print_to_stdstream = lambda *_arguments, **_named: None
    return printed


class RayWorkers:
    """The workers of a cluster.

    Attributes:
        retries: shards that were run again because a worker died, as far as their results have come.
        seen: the worker processes that have given a result: address of the node, process id.
    """

    def __init__(self, ray: Any, versions: Mapping[str, str], tell: Callable[[str], None]) -> None:
        """Take the module `ray`, connected; `connect` does both."""
        self._ray, self._versions, self._tell = ray, dict(versions), tell
        self._looked, self._cpus, self._alone = 0.0, 0, False
        self.retries = 0
        self.seen: set[tuple[str, int]] = set()

    def map(self, job: Job[S, R], shards: Iterable[S]) -> Generator[tuple[int, R]]:
        """See `Workers.map`.

        Raises:
            RayProblem: a worker has other versions, or a shard killed every worker that it was given to.
            Exception: what the job raised.
        """
        ray = self._ray
        box = [ray.put(job)]  # in a list, so that a task does not unpickle what its process has opened
        run = ray.remote(num_cpus=1, max_retries=_RETRIES)(_worker_function())
        source = enumerate(shards)
        waiting: dict[Any, int] = {}
        following = next(source, None)
        try:
            while following is not None or waiting:
                cpus = max(self.cpus(), 1)
                while following is not None and self._may_begin(following[0], waiting, cpus):
                    reference = run.remote(box, box[0].hex(), self._versions, following[1])
                    waiting[reference] = following[0]
                    following = next(source, None)
                if ray.wait(list(waiting), num_returns=1, timeout=_POLL)[0]:
                    done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
                    for reference in done:
                        yield waiting.pop(reference), self._result(reference)
        finally:
            for reference in waiting:
                ray.cancel(reference)

    def cpus(self) -> int:
        """Return the CPUs that the cluster has now, at most two seconds old; 0 is told to the user once."""
        if time.monotonic() - self._looked > 2.0:
            late = threading.Timer(_HEAD_S, self._tell, [_HEAD_LOST])
            late.daemon = True
            late.start()
            try:
                self._cpus = int(self._ray.cluster_resources().get("CPU", 0))
            finally:
                late.cancel()
            self._looked = time.monotonic()
            if (self._cpus == 0) != self._alone:
                self._alone = self._cpus == 0
                self._tell(
                    "the cluster has no worker left; waiting for one (Ctrl-C ends, and keeps what is done)"
                    if self._alone
                    else f"the cluster has {self._cpus} CPUs again"
                )
        return self._cpus

    def in_words(self) -> str:
        """Return `4 workers`, and how often one died."""
        count = len(self.seen)
        died = f", {self.retries} shard{'s' * (self.retries != 1)} run again" if self.retries else ""
        return f"{count} worker{'s' * (count != 1)}{died}"

    @staticmethod
    def _may_begin(place: int, waiting: Mapping[Any, int], cpus: int) -> bool:
        if not waiting:
            return True
        return len(waiting) < _AHEAD * cpus and place - min(waiting.values()) < _REORDER * cpus

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            differing, result, worker, attempt = self._ray.get(reference)
        except errors.RayTaskError as problem:
            raise problem.cause from None
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as problem:
            message = f"a worker died {_RETRIES + 1} times at the same images: {_first_line(problem)}"
            raise RayProblem("died", f"{message}; more memory for each worker may help") from None
        if differing:
            named = ", ".join(f"{name} {theirs}, here {ours}" for name, (theirs, ours) in differing.items())
            remedy = "install the same versions on every node"
            raise RayProblem("versions", f"the worker {worker[0]} has {named}; {remedy}")
        self.seen.add(worker)
        if attempt:
            self.retries += attempt
            self._tell(f"a worker died; {self.retries} shards were run again so far")
        return result


def _worker_function() -> Callable[..., Any]:
    """What a task runs; being local it is pickled by value, and needs nothing but Ray to be unpickled."""
    opened: dict[str, Callable[[Any], Any]] = {}

    def run(box: list[Any], key: str, versions: dict[str, str], shard: Any) -> Any:
        import contextlib
        import importlib
        import os
        import platform

        ray: Any = importlib.import_module("ray")
        worker = (ray.util.get_node_ip_address(), os.getpid())
        attempt = 0
        with contextlib.suppress(AttributeError):  # only counted, and by no public means
            attempt = ray._private.worker.global_worker.core_worker.get_current_task_attempt_number()
        if key not in opened:
            found = {"python": ".".join(platform.python_version_tuple()[:2])}
            for name in versions.keys() - found:
                try:
                    found[name] = str(importlib.import_module(name).__version__)
                except ImportError:
                    found[name] = "not installed"
            differing = {name: (found[name], ours) for name, ours in versions.items() if found[name] != ours}
            if differing:
                return differing, None, worker, attempt
            opened.clear()
            opened[key] = ray.get(box[0]).open()
        return {}, opened[key](shard), worker, attempt

    return run


def _check_reachable(address: str) -> None:
    """Raise unless Ray answers, in a process of its own: where it does not, it ends its process."""
    problem = f"--ray {address}: no Ray cluster answers there"
    if address != "auto":
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RayProblem("unreachable", f"{problem} ({reason}); check the address") from None
    probe = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='CRITICAL')"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", probe, address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=_JOIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise RayProblem("unreachable", f"{problem}; check the address, and `ray status`") from None
    if process.returncode:
        last = said.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        if address == "auto":
            remedy = "start one with `ray start --head`, or give --ray local"
            raise RayProblem("unreachable", f"--ray auto: no Ray cluster runs here; {remedy}")
        raise RayProblem("unreachable", f"{problem} ({last[0].partition(': ')[2] or last[0]})")


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
