"""`zooc watch`: checks descriptions, and on request compiles them, whenever they change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.commands.check import find
from zooc.cli.error_boundary import as_json, guard, show
from zooc.cli.options import Format, FormatOption, QuietOption, SetOption, VariantOption

if TYPE_CHECKING:
    from zooc.diagnostics.diagnostic import Diagnostic

__all__ = ["EPILOG", "watch"]

EPILOG = "Examples: zooc watch net.zoo · zooc watch net.zoo --compile -o build/net · zooc watch *.zoo --json"

_INTERRUPTED = 130

Stamp = tuple[int, int] | None


def watch(
    files: Annotated[list[Path], typer.Argument(help="The .zoo files.", show_default=False)],
    compile_too: Annotated[
        bool,
        typer.Option("--compile", help="Also compile a file without errors, replacing its last package."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="With --compile of one file the package's folder (default: build/NAME).",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a package that was there before, too.")
    ] = False,
    variant: VariantOption = None,
    overrides: SetOption = None,
    interval: Annotated[
        float, typer.Option("--interval", min=0.05, max=60, metavar="S", help="Seconds between two looks.")
    ] = 0.5,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Check FILES now and whenever they change, until Ctrl-C.

    With --format json each check is one object on a line of its own.
    """
    if output is not None and (not compile_too or len(files) > 1):
        raise typer.BadParameter("goes with --compile and one file", param_hint="--output")
    compiled: set[Path] = set()

    def look(file: Path) -> None:
        findings = find(file, variant, overrides or ())
        errors = any(d.severity == "error" for d in findings)
        folder = None
        if compile_too and not errors:
            replace = force or file in compiled
            folder, findings = _compile(file, output, variant, tuple(overrides or ()), replace=replace)
            errors = folder is None
            compiled.update(() if errors else (file,))
        if output_format is Format.json:
            package = None if folder is None else str(folder)
            found = {"ok": not errors, "file": str(file), "package": package}
            typer.echo(json.dumps({**found, "diagnostics": as_json(findings)}, ensure_ascii=False))
            return
        show(findings)
        if not quiet and not errors:
            typer.echo(f"{time.strftime('%H:%M:%S')} {file}: {folder or 'no errors'}")

    def work() -> int:
        try:
            _forever(files, interval, look)
        except KeyboardInterrupt:
            if not quiet:
                typer.echo("stopped", err=True)
        return _INTERRUPTED

    guard(work, output_format)


def _forever(files: Sequence[Path], interval: float, look: Callable[[Path], None]) -> None:
    seen: dict[Path, Stamp] = {}
    while True:
        for file in files:
            stamp = _stamp(file)
            if file not in seen or seen[file] != stamp:
                seen[file] = stamp
                look(file)
        time.sleep(interval)


def _stamp(file: Path) -> Stamp:
    """What changes with the file; `None` where it is not there, as between two steps of an editor's save."""
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def _compile(
    file: Path, output: Path | None, variant: str | None, overrides: tuple[str, ...], *, replace: bool
) -> tuple[Path | None, list[Diagnostic]]:
    """The package's folder, `None` after errors; and all findings."""
    from zooc.compilation import Request
    from zooc.diagnostics.diagnostic import ZoocError
    from zooc.pipeline.compile import compile_package
    from zooc.pipeline.context import Context
    from zooc.support.cache import Cache, default_root
    from zooc.support.progress import make_progress

    request = Request(file=file, output=output, variant=variant, overrides=overrides, force=replace)
    context = Context(Cache(default_root()), make_progress(quiet=True), None)
    try:
        package = compile_package(request, context)
    except ZoocError as problem:
        return None, [*context.diagnostics(), *problem.diagnostics]
    return package.folder, context.diagnostics()
