"""The edge of every command: what became of it, as an exit code and at most one line on stderr."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from ..errors import PackageError
from ..quoted import quoted

__all__ = ["DONE", "INTERNAL", "INTERRUPTED", "USER_ERROR", "guarded", "note", "progress", "say"]

DONE, USER_ERROR, INTERNAL, INTERRUPTED = 0, 1, 70, 130


def guarded(command: Callable[[], int]) -> int:
    """Run a command and turn whatever it raises into an exit code.

    A reader that closes the pipe early (`| head`) has had enough: that is no error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a label or path that the terminal cannot show
    try:
        code = command()
        sys.stdout.flush()
        return code
    except PackageError as error:
        note(f"error: {error}")
        return USER_ERROR
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except MemoryError:
        note("error: not enough memory; lower --batch-size, --instance or --processes")
        return USER_ERROR
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        note(quoted(f"internal error: {type(error).__name__}: {error}{where}; please report it"))
        return INTERNAL


def say(line: str = "") -> None:
    """One line of results, to stdout."""
    sys.stdout.write(f"{line}\n")


def note(line: str) -> None:
    """One line beside the results, to stderr."""
    sys.stderr.write(f"{line}\n")


def progress(text: str, *, last: bool = False, quiet: bool = False) -> None:
    """A line on stderr that the next one overwrites; only on a terminal."""
    if not quiet and sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{'' if last else text}")
        sys.stderr.flush()
