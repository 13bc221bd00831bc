"""Mixed precision: which layers to take back to float, the most noise for the least time first."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Callable, Container, Iterator, Sequence
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
    well.

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
    before = costs.time(_in_float(quantized))
    waiting = [region for region in regions_of(graph, alone) if region.noise > 0]
    kept: tuple[str, ...] = ()
    session = open_session(quantized.model, threads=1)
    search, held, now = output.of(session, "search"), output.of(session, "held"), before

    def price(region: Region) -> float:
        added = costs.time(_in_float(quantized) | set(region.layers)) - now
        return region.noise / max(added, 1.0)

    while waiting:
        waiting = [region for region in waiting if not set(region.layers) <= set(kept)]
        waiting.sort(key=lambda region: (-price(region), region.layers))
        tried, waiting = waiting[:_TRIED], waiting[_TRIED:]
        helpful: list[tuple[float, float, Region, Quantized, Noise]] = []
        with progress.track("layers tried in float", len(tried)) as advance:
            for region in tried:
                other = requantize(tuple(glob.escape(name) for name in (*kept, *region.layers)))
                time = costs.time(_in_float(other))
                advance(1)
                if time > most_time * before or other.model == quantized.model:
                    continue
                noise = output.of(open_session(other.model, threads=1), "search")
                gain = float((search - noise).mean())
                if gain > _WORTH * float(search.mean()) and is_less(noise, search):
                    helpful.append((gain, time, region, other, noise))
        if not helpful:
            continue
        most = max(gain for gain, *_ in helpful)
        _, time, region, other, noise = max(
            (one for one in helpful if one[0] >= _NEAR * most),
            key=lambda one: one[0] / max(one[1] - now, 1.0),
        )
        session = open_session(other.model, threads=1)
        after = output.of(session, "held")
        waiting += [one for one in tried if one is not region]
        if not is_less(after, held):
            continue
        added = tuple(name for name in region.layers if name not in kept)
        kept, quantized, search, held, now = (*kept, *added), other, noise, after, time
        agreement = output.agreement(session, heads)
        yield FrontPoint(added, now / before, noise_db(held), agreement), quantized, alone


def _origin(graph: IntegerGraph, pair: ActivationPair) -> ActivationPair:
    """Where the levels of a tensor come from that a Split, a pool or a reshape only hands on."""
    while True:
        node = graph.nodes_by_output.get(pair.tensor)
        before = None if node is None else graph.pairs.get(node.inputs[0].name)
        if before is None or (before.scale, before.zero_point) != (pair.scale, pair.zero_point):
            return pair
        pair = before


def _in_float(quantized: Quantized) -> set[str]:
    return {layer.name for layer in quantized.layers if layer.dtype == "float"}
