"""Merges parallel convolutions of one tensor whose results are added.

Algebra. `conv(x, V) + conv(x, W) = conv(x, V + W)`, since a convolution is linear in its weights; biases add
up likewise. A smaller kernel that pads less is a larger one with zeros around it. A BatchNormalization beside
a convolution is a 1 x 1 convolution with a diagonal. The authors of RepVGG (arXiv 2101.03697) train such
branches and merge them afterwards; published checkpoints hold them unmerged.

A merge is refused where a branch is read elsewhere, where strides, dilations or groups differ, where the
smaller kernel does not lie inside the larger one, and where weights are computed at run time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zooc.ir.channels import batchnorm_affine
from zooc.ir.graph import Constant, Graph, Node, maker, only_reader
from zooc.ir.rewriter import Outcome, Refused

__all__ = ["merge_branches"]

Array = npt.NDArray[np.float64]


def merge_branches(graph: Graph, total: Node) -> Outcome:
    """An addition of two convolutions of one tensor is one convolution, under the larger one's name."""
    if total.op != "Add":
        return False
    branches = [branch for tensor in total.inputs if (branch := maker(tensor)) is not None]
    convolutions = [node for node in branches if _is_plain(node)]
    if len(branches) != 2 or not convolutions or branches[0].inputs[:1] != branches[1].inputs[:1]:
        return False
    if any(only_reader(graph, tensor) is None for tensor in total.inputs):
        return Refused("a branch is also read elsewhere")
    layer = max(convolutions, key=lambda node: node.inputs[1].values.size)
    other = branches[1] if branches[0] is layer else branches[0]
    added = _diagonal(other, layer) if other.op == "BatchNormalization" else _within(other, layer)
    if added is None:
        return Refused("one branch's kernel, strides or groups do not fit into the other's")
    weight = (layer.inputs[1].values.astype(np.float64) + added[0]).astype(np.float32)
    bias = (_bias(layer) + added[1]).astype(np.float32)
    constants = [Constant(f"{total.name}:{kind}", v) for kind, v in (("weight", weight), ("bias", bias))]
    layer.inputs = [layer.inputs[0], *constants]
    (result,) = total.outputs
    total.outputs.clear()
    layer.outputs = [result]
    return True


def _is_plain(node: Node) -> bool:
    """Whether this is a two-dimensional convolution with stored float32 weights and written-out padding."""
    return (
        node.op == "Conv"
        and all(isinstance(i, Constant) and i.values.dtype == np.float32 for i in node.inputs[1:])
        and node.inputs[1].values.ndim == 4
        and node.attrs.get("auto_pad", "NOTSET") == "NOTSET"
    )


def _bias(layer: Node) -> Array:
    weight = layer.inputs[1].values
    return layer.inputs[2].values.astype(np.float64) if len(layer.inputs) > 2 else np.zeros(len(weight))


def _within(small: Node, large: Node) -> tuple[Array, Array] | None:
    """Weights and bias of a convolution as those of one with `large`'s kernel and padding."""
    if not _is_plain(small) or any(
        small.attrs.get(name, default) != large.attrs.get(name, default)
        for name, default in (("strides", [1, 1]), ("group", 1))
    ):
        return None
    weight, wide = small.inputs[1].values, large.inputs[1].values
    if weight.shape[:2] != wide.shape[:2] or any(_dilated(node) for node in (small, large)):
        return None
    begins = _margins(small, large)
    ends = [w - n - b for w, n, b in zip(wide.shape[2:], weight.shape[2:], begins[:2], strict=True)]
    if min(begins) < 0 or begins[2:] != ends:
        return None
    margins = [(0, 0), (0, 0), *zip(begins[:2], ends, strict=True)]
    return np.pad(weight.astype(np.float64), margins), _bias(small)


def _margins(small: Node, large: Node) -> list[int]:
    """How much more `large` pads: top, left, bottom, right."""
    pads = (node.attrs.get("pads", [0, 0, 0, 0]) for node in (large, small))
    return [more - less for more, less in zip(*pads, strict=True)]


def _dilated(node: Node) -> bool:
    kernel = node.inputs[1].values.shape[2:]
    return any(d != 1 and k != 1 for d, k in zip(node.attrs.get("dilations", [1, 1]), kernel, strict=True))


def _diagonal(norm: Node, layer: Node) -> tuple[Array, Array] | None:
    """Weights and bias of `layer`'s shape that do what a BatchNormalization of its input does."""
    affine = batchnorm_affine(norm, norm.inputs[0])
    weight, pads = layer.inputs[1].values, layer.attrs.get("pads", [0, 0, 0, 0])
    channels, inputs = weight.shape[:2]
    keeps_size = all(k == 1 + pads[i] + pads[i + 2] for i, k in enumerate(weight.shape[2:]))
    strided = any(s != 1 for s in layer.attrs.get("strides", [1, 1]))
    keeps_channels = affine is not None and inputs * layer.attrs.get("group", 1) == channels == len(affine[0])
    if affine is None or not (keeps_size and keeps_channels) or strided or _dilated(layer):
        return None
    spread, every = np.zeros(weight.shape), np.arange(channels)
    spread[every, every % inputs, pads[0], pads[1]] = affine[0]
    return spread, affine[1]
