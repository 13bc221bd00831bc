"""What every command shares: its options, and the one edge where errors are rendered and exit codes chosen.

Exit codes: 0 done, 1 the user's input, 2 usage, 70 our bug, 130 interrupted.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zooc.cli.options import Format

if TYPE_CHECKING:
    from zooc.diagnostics.diagnostic import Diagnostic

__all__ = [
    "as_json",
    "guard",
    "open_streams",
    "print_json",
    "show",
]

_BUG = 70
_INTERRUPTED = 130


def guard(work: Callable[[], int], output_format: Format = Format.human, *, verbose: bool = False) -> None:
    """Run a command's work and leave with its exit code; the one edge where errors are rendered."""
    from zooc.diagnostics.diagnostic import ZoocError, error

    def fail(*diagnostics: Diagnostic) -> int:
        if output_format is Format.json:
            print_json({"ok": False, "diagnostics": as_json(diagnostics)})
        else:
            show(diagnostics)
        return 1

    try:
        code = work()
        sys.stdout.flush()
    except ZoocError as problem:
        code = fail(*problem.diagnostics)
    except KeyboardInterrupt:
        typer.echo("interrupted; nothing was written", err=True)
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; the work itself is done.
        _settle_stdout()
        code = 0
    except (typer.Exit, typer.BadParameter):
        raise
    except MemoryError as problem:
        hint = "close other programs, or compile for smaller images or a smaller network"
        notes = (str(problem),) if str(problem) else ()
        code = fail(error("Z0515", "there is not enough memory", notes=notes, hint=hint))
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
            # A full temporary folder, or standard output redirected to a full disk.
            place = problem.filename or "temporary files or standard output"
            message = f"cannot write {place}: {problem.strerror}"
            _settle_stdout()
            code = fail(
                error("Z0702", message, hint="free some space, or set TMPDIR to a folder on another disk")
            )
        else:
            fail(_bug(problem))
            code = _BUG
        if verbose:
            traceback.print_exception(problem)
    raise typer.Exit(code)


def open_streams() -> None:
    """Give a process that was started with a standard stream closed (`2>&-`) one that swallows all."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for good


def _settle_stdout() -> None:
    """Keeps the flush at exit from failing too where the reader has gone or the disk is full."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _bug(problem: Exception) -> Diagnostic:
    from zooc.diagnostics.diagnostic import error

    return error(
        "Z0900",
        f"internal error: {type(problem).__name__}: {problem}",
        hint="this is a bug in zooc; run again with -v for the traceback and report it with the .zoo file",
    )


def show(diagnostics: Sequence[Diagnostic]) -> None:
    """Render diagnostics on standard error."""
    from zooc.diagnostics.render import print_diagnostics

    print_diagnostics(diagnostics, sys.stderr)


def as_json(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """Return diagnostics as plain data for `print_json`."""
    from zooc.diagnostics.render import to_json

    return [to_json(d) for d in diagnostics]


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output; what no encoding has, half of a surrogate pair, is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    typer.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))
