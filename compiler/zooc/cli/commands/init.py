"""`zooc init`: asks what to deploy, and writes its description."""

from __future__ import annotations

from typing import Annotated

import typer

from zooc.cli.commands.new import new
from zooc.cli.options import Format, FormatOption, QuietOption

__all__ = ["EPILOG", "init"]

EPILOG = "Examples: zooc init · zooc init net.onnx · zooc init timm.resnet50 -o net.zoo"


def init(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A model or a file, as zooc new takes them; what a file tells is the default.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is already there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Ask what to deploy, a few questions with defaults, and write a commented .zoo file.

    The same as zooc new --interactive.
    """
    new(source, output, interactive=True, force=force, output_format=output_format, quiet=quiet)
