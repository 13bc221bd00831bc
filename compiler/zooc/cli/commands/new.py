"""`zooc new`: writes a description of a known model."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.completion import sources
from zooc.cli.error_boundary import guard, print_json
from zooc.cli.model_arguments import EXISTS, span_of
from zooc.cli.new_source import read_new_source
from zooc.cli.options import Format, FormatOption, QuietOption
from zooc.cli.questions import Answers, ask
from zooc.deployment import Model, ModelSource
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.frontend.semantics.image_place import CREDENTIALS, secret_in
from zooc_runtime.data.place import is_remote

__all__ = ["EPILOG", "new"]

EPILOG = (
    "Examples: zooc new official.resnest101 · zooc new timm.resnet50.a1_in1k --data calibration -o net.zoo · "
    "zooc new torchvision.resnet18 --weights mine.pth · zooc new net.onnx · zooc new 'torch(\"net.pt2\")'"
)
"""Examples, for the help."""


def new(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            autocompletion=sources,
            help="timm.NAME, torchvision.NAME (a tag of weights may follow) or official.NAME; or a file "
            "that is a whole network: ONNX (.onnx), torch.export (.pt2) or TorchScript (.pt).",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file, - for standard output (default: NAME.zoo).",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="FILE|pretrained|random",
            help="Its weights (default: pretrained where they can be downloaded, else random).",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Calibration images, for int8: a folder, archives or an address; without them fp32.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="The number of classes (default: the weights file's, else the published).",
            show_default=False,
        ),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask for what is not given, as zooc init does.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is already there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Write a commented .zoo file for SOURCE, with the size and the preprocessing that its publisher uses.

    Of a file, what it does not tell is marked TODO.
    """

    if source is None and not interactive:
        raise typer.BadParameter("name a model or a file, or let --interactive ask", param_hint="SOURCE")

    def work() -> int:
        given = Answers(source or "", weights, classes, data, output, force)
        return _write(ask(given) if interactive else given, output_format, quiet=quiet)

    guard(work, output_format)


def _write(wanted: Answers, output_format: Format, *, quiet: bool) -> int:
    from zooc.support.files import refuse_existing, write_file

    model = read_new_source(wanted.source)
    name = Path(model.name).stem if model.is_file else model.name
    path = None if wanted.output == "-" else Path(wanted.output or f"{name}.zoo")
    if path is not None:
        refuse_existing(path, force=wanted.force, code=EXISTS)
    silent = quiet or output_format is Format.json
    if model.is_file:
        _refuse_weights(model, wanted.weights)
        text = _describe_file(model, wanted.classes, wanted.data, path, quiet=silent)
    else:
        text = _describe(model, wanted.weights, wanted.classes, wanted.data, path)
    if path is not None:
        write_file(path, text)
    if output_format is Format.json:
        print_json({"ok": True, "file": None if path is None else str(path), "text": text})
    elif path is None:
        typer.echo(text, nl=False)
    elif not quiet:
        typer.echo(f"wrote {path}; next: zooc compile {shlex.quote(str(path))}")
    return 0


def _describe(
    model: ModelSource, weights: str | None, classes: int | None, data: str | None, path: Path | None
) -> str:
    from zooc.frontend.syntax.formatter import format_source
    from zooc.networks.recipes.describe import describe_recipe
    from zooc.networks.recipes.find import find_recipe

    folder = Path.cwd() if path is None else path.absolute().parent
    recipe = find_recipe(model)
    number = classes or _classes_in(weights)
    text = describe_recipe(
        recipe if number is None else replace(recipe, classes=number),
        weights=None if weights is None else _weights(weights, folder),
        data=None if data is None else _data(data, folder),
    )
    return format_source(text, f"{model.name}.zoo")


def _refuse_weights(source: ModelSource, weights: str | None) -> None:
    if weights is not None:
        raise ZoocError(
            error(
                "Z0816",
                f"{source.shown} has its own weights",
                span_of("--weights", weights),
                hint="leave out --weights",
            )
        )


def _describe_file(
    source: ModelSource, classes: int | None, data: str | None, path: Path | None, *, quiet: bool
) -> str:
    from zooc.frontend.syntax.formatter import format_source
    from zooc.networks.load import guess_network
    from zooc.networks.recipes.describe_file import describe_file
    from zooc.support.cache import Cache, default_root
    from zooc.support.progress import make_progress

    folder = Path.cwd() if path is None else path.absolute().parent
    span = None if classes is None else span_of("--classes", str(classes))
    model = Model(source, None, None, classes, span)
    progress = make_progress(quiet=quiet)
    with progress.stage("load_model"):
        guess, network = guess_network(model, Cache(default_root()), on_progress=progress.note)
    text = describe_file(
        guess,
        network,
        path=_quoted(_from_here(Path(source.name)), folder),
        data=None if data is None else _data(data, folder),
    )
    return format_source(text, f"{Path(source.name).stem}.zoo")


def _classes_in(weights: str | None) -> int | None:
    """The number of classes that a weights file was trained for; `None` where it cannot be read here.

    Raises:
        ZoocError: `Z0231`: it is a whole network.
    """
    if weights in (None, "pretrained", "random") or not (file := Path(weights).expanduser()).is_file():
        return None
    from zooc.networks.torch.checkpoint import classes_of, read_checkpoint, refuse_program

    refuse_program(file, span_of("--weights", weights))
    try:
        return classes_of(read_checkpoint(file, None))
    except (ZoocError, ImportError):
        return None  # compiling says what is wrong with it, or what to install


def _weights(text: str, folder: Path) -> str:
    if text == "random":
        return "random(seed=0)"
    if text == "pretrained":
        return text
    path = Path(text)
    # A bare name that is no file here means one of torch.hub's downloads, wherever the description lies.
    return json.dumps(text) if path.name == text and not path.exists() else _quoted(path, folder)


def _from_here(file: Path) -> Path:
    """A file below the working folder relative to that, so that a folder can be moved with what it holds."""
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


def _data(text: str, folder: Path) -> str:
    """Calibration images as a description in `folder` names them: an address as it is."""
    if (secret := secret_in(text)) is not None:
        raise ZoocError(error("Z0328", secret, hint=CREDENTIALS))
    return json.dumps(text, ensure_ascii=False) if is_remote(text) else _quoted(Path(text), folder)


def _quoted(path: Path, folder: Path) -> str:
    """`path`, given from the working folder, as a description in `folder` writes it."""
    path = path.expanduser()
    text = str(path) if path.is_absolute() else os.path.relpath(path.absolute(), folder)
    return json.dumps(text, ensure_ascii=False)
