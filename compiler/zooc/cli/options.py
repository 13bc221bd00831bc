"""The options that several commands share, and the class of all commands, which know `--json`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

__all__ = [
    "App",
    "Format",
    "FormatOption",
    "QuietOption",
    "SetOption",
    "VariantOption",
    "VerboseOption",
    "VerifyImagesOption",
]

Function = TypeVar("Function", bound=Callable[..., Any])


class _Command(TyperCommand):
    """A command that takes `--json` for `--format json`, if it has `--format`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if any("--format" in parameter.opts for parameter in self.params):
            end = args.index("--") if "--" in args else len(args)
            short = ["--format=json" if argument == "--json" else argument for argument in args[:end]]
            args = [*short, *args[end:]]
        return super().parse_args(ctx, args)


class App(typer.Typer):
    """A command line whose commands take `--json`."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """Register a command, as typer does."""
        return super().command(name, **{"cls": _Command, **options})


class Format(str, Enum):
    """How results and diagnostics are written."""

    human = "human"
    json = "json"


VariantOption = Annotated[
    str | None, typer.Option("--variant", metavar="NAME", help="Compile this variant of the file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Override a `let` or a statement, e.g. --set size=256. Repeatable.",
    ),
]
FormatOption = Annotated[
    Format,
    typer.Option(
        "--format", help="json, or --json for short, writes one object to standard output, for tools."
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more, and tracebacks of internal errors.")
]
VerifyImagesOption = Annotated[
    bool,
    typer.Option(
        "--verify-images",
        help="Know calibration images in the cache by what is in them, not by name, size and time of change, "
        "also where they are more than 20,000 or 256 MiB.",
    ),
]
