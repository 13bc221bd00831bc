"""What a package takes and gives, in the terms of the Open Inference Protocol.

https://github.com/kserve/open-inference-protocol, version 2, with Triton's extensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..inference.model import Model
from ..package.heads import Head

__all__ = ["Input", "Interface", "Output", "interface_of"]


@dataclass(frozen=True)
class Input:
    """One way to give images.

    Attributes:
        name: of the tensor.
        datatype: the protocol's: `BYTES`, `UINT8` or `FP32`.
        item: the shape of one image; 0 for any number, `()` for the `BYTES` of a file.
        prepared: whether it is the network's own input, behind the preprocessing.
    """

    name: str
    datatype: str
    item: tuple[int, ...]
    prepared: bool = False


@dataclass(frozen=True)
class Output:
    """One tensor of the answer.

    Attributes:
        name: of the tensor.
        head: whose it is.
        ranked: whether it names the best classes, `BYTES [N, topk]` of `score:index:label`; otherwise it is
            `FP32 [N, classes]`.
    """

    name: str
    head: Head
    ranked: bool


@dataclass(frozen=True)
class Interface:
    """A package's inputs, of which a request gives one, and its outputs. The first input is the main one."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    def metadata(self) -> dict[str, Any]:
        """Return `inputs` and `outputs` of the protocol's model metadata; -1 stands for any number."""
        main = self.inputs[0]
        return {
            "inputs": [
                {
                    "name": main.name,
                    "datatype": main.datatype,
                    "shape": [-1, *(size or -1 for size in main.item)],
                }
            ],
            "outputs": [
                {
                    "name": output.name,
                    "datatype": "BYTES" if output.ranked else "FP32",
                    "shape": [
                        -1,
                        min(output.head.topk, output.head.names) if output.ranked else output.head.classes,
                    ],
                }
                for output in self.outputs
            ],
        }


def interface_of(model: Model) -> Interface:
    """Return the interface of a loaded package."""
    body = str(model.manifest["stages"]["body"]["input"])
    if not model.takes_images:
        return Interface((Input(body, "FP32", model.input_shape, prepared=True),), _outputs(model))
    network = Input(body, "UINT8", model.input_shape, prepared=True)
    if model.takes_frames:
        return Interface((Input("image", "UINT8", (0, 0)), network), _outputs(model))
    pixels = Input("image", "UINT8", (0, 0, model.image_channels))
    return Interface((Input("image", "BYTES", ()), pixels, network), _outputs(model))


def _outputs(model: Model) -> tuple[Output, ...]:
    outputs = []
    for head in model.heads:
        prefix = f"{head.name}." if head.name else ""
        if head.embeds:
            outputs.append(Output(f"{prefix}embeddings", head, ranked=False))
        else:
            outputs.append(Output(f"{prefix}probabilities", head, ranked=False))
            outputs.append(Output(f"{prefix}topk", head, ranked=True))
    return tuple(outputs)
