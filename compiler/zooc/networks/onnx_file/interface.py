"""What of an ONNX file is the image and what the scores: its names, element types, layout and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx

from zooc.deployment import Model
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.diagnostics.suggest import did_you_mean
from zooc.ir.interface import Port, inputs_of, outputs_of
from zooc.ir.rename import names_read
from zooc.support.limits import check_image

__all__ = [
    "FLOATS",
    "ImageInput",
    "Interface",
    "Layout",
    "describe_port",
    "find_image",
    "find_interface",
    "find_layout",
]

Layout = Literal["nchw", "nhwc"]

FLOATS = ("float32", "float16", "bfloat16", "float64")
_INPUTS = (*FLOATS, "uint8")
_FEWEST_CHANNELS = (1, 3)


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The network's input: `batch` as the file fixes it, `None` if any."""

    batch: int | None
    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Interface:
    """How the file is given images and gives scores.

    Attributes:
        image: its input that takes the image.
        layout: where that has its channels.
        size: of the image.
        scores: its outputs that give the scores, one for each head.
        unread: its other inputs, which nothing reads.
    """

    image: Port
    layout: Layout
    size: ImageInput
    scores: tuple[Port, ...]
    unread: tuple[Port, ...]

    @property
    def tolerance(self) -> float:
        """How far, relative to the largest score, the same network in float32 may be from the file."""
        return (
            2e-2
            if {self.image.dtype, *(port.dtype for port in self.scores)} & {"float16", "bfloat16"}
            else 1e-4
        )

    def feed(self, images: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.generic]]:
        """Return what the file takes for `float32 [batch, channels, height, width]`."""
        given = images.transpose(0, 2, 3, 1) if self.layout == "nhwc" else images
        dtype = ml_dtypes.bfloat16 if self.image.dtype == "bfloat16" else np.dtype(self.image.dtype)
        feed = {self.image.name: np.ascontiguousarray(given.astype(dtype))}
        for port in self.unread:
            feed[port.name] = np.zeros([size or 1 for size in port.sizes], port.dtype)
        return feed


def find_interface(model: onnx.ModelProto, file: str, description: Model) -> Interface:
    """Return the file's interface, as far as the description does not say it itself.

    Raises:
        ZoocError: `Z0212` for no image or several inputs, `Z0213` for a type, rank or layout that is none of
            an image, `Z0214` for outputs that are no scores or leave a choice, `Z0215` for sizes that are
            open or differ from the description's, `Z0513` for images that are too large.
    """
    image, unread = find_image(model, file, description)
    layout = find_layout(image, file, description)
    size = _size(image, layout, file, description)
    shape = (size.batch or 1, size.channels, size.height, size.width)
    check_image(file, shape, description.source.span)
    return Interface(image, layout, size, _scores(model, file, description), unread)


def find_image(model: onnx.ModelProto, file: str, description: Model) -> tuple[Port, tuple[Port, ...]]:
    """Return the input that takes the image, and those that nothing reads.

    Raises:
        ZoocError: `Z0212`, `Z0213`.
    """
    span, inputs = description.source.span, inputs_of(model)
    read = names_read(model.graph)
    used = [port for port in inputs if port.name in read]
    if len(used) != 1:
        names = ", ".join(f"{port.name} ({describe_port(port)})" for port in inputs) or "none"
        raise ZoocError(
            error(
                "Z0212",
                f"{file} has {len(used)} inputs; a classifier takes one image",
                span,
                notes=(f"inputs: {names}",),
                hint="export the model so that the image is its only input",
            )
        )
    (image,) = used
    if image.dtype not in _INPUTS or (image.shape and len(image.shape) != 4):
        raise ZoocError(
            error(
                "Z0213",
                f"the input {image.name} of {file} is {describe_port(image)}, not float32 "
                "[batch, channels, height, width]",
                span,
                notes=(f"an image is of {', '.join(_INPUTS)}, channels first or last",),
                hint="export the model with an image as its input",
            )
        )
    return image, tuple(port for port in inputs if port.name not in read)


def find_layout(image: Port, file: str, description: Model) -> Layout:  # noqa: PLR0911 - one return a case
    """Channels are where the description says, else where there are one or three, else where fewest are.

    Raises:
        ZoocError: `Z0213`: they could be first or last.
    """
    if description.layout is not None:
        return description.layout
    if not image.shape:
        return "nchw"
    _, first, _, last = image.sizes
    asked = description.input
    if asked is not None and image.sizes[1:] != (asked.channels, asked.height, asked.width):
        if image.sizes[1:] == (asked.height, asked.width, asked.channels):
            return "nhwc"
    elif asked is not None:
        return "nchw"
    few = [axis for axis, size in (("nchw", first), ("nhwc", last)) if size in _FEWEST_CHANNELS]
    if len(few) == 1:
        return "nhwc" if few == ["nhwc"] else "nchw"
    if first is None and last is None:
        return "nchw"
    if first is not None and last is not None and not few and first != last:
        return "nchw" if first < last else "nhwc"
    raise ZoocError(
        error(
            "Z0213",
            f"the layout of the input {image.name} of {file}, {describe_port(image)}, cannot be told",
            description.source.span,
            hint="write `layout nchw` or `layout nhwc` in the model block",
        )
    )


def _size(image: Port, layout: Layout, file: str, description: Model) -> ImageInput:
    """From the file and, where that leaves it free, from the description."""
    sizes: Sequence[int | None] = image.sizes or (None,) * 4
    dims = [size or None for size in (sizes if layout == "nchw" else (sizes[0], sizes[3], *sizes[1:3]))]
    asked = description.input
    wanted = [asked.batch, asked.channels, asked.height, asked.width] if asked else [None] * 4
    span = asked.span if asked and asked.span else description.source.span
    for axis, name in ((1, "channels"), (2, "height"), (3, "width")):
        if dims[axis] is None and wanted[axis] is None:
            raise ZoocError(
                error(
                    "Z0215",
                    f"{file} has a free {name} of its input: {describe_port(image)}",
                    span,
                    hint="write the size in the model block, for example: input [batch, 3, 224, 224]",
                )
            )
        if dims[axis] is not None and wanted[axis] is not None and dims[axis] != wanted[axis]:
            raise ZoocError(
                error(
                    "Z0215",
                    f"`input` gives {name} {wanted[axis]}, but {file} takes {dims[axis]}",
                    span,
                    notes=(f"the file's input {image.name} is {describe_port(image)}",),
                    hint=f"write {dims[axis]} here, or export the model for {wanted[axis]}",
                )
            )
    size = [d if d is not None else w for d, w in zip(dims, wanted, strict=True)]
    return ImageInput(dims[0], int(size[1] or 0), int(size[2] or 0), int(size[3] or 0))


def _scores(model: onnx.ModelProto, file: str, description: Model) -> tuple[Port, ...]:
    """The outputs that the description names, else the only one of floats: an ArgMax gives integers."""
    outputs = outputs_of(model)
    names = [port.name for port in outputs]
    listed = ", ".join(f"{port.name} ({describe_port(port)})" for port in outputs) or "none"
    notes = (f"outputs: {listed}",)
    for wanted in description.outputs:
        if wanted.text not in names:
            hint = did_you_mean(wanted.text, names) or "name one of them"
            message = f'{file} has no output "{wanted.text}"'
            raise ZoocError(error("Z0214", message, wanted.span, notes=notes, hint=hint))
    if description.outputs:
        by_name = dict(zip(names, outputs, strict=True))
        outputs = tuple(by_name[wanted.text] for wanted in description.outputs)
    elif len(outputs) > 1:
        outputs = tuple(port for port in outputs if port.dtype in (*FLOATS, "undefined"))
    if len(outputs) != max(len(description.outputs), 1):
        example = outputs[0].name if outputs else "NAME"
        raise ZoocError(
            error(
                "Z0214",
                f"{file} has {len(names)} outputs; a classifier gives one, its scores",
                description.source.span,
                notes=notes,
                hint=f'name the class scores in the model block, for example: output "{example}"; or keep '
                "several in a `heads` block",
            )
        )
    for scores in outputs:
        if scores.dtype not in (*FLOATS, "undefined"):
            raise ZoocError(
                error(
                    "Z0214",
                    f"the output {scores.name} of {file} is {describe_port(scores)}, not float32 "
                    "[batch, classes]",
                    description.source.span,
                    hint="export the model up to its class scores, without an ArgMax or a cast after them",
                )
            )
    return outputs


def describe_port(port: Port) -> str:
    """Return a port's type and shape in words: `float32 [?, 3, 224, 224]`."""
    if port.shape is None:
        return f"{port.dtype} of unknown rank"
    return f"{port.dtype} [{', '.join(str(size or '?') for size in port.shape)}]"
