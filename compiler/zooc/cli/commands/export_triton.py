"""`zooc export-triton`: packages as a model repository of NVIDIA Triton Inference Server."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, QuietOption

__all__ = ["EPILOG", "export_triton"]

EPILOG = (
    "Examples: zooc export-triton build/resnest50 -o models · "
    "zooc export-triton build/a build/b -o models --backend openvino --instances 2 --threads 4"
)


class Backend(str, Enum):
    """What runs the network."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"


def export_triton(
    packages: Annotated[
        list[Path],
        typer.Argument(metavar="PACKAGE", help="The folders that zooc compile wrote.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="The repository's folder.", show_default=False),
    ],
    backend: Annotated[
        Backend, typer.Option("--backend", help="What runs the network; images go through ONNX Runtime.")
    ] = Backend.onnxruntime,
    max_batch_size: Annotated[
        int | None,
        typer.Option(
            "--max-batch-size",
            min=0,
            max=4096,
            help="Images in a batch, at most; 0 turns batching off (default: 8, with openvino 0).",
            show_default=False,
        ),
    ] = None,
    preferred_batch_size: Annotated[
        list[int] | None,
        typer.Option("--preferred-batch-size", min=1, max=4096, help="A batch size to wait for. Repeatable."),
    ] = None,
    max_queue_delay: Annotated[
        int,
        typer.Option(
            "--max-queue-delay",
            min=0,
            max=60_000_000,
            metavar="MICROSECONDS",
            help="How long to wait for it.",
        ),
    ] = 0,
    instances: Annotated[
        int, typer.Option("--instances", min=1, max=1024, help="Batches in the network at a time.")
    ] = 1,
    threads: Annotated[
        int, typer.Option("--threads", min=0, max=1024, help="Threads of an instance; 0 for all cores.")
    ] = 0,
    prelude_instances: Annotated[
        int, typer.Option("--prelude-instances", min=1, max=1024, help="Images preprocessed at a time.")
    ] = 2,
    force: Annotated[bool, typer.Option("--force", help="Replace a repository that is there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Write packages as a model repository for NVIDIA Triton Inference Server, on the CPU.

    Where PACKAGE takes images, the model NAME takes one image, NAME_network the network's pixels in batches.
    """

    def work() -> int:
        from zooc.package.emit import absolute_place
        from zooc.package.exports.reading import read_compiled
        from zooc.package.exports.triton import TRITON, model_repository, not_of_a_repository
        from zooc.package.exports.triton_config import Serving
        from zooc.package.install import place

        serving = Serving(
            backend.value,
            max_batch_size,
            tuple(sorted(set(preferred_batch_size or ()))),
            max_queue_delay,
            instances,
            threads,
            prelude_instances,
        )
        _refuse_unused(serving.batches, serving.preferred, max_queue_delay)
        files = model_repository([read_compiled(package) for package in packages], serving)
        folder = absolute_place(output)
        place(files, folder, force=force, foreign=not_of_a_repository)
        models = sorted(name.split("/")[0] for name in files if name.endswith("/config.pbtxt"))
        size = sum(map(len, files.values()))
        if output_format is Format.json:
            print_json({"ok": True, "repository": str(folder), "bytes": size, "models": models})
        elif quiet:
            typer.echo(str(folder))
        else:
            typer.echo(f"{folder}  ({size / 1e6:.1f} MB): {', '.join(models)}")
            typer.echo(
                f"  serve it:  docker run --rm -p 8000:8000 -v {shlex.quote(f'{folder}:/models:ro')} "
                f"nvcr.io/nvidia/tritonserver:{TRITON}-py3 tritonserver --model-repository=/models"
            )
        return 0

    guard(work, output_format)


def _refuse_unused(batches: int, preferred: tuple[int, ...], delay: int) -> None:
    if batches == 0 and (preferred or delay):
        option = "--preferred-batch-size" if preferred else "--max-queue-delay"
        raise typer.BadParameter("there are no batches without --max-batch-size", param_hint=option)
    if preferred and preferred[-1] > batches:
        message = f"{preferred[-1]} is more than --max-batch-size, {batches}"
        raise typer.BadParameter(message, param_hint="--preferred-batch-size")
