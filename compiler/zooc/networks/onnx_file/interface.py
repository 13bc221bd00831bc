"""Finds the one image input and the one output of an ONNX classifier, or says why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from zooc.deployment import Model
from zooc.diagnostics.diagnostic import ZoocError, error

__all__ = ["ImageInput", "only_input", "only_output", "resolve_input"]


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The network's input: `batch` as the file fixes it, `None` if any."""

    batch: int | None
    channels: int
    height: int
    width: int


def only_input(model: onnx.ModelProto, file: str, description: Model) -> onnx.ValueInfoProto:
    """The graph's only input that is no initializer, float32 and four-dimensional.

    Raises:
        ZoocError: `Z0212` for none or several, `Z0213` for another type or rank.
    """
    span = description.source.span
    inputs = list(model.graph.input)
    if len(inputs) != 1:
        names = ", ".join(f"{i.name} ({_describe(i)})" for i in inputs) or "none"
        raise ZoocError(
            error(
                "Z0212",
                f"{file} has {len(inputs)} inputs; a classifier takes one image",
                span,
                notes=(f"inputs: {names}",),
                hint="export the model so that the image is its only input",
            )
        )
    value: onnx.ValueInfoProto = inputs[0]
    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT or (tensor.HasField("shape") and len(tensor.shape.dim) != 4):
        half = tensor.elem_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
        raise ZoocError(
            error(
                "Z0213",
                f"the input {value.name} of {file} is {_describe(value)}, not float32 "
                "[batch, channels, height, width]",
                span,
                hint="export the float32 model; `quantize fp16` stores its weights in half precision"
                if half
                else "export the model with a normalized float32 image, channels first, as its input",
            )
        )
    return value


def only_output(model: onnx.ModelProto, file: str, description: Model) -> onnx.ValueInfoProto:
    """The graph's only output, float32.

    Raises:
        ZoocError: `Z0214` for none, several, or another type.
    """
    span = description.source.span
    outputs = list(model.graph.output)
    if len(outputs) != 1:
        names = ", ".join(f"{o.name} ({_describe(o)})" for o in outputs) or "none"
        raise ZoocError(
            error(
                "Z0214",
                f"{file} has {len(outputs)} outputs; a classifier gives one, its scores",
                span,
                notes=(f"outputs: {names}",),
                hint="export the model so that the class scores are its only output",
            )
        )
    value: onnx.ValueInfoProto = outputs[0]
    if value.type.tensor_type.elem_type not in (TensorProto.FLOAT, TensorProto.UNDEFINED):
        raise ZoocError(
            error(
                "Z0214",
                f"the output {value.name} of {file} is {_describe(value)}, not float32 [batch, classes]",
                span,
                hint="export the model up to its class scores, without an ArgMax or a cast after them",
            )
        )
    return value


def resolve_input(value: onnx.ValueInfoProto, file: str, description: Model) -> ImageInput:
    """The input's size, from the file and, where that leaves it free, from the description.

    Raises:
        ZoocError: `Z0215` where both name a size and differ, or neither names one.
    """
    dims = [d.dim_value if d.dim_value > 0 else None for d in value.type.tensor_type.shape.dim] or [None] * 4
    asked = description.input
    wanted = [asked.batch, asked.channels, asked.height, asked.width] if asked else [None] * 4
    span = asked.span if asked and asked.span else description.source.span
    for axis, name in ((1, "channels"), (2, "height"), (3, "width")):
        if dims[axis] is None and wanted[axis] is None:
            raise ZoocError(
                error(
                    "Z0215",
                    f"{file} has a free {name} of its input: {_describe(value)}",
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
                    notes=(f"the file's input {value.name} is {_describe(value)}",),
                    hint=f"write {dims[axis]} here, or export the model for {wanted[axis]}",
                )
            )
    size = [d if d is not None else w for d, w in zip(dims, wanted, strict=True)]
    return ImageInput(dims[0], int(size[1] or 0), int(size[2] or 0), int(size[3] or 0))


def _describe(value: onnx.ValueInfoProto) -> str:
    if not value.type.HasField("tensor_type"):
        return "no tensor"
    tensor = value.type.tensor_type
    name = TensorProto.DataType.Name(tensor.elem_type).lower()
    name = {"float": "float32", "double": "float64"}.get(name, name)
    if not tensor.HasField("shape"):
        return f"{name} of unknown rank"
    dims = (str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim)
    return f"{name} [{', '.join(dims)}]"
