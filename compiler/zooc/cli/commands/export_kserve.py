"""`zooc export-kserve`: the manifest of a KServe InferenceService for a package's server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, QuietOption

__all__ = ["EPILOG", "export_kserve"]

EPILOG = (
    "Example: zooc export-kserve build/resnest50 --image registry.example.com/resnest50:1.0 -o isvc.yaml "
    "&& kubectl apply -f isvc.yaml"
)
_QUANTITY = re.compile(r"[1-9][0-9]*(?:[kMGT]|[KMGT]i)?")


def export_kserve(
    package: Annotated[Path, typer.Argument(help="The folder that zooc compile wrote.", show_default=False)],
    image: Annotated[
        str,
        typer.Option("--image", help="The image that export-docker's folder builds.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The manifest, YAML.", show_default=False)
    ],
    cpu: Annotated[int, typer.Option("--cpu", min=1, max=1024, help="Cores of a replica.")] = 2,
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="Memory of a replica.")] = "1Gi",
    min_replicas: Annotated[
        int, typer.Option("--min-replicas", min=1, max=1000, help="Replicas at least.")
    ] = 1,
    max_replicas: Annotated[
        int, typer.Option("--max-replicas", min=1, max=1000, help="Replicas at most.")
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace what this command wrote.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Write an InferenceService for KServe that runs the image of PACKAGE's server."""

    def work() -> int:
        from zooc.package.exports.image import check_image
        from zooc.package.exports.kserve import WRITTEN_BY, inference_service
        from zooc.package.exports.reading import read_compiled
        from zooc.support.files import refuse_existing, write_file

        if not _QUANTITY.fullmatch(memory):
            message = f"{memory!r} is no amount of memory; write it like 512Mi or 2Gi"
            raise typer.BadParameter(message, param_hint="--memory")
        if max_replicas < min_replicas:
            message = f"{max_replicas} is less than --min-replicas, {min_replicas}"
            raise typer.BadParameter(message, param_hint="--max-replicas")
        refuse_existing(output, force=force, code="Z0812", begins=WRITTEN_BY.encode())
        text = inference_service(
            read_compiled(package),
            check_image(image),
            cpu=cpu,
            memory=memory,
            replicas=(min_replicas, max_replicas),
        )
        write_file(output, text)
        if output_format is Format.json:
            print_json({"ok": True, "file": str(output), "image": image})
        elif quiet:
            typer.echo(str(output))
        else:
            typer.echo(f"{output}\n  apply it:  kubectl apply -f {shlex.quote(str(output))}")
        return 0

    guard(work, output_format)
