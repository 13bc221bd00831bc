"""What a file of someone else's may cost: every limit in one place, and the one way to raise it.

Texts and images have fixed limits, far above anything that is meant. What a network may have and take is
raised by the environment variable `ZOOC_LIMITS`, as in `ZOOC_LIMITS=seconds=600,memory=32768`.
`docs/security.md` has the table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Final

from zooc.diagnostics.diagnostic import Diagnostic, Span, ZoocError, error
from zooc.diagnostics.suggest import did_you_mean

__all__ = [
    "MAX_CONFIG_BYTES",
    "MAX_FINDINGS",
    "MAX_NESTING",
    "MAX_SIDE",
    "MAX_SOURCE_BYTES",
    "MAX_TOKENS",
    "MAX_YAML_NESTING",
    "MAX_YAML_VALUES",
    "VARIABLE",
    "Limits",
    "check_image",
    "exceeded",
    "limits",
]

VARIABLE: Final = "ZOOC_LIMITS"

MAX_SOURCE_BYTES: Final = 1_000_000
"""Of a `.zoo` file, which is a page long."""

MAX_CONFIG_BYTES: Final = 100_000
"""Of a build configuration or a vdsp_params file, which are a page long."""

MAX_YAML_VALUES: Final = 10_000
"""Keys, values and collections of a build configuration."""

MAX_TOKENS: Final = 20_000
"""Words, numbers and signs of a `.zoo` file; one of a page has three hundred."""

MAX_NESTING: Final = 50
"""Brackets may be nested this deep; the limit keeps every later walk of the tree safe from deep recursion."""

MAX_YAML_NESTING: Final = 30
"""Collections in each other, of a build configuration."""

MAX_FINDINGS: Final = 100
"""No more are reported of one file: what has more is no `.zoo` file."""

MAX_SIDE: Final = 8192
"""Longest side in pixels that a network's input or a step's result may have."""

_UNITS = {
    "elements": "elements",
    "nodes": "nodes",
    "nesting": "graphs in each other",
    "calls": "functions that call each other in a chain",
    "text": "characters",
    "memory": "MiB to allocate",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What an ONNX file may have, and what reading and trying it may take.

    Attributes:
        elements: of one tensor that the file names or takes, such as its batch of images.
        nodes: of the network, nested graphs included, once every function is written out where it is called.
        nesting: of graphs in nodes of graphs.
        calls: of functions that call each other, in each other.
        text: characters of a name.
        seconds: wall clock for reading the file, converting it and running it on an example.
        memory: MiB that this may allocate.
    """

    elements: int = 1 << 31
    nodes: int = 200_000
    nesting: int = 16
    calls: int = 100
    text: int = 65_536
    seconds: int = 300
    memory: int = 16_384


def limits() -> Limits:
    """Return the limits, with those replaced that `ZOOC_LIMITS` names.

    Raises:
        ZoocError: Z0516, the variable is not of the form `NAME=NUMBER,NAME=NUMBER`.
    """
    known = [field.name for field in fields(Limits)]
    given: dict[str, int] = {}
    for part in filter(None, os.environ.get(VARIABLE, "").split(",")):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in known:
            hint = did_you_mean(name, known) or f"write {VARIABLE}=seconds=600,memory=32768"
            raise ZoocError(_misspelt(f"there is no limit `{name}`", hint))
        if not (number.isascii() and number.isdecimal() and 0 < len(number) < 19 and int(number)):
            raise ZoocError(_misspelt(f"`{part}` gives no whole number above zero", f"write {name}=NUMBER"))
        given[name] = int(number)
    return Limits(**given)


def exceeded(name: str, found: int, what: str, span: Span | None) -> Diagnostic:
    """Return Z0513: `what` (a file, a tensor) has or takes more than the limit `name` allows."""
    return error(
        "Z0513",
        f"{what} has {found:,} {_UNITS[name]}; the limit is {getattr(limits(), name):,}",
        span,
        hint=f"a file that you trust may have more: set the environment variable {VARIABLE}={name}=NUMBER",
    )


def check_image(file: str, shape: tuple[int, int, int, int], span: Span | None) -> None:
    """Refuse images that are too large to be allocated, before they are.

    Args:
        file: whose input it is.
        shape: batch, channels, height, width.
        span: for the message.

    Raises:
        ZoocError: Z0513.
    """
    allowed = limits()
    batch, channels, height, width = shape
    side, elements = max(height, width), batch * channels * height * width
    if side > MAX_SIDE:
        message = f"{file} takes images of {height:,} x {width:,} pixels; the limit is {MAX_SIDE:,} a side"
        hint = "export the network for smaller images"
        raise ZoocError(error("Z0513", message, span, hint=hint))
    if elements > allowed.elements:
        raise ZoocError(exceeded("elements", elements, f"one batch for {file}", span))
    # The batch is freed by comparing twice as many images at once: drawn in float64, cast to float32.
    needed = 2 * elements * 12 >> 20
    if needed > allowed.memory:
        raise ZoocError(exceeded("memory", needed, f"one batch for {file}", span))


def _misspelt(message: str, hint: str) -> Diagnostic:
    return error("Z0516", f"{VARIABLE}: {message}", hint=hint)
