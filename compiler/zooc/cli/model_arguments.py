"""What `zooc new` and `zooc export` share: a model and its weights named on the command line."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from zooc.cli.completion import models
from zooc.deployment import FileWeights, ModelSource, PretrainedWeights, RandomWeights, Weights
from zooc.diagnostics.diagnostic import SourceFile, Span, ZoocError, error

__all__ = ["EXISTS", "SourceArgument", "read_source", "read_weights", "span_of"]

EXISTS = "Z0226"
"""The code for a file that `new` or `export` would replace."""

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        autocompletion=models,
        help="timm.NAME, torchvision.NAME (a tag of weights may follow) or official.NAME.",
        show_default=False,
    ),
]

_KINDS = ("timm", "torchvision", "official")


def read_source(text: str, *, besides: str = "") -> ModelSource:
    """Return the source of a library that `text` names; `besides` says what else a command takes.

    Raises:
        ZoocError: `Z0225`.
    """
    kind, dot, name = text.partition(".")
    span = span_of("SOURCE", text)
    forms = f"{', '.join(f'{k}.NAME' for k in _KINDS[:-1])} or {_KINDS[-1]}.NAME"
    if kind in _KINDS and dot and name and not text.endswith(".onnx"):
        return ModelSource(cast(Literal["timm", "torchvision", "official"], kind), name, span)
    raise ZoocError(
        error(
            "Z0225",
            f"{text!r} is not a model",
            span,
            notes=(f"a source is {forms}{besides}",),
            hint="for example official.resnest50, timm.resnest50d, torchvision.wide_resnet50_2",
        )
    )


def read_weights(text: str) -> Weights:
    """Return `pretrained`, `random`, or a file: here, or by its bare name among torch.hub's downloads.

    Raises:
        ZoocError: `Z0204`: there is no such file.
    """
    from zooc.support.torch_hub import hub_folder

    span = span_of("--weights", text)
    if text == "pretrained":
        return PretrainedWeights(span)
    if text == "random":
        return RandomWeights(0, span)
    path = Path(text).expanduser()
    places = [path, hub_folder() / text] if path.name == text else [path]
    for place in places:
        with contextlib.suppress(OSError):
            if place.is_file():
                return FileWeights(place.absolute(), span)
    notes = (f"nor is it among torch.hub's downloads in {hub_folder()}",) if len(places) > 1 else ()
    raise ZoocError(
        error(
            "Z0204",
            f"there is no weights file {text}",
            span,
            notes=notes,
            hint="give a file, `pretrained` or `random`",
        )
    )


def span_of(name: str, text: str) -> Span:
    """Return the place of an argument, for diagnostics."""
    return Span(SourceFile(name, text), 0, len(text))
