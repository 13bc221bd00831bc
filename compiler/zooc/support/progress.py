"""How a long run tells what it is doing: bars on a terminal, plain lines elsewhere, nothing when quiet.

Everything goes to standard error, so that standard output holds results alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zooc_runtime.quoted import quoted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

__all__ = ["Progress", "make_progress"]

Advance = Callable[[int], None]


class Progress:
    """Says nothing; the other kinds override what they show."""

    def note(self, text: str) -> None:
        """One line of information."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Surround one stage of the pipeline."""
        yield

    @contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        """Surround work of `total` items; the callable given takes how many more are done."""
        yield lambda _count: None


class _Lines(Progress):
    """Plain lines, for logs and pipes."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose

    def note(self, text: str) -> None:
        _say(f"  {quoted(text)}")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        if self._verbose:
            _say(f"{name} ...")
        yield
        _say(f"{name}: {time.perf_counter() - start:.1f} s")

    @contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        done, next_line, start = 0, 0.25, time.monotonic()

        def advance(count: int) -> None:
            nonlocal done, next_line
            done += count
            if total and done / total >= next_line:
                rate = done / max(time.monotonic() - start, 1e-3)
                left = f", {(total - done) / rate:.0f} s left" if done < total else ""
                _say(f"  {description}: {done} of {total}, {rate:.1f}/s{left}")
                next_line = done / total + 0.25

        yield advance


class _Bars(Progress):
    """Rich bars on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def note(self, text: str) -> None:
        self._console.print(f"  {quoted(text)}", markup=False, highlight=False, style="dim")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        with self._console.status(name.replace("_", " ")) as self._status:
            yield
        self._status = None
        seconds = time.perf_counter() - start
        self._console.print(f"[green]✓[/] {name.replace('_', ' ')} [dim]{seconds:.1f} s[/]", highlight=False)

    @contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        from rich import progress

        columns = (
            progress.TextColumn("  {task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(),
        )
        # A spinner and a bar cannot live on one console at a time.
        if self._status:
            self._status.stop()
        with progress.Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(description, total=total, rate="")

            def advance(count: int) -> None:
                bar.advance(task, count)
                speed = bar.tasks[0].speed
                bar.update(task, rate=f"{speed:.1f}/s" if speed else "")

            yield advance
        if self._status:
            self._status.start()


def make_progress(*, quiet: bool = False, verbose: bool = False) -> Progress:
    """Return the kind of progress that suits standard error."""
    if quiet:
        return Progress()
    if not sys.stderr.isatty():
        return _Lines(verbose)
    from rich.console import Console

    return _Bars(Console(stderr=True))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
