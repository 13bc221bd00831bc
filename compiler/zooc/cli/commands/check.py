"""`zooc check`: every error of descriptions, without compiling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.completion import descriptions
from zooc.cli.error_boundary import as_json, guard, print_json, show
from zooc.cli.options import Format, FormatOption, QuietOption, SetOption, VariantOption

if TYPE_CHECKING:
    from zooc.diagnostics.diagnostic import Diagnostic

__all__ = ["EPILOG", "check"]

EPILOG = "Examples: zooc check resnest50.zoo · zooc check *.zoo --format json"


def check(
    files: Annotated[
        list[Path], typer.Argument(help="The .zoo files.", autocompletion=descriptions, show_default=False)
    ],
    variant: VariantOption = None,
    overrides: SetOption = None,
    require_files: Annotated[
        bool, typer.Option("--require-files", help="Weights, images and labels that are missing are errors.")
    ] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Check FILES without compiling: every error of a file in one run.

    Files that a description names need not be here; what is missing is a warning.
    """

    def work() -> int:
        from zooc.frontend.semantics.analyze import load_deployment

        found: list[Diagnostic] = []
        for file in files:
            found += load_deployment(file, variant, tuple(overrides or ()), may_miss_files=not require_files)[
                1
            ]
        errors = sum(d.severity == "error" for d in found)
        if output_format is Format.json:
            print_json({"ok": not errors, "diagnostics": as_json(found)})
        else:
            show(found)
            if not errors and not quiet:
                typer.echo(f"{', '.join(map(str, files))}: no errors")
        return 1 if errors else 0

    guard(work, output_format)
