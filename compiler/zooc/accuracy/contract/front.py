"""Mixed precision: which layers to take back to float, the most noise for the least time first."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx

from zooc.accuracy.contract.cost import CostModel
from zooc.accuracy.integer_graph import ActivationPair, IntegerGraph
from zooc.accuracy.search.output_noise import HeldBack, Noise, OutputNoise, is_less, noise_db
from zooc.accuracy.sensitivity import LayerSensitivity, measure_sensitivity
from zooc.ir.session import open_session
from zooc.quantization.layers import Quantized
from zooc.support.progress import Progress
from zooc_runtime.package.heads import Head

__all__ = ["FrontPoint", "Region", "around_tensors", "climb", "regions_of", "stretches"]

_TRIED = 8
"""Regions that are tried in each step: those with most noise for their time."""

_WORTH = 0.02
"""Share of the noise that a step must take away."""

_STRETCHES = (2, 4, 8, 16)
"""Into how many stretches the network is cut, to be taken to float as a whole."""

_NEAR = 0.25
"""Share of the largest gain that a step must have, to be taken because it is cheap."""

Batch = npt.NDArray[Any]
Requantize = Callable[[tuple[str, ...]], Quantized]


@dataclass(frozen=True, slots=True)
class Region:
    """Layers that go back to float together.

    Attributes:
        layers: their nodes' names, in network order.
        noise: in the logits when each alone is quantized, added up, as a share of the signal's power.
    """

    layers: tuple[str, ...]
    noise: float


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A network between int8 and float.

    Attributes:
        layers: those that went back to float in this step.
        time: estimated, over that of int8 as asked for: 1.2 takes a fifth more.
        sqnr_db: of the logits, on the images held back.
        agreement: share of all images of which it says what float does; `None` where nothing is said.
    """

    layers: tuple[str, ...]
    time: float
    sqnr_db: float
    agreement: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "layers": list(self.layers),
            "time": round(self.time, 4),
            "sqnr_db": round(min(self.sqnr_db, 999.0), 2),
            "agreement": None if self.agreement is None else round(self.agreement, 4),
        }

    def in_words(self) -> str:
        """Return what was reached, for notes."""
        same = "" if self.agreement is None else f", same answers on {self.agreement:.1%}"
        return f"{self.sqnr_db:.1f} dB{same}, estimated time {self.time:.2f} of int8's"


def regions_of(graph: IntegerGraph, found: Sequence[LayerSensitivity]) -> list[Region]:
    """Return the layers one by one, those around each rounded tensor together, and whole stretches.

    A tensor between two layers stays rounded as long as one of them is in int8; where it is the tensor that
    makes the noise, its maker and its readers have to go together. Where all layers make a little of it, a
    stretch of the network (a half, a quarter, ... of its layers) is needed to make a difference.
    """
    noise = {one.layer.name: one.noise for one in found}
    regions: dict[tuple[str, ...], None] = {(name,): None for name in noise}
    regions |= dict.fromkeys(around_tensors(graph, noise))
    regions |= dict.fromkeys(stretches([layer.name for layer in graph.layers if layer.name in noise]))
    return [Region(layers, sum(noise[name] for name in layers)) for layers in regions]


def around_tensors(graph: IntegerGraph, names: Container[str]) -> list[tuple[str, ...]]:
    """Return, for each rounded tensor, those of the named layers that make or read it."""
    around: dict[str, list[str]] = {}
    for layer in graph.layers:
        if layer.name in names:
            pairs = [*layer.inputs, *([layer.output] if layer.output is not None else [])]
            for tensor in dict.fromkeys(_origin(graph, pair).tensor for pair in pairs):
                around.setdefault(tensor, []).append(layer.name)
    return [tuple(layers) for layers in around.values()]


def stretches(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the halves, quarters, eighths and sixteenths of layers in network order."""
    found = []
    for parts in _STRETCHES:
        ends = [len(names) * i // parts for i in range(parts + 1)]
        found += [tuple(names[a:b]) for a, b in itertools.pairwise(ends) if b - a > 1]
    return found


def climb(
    reference: onnx.ModelProto,
    quantized: Quantized,
    images: HeldBack,
    heads: tuple[Head, ...],
    requantize: Requantize,
    most_time: float,
    progress: Progress,
) -> Iterator[tuple[FrontPoint, Quantized, list[LayerSensitivity]]]:
    """Take regions back to float one after the other, and yield every network on the way.

    In each step the regions with most noise for their time are tried in the whole network, and the one that
    takes most noise from the logits for the time that it adds is kept, if it helps on the images held back as
    well. When none does, whole stretches go, most noise alone over added time first, as long as time is left:
    with enough of it the network ends in float.

    Args:
        reference: the float body.
        quantized: int8 as asked for.
        images: on which the logits' noise is measured.
        heads: what the logits mean.
        requantize: quantizes anew with further `keep` patterns.
        most_time: the largest estimated time over that of `quantized`; regions beyond it are passed over.
        progress: told what is going on.

    Yields:
        The point, its network, and what each layer of `quantized` alone costs.
    """
    output, costs = OutputNoise(reference, images), CostModel(reference)
    graph = IntegerGraph(quantized.model)
    layers = [layer for layer in graph.layers if layer.int8]
    with progress.track("noise of each layer alone", len(layers)) as advance:
        alone = measure_sensitivity(reference, graph, layers, images.search, advance, heads)
    noise = {one.layer.name: one.noise for one in alone}
    walk = _Walk(output, heads, costs, requantize, quantized, most_time, noise)
    waiting = [region for region in regions_of(graph, alone) if region.noise > 0]
    while waiting:
        waiting = [region for region in waiting if not set(region.layers) <= set(walk.kept)]
        waiting.sort(key=walk.order)
        tried, waiting = waiting[:_TRIED], waiting[_TRIED:]
        with progress.track("layers tried in float", len(tried)) as advance:
            change = walk.best_of(tried, advance)
        if change is None:
            continue
        waiting += [one for one in tried if one.layers != change.region.layers]
        if (point := walk.take(change, if_held_falls=True)) is not None:
            yield point, walk.quantized, alone
    # No region stands out any longer. What is still in int8 makes its noise all the same.
    left = [Region(layers, 0.0) for layers in stretches([one.layer.name for one in alone])]
    while left := [region for region in left if not set(region.layers) <= set(walk.kept)]:
        left.sort(key=walk.order)
        if (forced := walk.change(left.pop(0))) is not None and (point := walk.take(forced)) is not None:
            yield point, walk.quantized, alone


@dataclass(frozen=True, slots=True)
class _Change:
    """A region tried in float."""

    region: Region
    quantized: Quantized
    time: float
    noise: Noise


class _Walk:
    """The network so far, on its way to float.

    Attributes:
        kept: layers that went back to float.
        quantized: the network with them.
        search, held: its noise on the two parts of the images.
    """

    def __init__(
        self,
        output: OutputNoise,
        heads: tuple[Head, ...],
        costs: CostModel,
        requantize: Requantize,
        quantized: Quantized,
        most_time: float,
        alone: Mapping[str, float],
    ) -> None:
        self._output, self._heads, self._costs = output, heads, costs
        self._requantize, self._alone = requantize, alone
        self.kept: tuple[str, ...] = ()
        self.quantized = quantized
        session = open_session(quantized.model, threads=1)
        self.search, self.held = output.of(session, "search"), output.of(session, "held")
        self._before = self._now = costs.time(quantized.in_float)
        self._most_time = most_time * self._before

    def order(self, region: Region) -> tuple[float, tuple[str, ...]]:
        """Return a key that sorts regions by the noise that they make over the time that they add."""
        noise = sum(self._alone[name] for name in region.layers if name not in self.kept)
        added = self._costs.time(self.quantized.in_float | set(region.layers)) - self._now
        return -noise / max(added, 1.0), region.layers

    def change(self, region: Region) -> _Change | None:
        """Take a region to float; `None` if that takes too long, or changes nothing."""
        other = self._requantize(tuple(glob.escape(name) for name in (*self.kept, *region.layers)))
        time = self._costs.time(other.in_float)
        if time > self._most_time or other.model == self.quantized.model:
            return None
        return _Change(region, other, time, self._output.of(open_session(other.model, threads=1), "search"))

    def best_of(self, regions: Sequence[Region], advance: Callable[[int], None]) -> _Change | None:
        """Return the change that takes most noise for its time, of those with much of the largest gain."""
        helpful: list[tuple[float, _Change]] = []
        for region in regions:
            change = self.change(region)
            advance(1)
            if change is not None:
                gain = float((self.search - change.noise).mean())
                if gain > _WORTH * float(self.search.mean()) and is_less(change.noise, self.search):
                    helpful.append((gain, change))
        if not helpful:
            return None
        most = max(gain for gain, _ in helpful)
        near = [one for one in helpful if one[0] >= _NEAR * most]
        return max(near, key=lambda one: one[0] / max(one[1].time - self._now, 1.0))[1]

    def take(self, change: _Change, *, if_held_falls: bool = False) -> FrontPoint | None:
        """Keep a change and return the point that is reached; `None` where the held noise had to fall."""
        session = open_session(change.quantized.model, threads=1)
        held = self._output.of(session, "held")
        if if_held_falls and not is_less(held, self.held):
            return None
        added = tuple(name for name in change.region.layers if name not in self.kept)
        self.kept, self.quantized, self._now = (*self.kept, *added), change.quantized, change.time
        self.search, self.held = change.noise, held
        agreement = self._output.agreement(session, self._heads)
        return FrontPoint(added, change.time / self._before, noise_db(self.held), agreement)


def _origin(graph: IntegerGraph, pair: ActivationPair) -> ActivationPair:
    """Where the levels of a tensor come from that a Split, a pool or a reshape only hands on."""
    while True:
        node = graph.nodes_by_output.get(pair.tensor)
        before = None if node is None else graph.pairs.get(node.inputs[0].name)
        if before is None or (before.scale, before.zero_point) != (pair.scale, pair.zero_point):
            return pair
        pair = before
