"""What a model source gives to the rest of the compiler: one float32 ONNX network and where it came from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import onnx

from zooc.diagnostics.diagnostic import Diagnostic, Span, warning

__all__ = ["INPUT", "OUTPUT", "Facts", "HeadFacts", "Network", "read_network", "write_network"]

INPUT = "input"
OUTPUT = "logits"

_METADATA = "zooc.network"


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """One part of a network's `logits`.

    Attributes:
        classes: how many scores it has.
        activation: what the network's own file ended in behind them: it is taken off, and belongs into the
            compiled graph's postlude.
    """

    classes: int
    activation: Literal["none", "softmax", "sigmoid"] = "none"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a network beside its graph.

    Attributes:
        origin: the source as the description names it, such as `timm.resnest50d` or `onnx("net.onnx")`.
        weights: the weights in words: a file's name, `pretrained`, `random(seed=0)`, or `in the file`.
        weights_sha256: sha256 (hex) of the weights' file or the published tensors; `None` for random ones.
        classes: number of scores; of several heads all together.
        parameters: number of trained parameters, BatchNorm's running statistics not among them.
        height: of the input, in pixels.
        width: of the input, in pixels.
        channels: of the input.
        batch: the fixed batch size; `None` means any.
        heads: the parts of the scores in their order.
        warnings: what the user should know.
    """

    origin: str
    weights: str
    weights_sha256: str | None
    classes: int
    parameters: int
    height: int
    width: int
    channels: int = 3
    batch: int | None = None
    heads: tuple[HeadFacts, ...]
    warnings: tuple[Diagnostic, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Network(Facts):
    """A loaded network.

    Attributes:
        model: float32 ONNX, opset 20 or newer of the default domain, IR version 10; one input `input`
            `[batch, channels, height, width]`, one output `logits` `[batch, classes]`. No local paths,
            documentation strings or metadata are left in it.
    """

    model: onnx.ModelProto

    def facts(self) -> Facts:
        """Return all but the model, to keep when that is not needed any more."""
        return Facts(**{item.name: getattr(self, item.name) for item in fields(Facts)})


def write_network(network: Network, path: Path) -> None:
    """Write `network` as one ONNX file, its other fields as JSON in the file's metadata.

    Raises:
        OSError: the file cannot be written.
    """
    known = {item.name: getattr(network, item.name) for item in fields(Facts)}
    known["heads"] = [[head.classes, head.activation] for head in network.heads]
    known["warnings"] = [[d.code, d.message, list(d.notes), d.hint] for d in network.warnings]
    metadata = onnx.ModelProto()
    metadata.metadata_props.add(key=_METADATA, value=json.dumps(known))
    # One message after the other reads back as both merged: no copy of the weights is needed.
    with path.open("wb") as file:
        file.write(network.model.SerializeToString(deterministic=True))
        file.write(metadata.SerializeToString(deterministic=True))


def read_network(path: Path, span: Span | None = None) -> Network:
    """Read back what `write_network` wrote; the warnings point to `span`.

    Raises:
        OSError: the file cannot be read.
    """
    model = onnx.ModelProto.FromString(path.read_bytes())
    known = json.loads(next(p.value for p in model.metadata_props if p.key == _METADATA))
    del model.metadata_props[:]
    warnings = tuple(
        warning(code, message, span, notes=tuple(notes), hint=hint)
        for code, message, notes, hint in known.pop("warnings")
    )
    heads = tuple(HeadFacts(*head) for head in known.pop("heads"))
    return Network(model=model, warnings=warnings, heads=heads, **known)
