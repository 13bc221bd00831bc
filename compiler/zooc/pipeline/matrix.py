"""Many compiles: descriptions and their variants, each in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error
from zooc.frontend.semantics.analyze import variant_names
from zooc.frontend.syntax.parser import parse
from zooc.frontend.syntax.source import read_source
from zooc.package.emit import check_output
from zooc_runtime.inference.cpu import available_cores

__all__ = ["Cell", "CompileJob", "Outcome", "Processes", "checked", "default_jobs", "plan"]

_EACH = 4 << 30
"""Bytes that a compile may take: of large networks it is 4.4 GB, of most a tenth (docs/networks.md)."""

_START = """\
import sys
sys.path[:] = {path!r}
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: no compile outlives who asked for it
from zooc.__main__ import main
main()
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One compile.

    Attributes:
        file: the `.zoo` file, absolute.
        variant: of the file, or the file as it is.
        output: the package's folder, absolute.
        options: further arguments of `zooc compile`.
    """

    file: Path
    variant: str | None
    output: Path
    options: tuple[str, ...] = ()

    def in_words(self) -> str:
        """Return the file's path, and the variant's name."""
        return str(self.file) + ("" if self.variant is None else f", variant {self.variant}")

    @property
    def arguments(self) -> list[str]:
        """Return the command line that compiles it."""
        variant = [] if self.variant is None else ["--variant", self.variant]
        wanted = [str(self.file), *variant, "-o", str(self.output), *self.options]
        return ["compile", *wanted, "--format", "json"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a compile: what `compile --format json` said, after so many seconds."""

    cell: Cell
    said: dict[str, Any]
    seconds: float

    @property
    def done(self) -> bool:
        """Whether the package is written."""
        return bool(self.said["ok"])

    def to_json(self) -> dict[str, Any]:
        """Return plain data, for `--format json`."""
        cell, agreement = self.cell, self.said.get("agreement") or {}
        codes = [one["code"] for one in self.said["diagnostics"] if one["severity"] == "error"]
        return {
            "file": str(cell.file),
            "variant": cell.variant,
            "state": "done" if self.done else "failed",
            "dtype": self.said.get("dtype"),
            "bytes": self.said.get("bytes"),
            "sqnr_db": agreement.get("sqnr_db"),
            "top1_agreement": agreement.get("top1_agreement"),
            "seconds": round(self.seconds, 1),
            "package": self.said.get("package"),
            "codes": codes,
            "diagnostics": self.said["diagnostics"],
        }


def plan(
    files: Sequence[Path],
    *,
    all_variants: bool = False,
    variant: str | None = None,
    root: Path,
    options: tuple[str, ...] = (),
) -> list[Cell]:
    """Return the compiles, each with a folder of its own: `ROOT/STEM`, `ROOT/STEM-VARIANT`.

    Args:
        files: the descriptions.
        all_variants: whether each of their variants is compiled too.
        variant: the one variant that is compiled of each.
        root: the folder around the packages.
        options: further arguments of each `zooc compile`.

    Raises:
        ZoocError: Z0645, two of them have the same folder.
    """
    cells = []
    for file in files:
        for name in (variant, *(_variants(file) if all_variants else ())):
            folder = file.stem if name is None else f"{file.stem}-{name}"
            cells.append(Cell(file.absolute(), name, (root / folder).absolute(), options))
    taken: dict[str, Cell] = {}
    for cell in cells:
        # Some file systems take names that differ in case alone for the same.
        if (other := taken.setdefault(str(cell.output).casefold(), cell)) is not cell:
            raise ZoocError(_same_place(cell, other))
    return cells


def _variants(file: Path) -> tuple[str, ...]:
    """The file's variants; none of a file that is wrong, which its own compile will say."""
    source, _ = read_source(file)
    tree = None if source is None else parse(source)[0]
    return () if tree is None else variant_names(tree)


def checked(cell: Cell) -> Outcome | None:
    """Return the failure of a compile whose folder is taken, `None` where it is free."""
    try:
        check_output(cell.output, force="--force" in cell.options)
    except ZoocError as problem:
        return Outcome(cell, _failed(problem.diagnostics), 0.0)
    return None


def default_jobs() -> int:
    """Return how many compiles run at a time: one a core, and as many as memory is surely enough for."""
    return max(1, min(available_cores(), _available_memory() // _EACH))


@dataclass(frozen=True)
class CompileJob:
    """The job: a compile's outcome, from a process of its own.

    Attributes:
        again: the compile may be run again after a worker has died, which may have written the package: it
            replaces it. That no other package is there was to be `checked` before.
    """

    again: bool = False

    def open(self) -> _Compiler:
        """See `zooc_runtime.support.workers.Job`."""
        return _Compiler(self.again)


class _Compiler:
    """Compiles in processes of their own, which can be ended together."""

    def __init__(self, again: bool) -> None:
        self._again = again
        self._running: set[subprocess.Popen[str]] = set()

    def __call__(self, cell: Cell) -> Outcome:
        begin = time.monotonic()
        more = ["--force"] if self._again and "--force" not in cell.options else []
        command = [sys.executable, "-c", _START.format(path=sys.path), *cell.arguments, *more]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        ) as process:
            self._running.add(process)
            output, messages = process.communicate()
            self._running.discard(process)
        try:
            said = json.loads(output)
        except ValueError:
            said = _failed([_died(cell, process.returncode, messages)])
        return Outcome(cell, said, time.monotonic() - begin)

    def stop(self) -> None:
        """End those under way."""
        for process in tuple(self._running):
            process.kill()


class Processes:
    """This machine as workers (`zooc_runtime.support.workers.Workers`) for compiles, some at a time."""

    def __init__(self, jobs: int) -> None:
        """Run so many at a time."""
        self._jobs = jobs

    def map(self, job: CompileJob, shards: Iterable[Cell]) -> Generator[tuple[int, Outcome]]:
        """See `Workers`; when the reader stops, nothing is begun any more, and what is under way ends."""
        work, pool = job.open(), ThreadPoolExecutor(self._jobs)
        try:
            futures = {pool.submit(work, shard): place for place, shard in enumerate(shards)}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            work.stop()


def _failed(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    from zooc.diagnostics.render import to_json

    return {"ok": False, "diagnostics": [to_json(one) for one in diagnostics]}


def _died(cell: Cell, code: int, said: str) -> Diagnostic:
    reason = f"exit code {code}"
    if code < 0:
        reason = f"signal {signal.Signals(-code).name}"
    last = said.strip().splitlines()[-1:]
    hint = "compile it alone to see why; where memory was short, lower --jobs"
    return error("Z0647", f"the compile of {cell.file} ended by {reason}", notes=tuple(last), hint=hint)


def _same_place(cell: Cell, other: Cell) -> Diagnostic:
    first, second = other.in_words(), cell.in_words()
    hint = "rename one of the files, or compile them with different -o"
    return error("Z0645", f"{first} and {second} would both be written to {cell.output}", hint=hint)


def _available_memory() -> int:
    """Bytes of memory that can be had; where the system does not tell, enough for one compile."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return _EACH
