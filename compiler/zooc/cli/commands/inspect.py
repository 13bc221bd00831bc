"""`zooc inspect`: what a description, an ONNX file or a package holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.completion import inspectable
from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, SetOption, VariantOption, VerboseOption

__all__ = ["EPILOG", "inspect_command"]

EPILOG = "Examples: zooc inspect resnest50.zoo · zooc inspect net.onnx · zooc inspect build/resnest50"


def inspect_command(
    path: Annotated[
        Path,
        typer.Argument(
            help="A .zoo file, an ONNX file or a package's folder.",
            autocompletion=inspectable,
            show_default=False,
        ),
    ],
    variant: VariantOption = None,
    overrides: SetOption = None,
    output_format: FormatOption = Format.human,
    verbose: VerboseOption = False,
) -> None:
    """Show inputs, operators, parameters, FLOPs and sizes of PATH."""

    def work() -> int:
        from rich.console import Console

        from zooc.inspection.render import render
        from zooc.pipeline.inspect import inspect_path

        inspection = inspect_path(path, variant=variant, overrides=tuple(overrides or ()))
        if output_format is Format.json:
            print_json(inspection.to_json())
        else:
            render(inspection, Console())
        return 0

    guard(work, output_format, verbose=verbose)
