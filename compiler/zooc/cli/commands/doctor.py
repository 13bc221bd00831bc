"""`zooc doctor`: whether zooc works here, what it finds, and how what is missing is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, QuietOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zooc.installation.finding import Finding

__all__ = ["EPILOG", "doctor"]

EPILOG = "Examples: zooc doctor · zooc doctor --quiet · zooc doctor --format json"
_MARKS = {"ok": "ok", "absent": "-", "warning": "!", "old": "OLD", "broken": "BROKEN"}


def doctor(
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
    node_modules: Annotated[
        Path | None,
        typer.Option(help="Folder from which Node.js packages are looked up.", show_default="this folder"),
    ] = None,
) -> None:
    """Examine this installation: libraries, engines, processor, cache, programs.

    Leaves with 1 if something that zooc needs, or an installed extra, is broken or too old; else with 0.
    """

    def work() -> int:
        if node_modules is not None and not node_modules.is_dir():
            raise typer.BadParameter(f"there is no folder {str(node_modules)!r}", param_hint="--node-modules")
        from zooc.installation.libraries import find_libraries
        from zooc.installation.machine import find_machine
        from zooc.installation.surroundings import find_folders, find_programs

        shown = not quiet and output_format is Format.human
        libraries = find_libraries(_progress if shown else _silence)
        findings = [*libraries, *find_machine(), *find_folders(), *find_programs(node_modules or Path.cwd())]
        ok = not any(one.stops_work for one in findings)
        if output_format is Format.json:
            print_json({"ok": ok, "findings": [one.to_json() for one in findings]})
        else:
            _show([one for one in findings if not quiet or one.stops_work], ok)
        return 0 if ok else 1

    guard(work, output_format)


def _show(findings: Sequence[Finding], ok: bool) -> None:
    section = ""
    for one in findings:
        if one.section != section:
            section = one.section
            typer.echo(section)
        typer.echo(f"  {_MARKS[one.status]:6}  {one.name:18}  {one.detail}")
        if one.remedy:
            typer.echo(f"{'':30}{one.remedy}")
    typer.echo("zooc works here" if ok else "zooc does not work as it is: see what is OLD or BROKEN above")


def _progress(text: str) -> None:
    from zooc_runtime.support.error_boundary import progress

    progress(text)


def _silence(_: str) -> None:
    """With --quiet and for tools."""
