"""The options that several commands share."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

__all__ = [
    "Format",
    "FormatOption",
    "QuietOption",
    "SetOption",
    "VariantOption",
    "VerboseOption",
    "VerifyImagesOption",
]


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
    Format, typer.Option("--format", help="json writes one object to standard output, for tools.")
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
