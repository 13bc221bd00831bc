"""Learning the weights and biases of one block, so that its int8 result is nearest to float's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from zooc.ir.graph import Graph
from zooc.quantization.corrections.quantized_layers import QuantizedLayer
from zooc.quantization.corrections.reconstruction.operators import Made, Tensors, constants_of, rounded, run

__all__ = ["BlockImages", "BlockLearner"]

_IMAGES = 8
"""Of a step, at least."""

_DROPPED = 0.5
"""The share of the block's input that stays as float has it, drawn anew at each step."""

_WEIGHT_RATE, _BIAS_RATE = 0.02, 0.6
"""Of Adam, in levels of int8 and of int32 a step."""

_INSIDE = 0.49
"""A weight stays this close to a level that it may take, so that rounding cannot take it further."""


@dataclass(frozen=True)
class BlockImages:
    """What a block reads and what it shall make, image by image.

    Attributes:
        exact: its inputs in the float network, float32 `[images, ...]`.
        given: its inputs in the int8 network, the same shape.
        wanted: its results in the float network.
    """

    exact: torch.Tensor
    given: torch.Tensor
    wanted: torch.Tensor

    @classmethod
    def of(cls, *values: npt.NDArray[Any]) -> BlockImages:
        """Take arrays over, in the order of the attributes."""
        return cls(*(torch.from_numpy(np.ascontiguousarray(x)) for x in values))

    def __getitem__(self, images: slice | torch.Tensor) -> BlockImages:
        """Return some of the images."""
        return BlockImages(self.exact[images], self.given[images], self.wanted[images])


class BlockLearner:
    """Learns a block's rounding and biases by gradient descent through its fake-quantized form.

    The loss is the squared difference of the block's result from the float network's, as in Y. Li et al.,
    "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction" (arXiv 2102.05426). The
    block reads what the int8 network gives it, so that it makes up for the noise of those before it, but half
    of the values, drawn at each step, are float's: the random dropping of X. Wei et al., "QDrop" (arXiv
    2203.05740), which keeps the weights from fitting the noise of the calibration images.

    A weight takes one of the two levels beside its float value, as in M. Nagel et al., "Up or Down?" (arXiv
    2004.10568). Where that paper relaxes the choice to a rectified sigmoid, here the weight itself moves
    between the two levels and is rounded with a straight-through gradient, as in I. Hubara et al., "Accurate
    Post Training Quantization With Small Calibration Sets" (arXiv 2006.10518): at eight bits most weights
    stay as they are, and a hundred steps do instead of ten thousand. Scales stay as calibration chose them.
    """

    def __init__(
        self, graph: Graph, layers: Sequence[QuantizedLayer], together: int, *, bounded: bool
    ) -> None:
        """Start from the integers that the block has.

        Args:
            graph: the block in QDQ form, of operators that `run` knows.
            layers: those of the block that have int8 weights.
            together: how many images go through the graph at once.
            bounded: keep every pair of weights from overflowing 16 bits (`saturation.py`).
        """
        self._graph, self._stored = graph, constants_of(graph)
        self._source = graph.inputs[0].name
        self._together = together
        self._layers = [_Layer(layer, self._stored, bounded=bounded) for layer in layers]
        self._made: dict[str, Made] = {}
        for layer in self._layers:
            self._made |= layer.made()

    def noise(self, images: BlockImages) -> float:
        """Return the noise power of the block's result over its signal's, on the int8 network's inputs."""
        with torch.no_grad():
            difference = self._run(images.given) - images.wanted
            return float(difference.square().sum() / images.wanted.square().sum().clamp(min=1e-30))

    def learn(self, images: BlockImages, steps: int) -> None:
        """Take so many steps of Adam, each on a few of the images."""
        random = torch.Generator().manual_seed(0)
        optimizer = torch.optim.Adam([group for layer in self._layers for group in layer.parameters()])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        power = images.wanted.square().mean()
        count = max(_IMAGES // self._together, 1) * self._together
        for _ in range(steps):
            some = images[torch.randperm(len(images.given), generator=random)[:count]]
            dropped = torch.rand(some.given.shape, generator=random) < _DROPPED
            result = self._run(torch.where(dropped, some.exact, some.given))
            loss = (result - some.wanted).square().mean() / power
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            for layer in self._layers:
                layer.keep_inside()

    def learned(self) -> dict[str, tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]]:
        """Return the int8 weights and the int32 bias (empty without one) of the layers, by name."""
        with torch.no_grad():
            return {layer.name: layer.integers() for layer in self._layers}

    def _run(self, values: torch.Tensor) -> torch.Tensor:
        parts = values.split(self._together)
        return torch.cat([run(self._graph, {**self._stored, self._source: x}, self._made) for x in parts])


class _Layer:
    """What is learned of one layer: its weights in levels, and what is added to its int32 bias."""

    def __init__(self, layer: QuantizedLayer, stored: Tensors, *, bounded: bool) -> None:
        self.name = layer.node.name
        levels, scale = (stored[name].numpy() for name in layer.stored_weight)
        self._scale = torch.from_numpy(layer.broadcast(scale))
        exact, others = layer.weight / self._scale.numpy(), layer.other_levels(levels, scale, bounded=bounded)
        self._lowest = torch.from_numpy(np.minimum(levels, others) - _INSIDE)
        self._highest = torch.from_numpy(np.maximum(levels, others) + _INSIDE)
        start = levels + np.clip(exact - levels, -_INSIDE, _INSIDE)
        self._levels = torch.from_numpy(start.astype(np.float32)).requires_grad_()
        self._bias = None if layer.stored_bias is None else [stored[name] for name in layer.stored_bias]
        self._change = torch.zeros(len(layer.bias), requires_grad=self._bias is not None)

    def parameters(self) -> list[dict[str, object]]:
        """Return what the optimizer changes, and how fast."""
        rates = {_WEIGHT_RATE: self._levels} | ({} if self._bias is None else {_BIAS_RATE: self._change})
        return [{"params": [values], "lr": rate} for rate, values in rates.items()]

    def keep_inside(self) -> None:
        """Return weights that went beyond the levels that they may take."""
        with torch.no_grad():
            self._levels.clamp_(self._lowest, self._highest)

    def made(self) -> dict[str, Made]:
        """Return what computes the layer's dequantized weight and bias, by the tensors' names."""
        found: dict[str, Made] = {
            f"{self.name}/weight_dequantized": lambda: rounded(self._levels) * self._scale
        }
        if self._bias is not None:
            found[f"{self.name}/bias_dequantized"] = partial(self._dequantized_bias, *self._bias)
        return found

    def _dequantized_bias(self, levels: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return (levels.to(torch.float32) + self._change) * scale

    def integers(self) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]:
        """Return what was learned, rounded."""
        levels = self._levels.round().numpy().astype(np.int8)
        if self._bias is None:
            return levels, np.zeros(0, np.int32)
        bias = self._bias[0].numpy() + np.rint(self._change.numpy().astype(np.float64))
        return levels, bias.astype(np.int32)
