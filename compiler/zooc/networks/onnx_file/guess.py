"""What can be told of a file's network without its author, for `zooc new`, which writes it down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx

from zooc.deployment import InputShape, Model, OutputName
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.interface import Port, outputs_of
from zooc.networks.network import Network
from zooc.networks.onnx_file.convert import convert
from zooc.networks.onnx_file.interface import (
    FLOATS,
    Layout,
    describe_port,
    find_image,
    find_interface,
    find_layout,
)

__all__ = ["USUAL_SIZES", "Guess", "guess", "no_size"]

USUAL_SIZES = (224, 256, 299, 384, 192, 160, 128, 112, 96, 64, 48, 32, 28)
"""Sides of images, in the order in which they are tried where a file leaves the size free."""

_SCORES = ("logits", "scores", "probabilities", "probs", "prob", "predictions", "output", "classes")
"""Names that outputs with class scores go by, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a description of the file would say.

    Attributes:
        model: the `model` block, with input, layout, classes, and the output where there are several.
        dtype: of the image, as the file takes it.
        others: its other outputs, in words.
        size_open: the file takes other sizes too, or does not say which it takes.
        layout_open: the file's shapes do not tell the layout.
    """

    model: Model
    dtype: str
    others: tuple[str, ...]
    size_open: bool
    layout_open: bool


def guess(original: onnx.ModelProto, description: Model, file: str, sha256: str) -> tuple[Guess, Network]:
    """Return what can be told of `original`, and the network, which runs so.

    Args:
        original: the model as it was read or exported; left as it is.
        description: what is known already; where it has an `input`, that is tried alone.
        file: the file's name, for messages.
        sha256: the file's.

    Raises:
        ZoocError: it is no image classifier, or `Z0815`: it runs at none of the usual sizes.
    """
    image, _ = find_image(original, file, description)
    scores, others = _outputs(original)
    description = replace(description, outputs=scores)
    try:
        layouts: tuple[Layout, ...] = (find_layout(image, file, description),)
    except ZoocError:
        layouts = ("nchw", "nhwc")
    open_size = None in (image.sizes[1:] or (None,))
    for candidate in _candidates(image, layouts, description):
        interface = find_interface(original, file, candidate)
        try:
            network = convert(original, interface, candidate, file, sha256)
        except ZoocError as problem:
            if problem.diagnostics[0].code != "Z0219":
                raise
            continue
        size = InputShape(network.batch, network.channels, network.height, network.width)
        model = replace(candidate, input=size, classes=network.classes)
        return Guess(model, image.dtype, others, open_size, len(layouts) > 1), network
    raise no_size(description, file)


def no_size(description: Model, file: str) -> ZoocError:
    """Return `Z0815`."""
    return ZoocError(
        error(
            "Z0815",
            f"{file} does not say which size of image it takes, and runs at none of the usual ones",
            description.source.span,
            notes=(f"tried: {', '.join(str(size) for size in USUAL_SIZES)}",),
            hint="write the description by hand, with `input [batch, channels, height, width]`",
        )
    )


def _outputs(original: onnx.ModelProto) -> tuple[tuple[OutputName, ...], tuple[str, ...]]:
    """The output that most likely has the scores, none where there is no choice, and the others in words."""
    ports = outputs_of(original)
    rows = [p for p in ports if p.dtype in (*FLOATS, "undefined")]
    if len(ports) == 1 or not rows:
        return (), ()
    flat = [port for port in rows if len(port.shape) == 2] or rows
    chosen = min(flat, key=_likelihood)
    others = tuple(f"{p.name} ({describe_port(p)})" for p in ports if p is not chosen)
    return (OutputName(chosen.name),), others


def _likelihood(port: Port) -> int:
    """How far back in `_SCORES` the output's name stands."""
    name = port.name.lower()
    return next((rank for rank, word in enumerate(_SCORES) if word in name), len(_SCORES))


def _candidates(image: Port, layouts: tuple[Layout, ...], description: Model) -> Iterator[Model]:
    sizes = image.sizes or (None,) * 4
    for layout in layouts:
        channels, height, width = sizes[1:] if layout == "nchw" else (sizes[3], *sizes[1:3])
        if description.input is not None or None not in (height, width):
            asked = description.input or InputShape(None, channels or 3, height or 0, width or 0)
            yield replace(description, layout=layout, input=asked)
            continue
        for side in USUAL_SIZES:
            shape = InputShape(None, channels or 3, height or side, width or side)
            yield replace(description, layout=layout, input=shape)
