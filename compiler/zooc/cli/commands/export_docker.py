"""`zooc export-docker`: a folder that builds the image of a package's server."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, QuietOption

__all__ = ["EPILOG", "export_docker"]

EPILOG = "Example: zooc export-docker build/resnest50 -o image && docker build -t resnest50 image"


class Engine(str, Enum):
    """What runs the network."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"


def export_docker(
    package: Annotated[Path, typer.Argument(help="The folder that zooc compile wrote.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The new folder.", show_default=False)
    ],
    engine: Annotated[
        Engine | None,
        typer.Option(
            "--engine",
            help="What runs the network (default: ONNX Runtime, where the package has it).",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image", help="The image's name in compose.yaml (default: NAME:VERSION).", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace such a folder that is there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Write a folder with PACKAGE and a Dockerfile, whose image serves the package over HTTP."""

    def work() -> int:
        from zooc.package.emit import absolute_place
        from zooc.package.exports.docker import build_context, not_of_a_context
        from zooc.package.exports.image import check_image, default_image
        from zooc.package.exports.reading import read_compiled
        from zooc.package.install import place

        compiled = read_compiled(package)
        name = default_image(compiled) if image is None else check_image(image)
        files = build_context(compiled, name, engine and engine.value)
        folder = absolute_place(output)
        place(files, folder, force=force, foreign=not_of_a_context)
        if output_format is Format.json:
            print_json({"ok": True, "folder": str(folder), "image": name, "files": sorted(files)})
        elif quiet:
            typer.echo(str(folder))
        else:
            shown = shlex.quote(str(folder))
            typer.echo(f"{folder}")
            typer.echo(f"  build it:  docker build -t {name} {shown}")
            typer.echo(f"  or run it: docker compose --project-directory {shown} up")
        return 0

    guard(work, output_format)
