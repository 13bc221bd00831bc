"""`zooc check`: every error of descriptions, without compiling."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.completion import descriptions
from zooc.cli.error_boundary import as_json, guard, print_json, show
from zooc.cli.junit import JunitOption, check_junit, write_junit
from zooc.cli.options import Format, QuietOption, SetOption, VariantOption

if TYPE_CHECKING:
    from zooc.diagnostics.diagnostic import Diagnostic

__all__ = ["EPILOG", "check", "find"]

EPILOG = (
    "Examples: zooc check resnest50.zoo · zooc check *.zoo --format json · "
    "zooc check *.zoo --format sarif > zooc.sarif"
)


class _Format(str, Enum):
    human = "human"
    json = "json"
    sarif = "sarif"


def check(
    files: Annotated[
        list[Path], typer.Argument(help="The .zoo files.", autocompletion=descriptions, show_default=False)
    ],
    variant: VariantOption = None,
    overrides: SetOption = None,
    require_files: Annotated[
        bool, typer.Option("--require-files", help="Weights, images and labels that are missing are errors.")
    ] = False,
    output_format: Annotated[
        _Format,
        typer.Option(
            "--format",
            help="json, or --json for short, writes one object to standard output, for tools; sarif writes "
            "SARIF 2.1.0, for code scanning.",
        ),
    ] = _Format.human,
    junit: JunitOption = None,
    quiet: QuietOption = False,
) -> None:
    """Check FILES without compiling: every error of a file in one run.

    Files that a description names need not be here; what is missing is a warning.
    """

    def work() -> int:
        if junit is not None:
            check_junit(junit)
        by_file = [(str(file), find(file, variant, overrides or (), require_files)) for file in files]
        found = [finding for _, findings in by_file for finding in findings]
        errors = any(d.severity == "error" for d in found)
        if junit is not None:
            write_junit(junit, "zooc check", by_file)
        if output_format is _Format.sarif:
            from zooc.diagnostics.sarif import to_sarif

            print_json(to_sarif(found, files))
        elif output_format is _Format.json:
            print_json({"ok": not errors, "diagnostics": as_json(found)})
        else:
            show(found)
            if not errors and not quiet:
                typer.echo(f"{', '.join(map(str, files))}: no errors")
        return 1 if errors else 0

    guard(work, Format.human if output_format is _Format.human else Format.json)


def find(
    file: Path, variant: str | None, overrides: Sequence[str], require_files: bool = False
) -> list[Diagnostic]:
    """Return every finding of one file."""
    from zooc.frontend.semantics.analyze import load_deployment

    return load_deployment(file, variant, tuple(overrides), may_miss_files=not require_files)[1]
