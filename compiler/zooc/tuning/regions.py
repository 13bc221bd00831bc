"""What is switched between integers and float as a whole: regions of a network, largest first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import onnx

from zooc.accuracy.contract.cost import CostModel
from zooc.accuracy.contract.front import around_tensors, stretches
from zooc.accuracy.integer_graph import IntegerGraph
from zooc.deployment import Quantize
from zooc.ir.graph import Constant, Graph, Node, Tensor, maker, read_graph, readers, shape_of
from zooc.quantization.placement import place

__all__ = ["Region", "find_regions"]

_GATES = frozenset({"Sigmoid", "HardSigmoid", "Clip", "Add"})
"""Operators between a tensor and the product with itself, in SiLU and HardSwish."""

_LEAST = 0.005
"""Share of the network's estimated time below which a single layer's is lost in the noise of any clock."""


@dataclass(frozen=True, slots=True)
class Region:
    """Layers that are switched together.

    Attributes:
        what: in words.
        layers: names of their nodes, in network order.
    """

    what: str
    layers: tuple[str, ...]


def find_regions(body: onnx.ModelProto, quantized: onnx.ModelProto, quantize: Quantize) -> list[Region]:
    """Return the regions of those nodes that the compiler's rules make integer.

    They are the whole network; stages (of one resolution, or of one module of the source); stretches;
    residual blocks, those with a Softmax being attention; squeeze-excite branches, gated activations,
    depthwise convolutions and pools, each alone, all of a stage, and all of the network; layers around a
    tensor, and single ones.

    Args:
        body: float, as it is quantized.
        quantized: by the rules.
        quantize: the rules' settings.
    """
    graph = read_graph(body)
    plans = place(graph, quantize).nodes
    nodes = [n for n in graph.nodes if plans[n.name].int8 and (plans[n.name].role != "pass" or _is_pool(n))]
    names = [node.name for node in nodes]
    found: dict[tuple[str, ...], str] = {}
    chosen = frozenset(names)

    def add(what: str, layers: Iterable[str], least: int = 1) -> None:
        wanted = frozenset(layers) & chosen
        if len(wanted) >= least:
            found.setdefault(tuple(name for name in names if name in wanted), what)

    add("the whole network", names)
    stages = _stages(nodes)
    blocks = _blocks(graph)
    kinds: dict[str, list[tuple[str, ...]]] = {
        "squeeze-excite": list(_each(graph, _squeeze_excite)),
        "activation": list(_each(graph, _gated_activation)),
        "depthwise convolution": [(node.name,) for node in nodes if _is_depthwise(node)],
        "pool": [(node.name,) for node in nodes if _is_pool(node)],
        "attention": [tuple(n.name for n in b) for b in blocks if any(n.op == "Softmax" for n in b)],
    }
    for kind, groups in kinds.items():
        for group in groups:
            add(f"{kind} at {group[-1]}", group)
        for number, stage in enumerate(stages, 1):
            inside = [group for group in groups if chosen & set(group) and chosen & set(group) <= stage]
            if len(inside) > 1:
                add(f"each {kind} of stage {number}", itertools.chain(*inside))
        add(f"each {kind}", itertools.chain(*groups))
    for number, stage in enumerate(stages, 1):
        add(f"stage {number}", stage, 2)
    for module, below in _modules(names).items():
        add(f"module {module}", below, 2)
    for block in blocks:
        add(f"block up to {block[-1].name}", (node.name for node in block), 2)
    for layers in stretches(names):
        add(f"{layers[0]} to {layers[-1]}", layers)
    for layers in around_tensors(IntegerGraph(quantized), chosen):
        add(f"layers around {layers[0]}", layers, 2)
    work = CostModel(body).alone()
    whole = sum(work[name] for name in names)
    for name in names:
        if work[name] >= _LEAST * whole:
            add(name, (name,))
    regions = [Region(what, layers) for layers, what in found.items() if layers]
    return sorted(regions, key=lambda region: -sum(work[name] for name in region.layers))


def _each(graph: Graph, find: Callable[[Node], set[str]]) -> Iterator[tuple[str, ...]]:
    for node in graph.nodes:
        if inside := find(node):
            yield tuple(other.name for other in graph.nodes if other.name in inside)


def _squeeze_excite(node: Node) -> set[str]:
    """A product of a feature map and one number a channel of it, back to where that is averaged."""
    if node.op != "Mul":
        return set()
    for gate, features in (node.inputs, reversed(node.inputs)):
        if not isinstance(gate, Constant) and _pixels(gate) == 1 and _pixels(features) not in (None, 1):
            return {node.name, *_back_to_average(gate)}
    return set()


def _back_to_average(tensor: Tensor) -> set[str]:
    found: dict[str, None] = {}
    waiting = [tensor]
    while waiting:
        node = maker(waiting.pop())
        if node is None or node.name in found:
            continue
        found[node.name] = None
        if any(_pixels(t) not in (None, 1) for t in node.inputs if not isinstance(t, Constant)):
            continue  # the average itself
        waiting += [t for t in node.inputs if not isinstance(t, Constant)]
    return set(found)


def _gated_activation(node: Node) -> set[str]:
    """`x * g(x)`, g being a sigmoid or what a hard one is spelt as."""
    if node.op in ("HardSwish", "Swish", "Gelu", "LeakyRelu"):
        return {node.name}
    if node.op != "Mul" or len({tensor.name for tensor in node.inputs}) < 2:
        return set()
    for gate, source in (node.inputs, reversed(node.inputs)):
        inside: list[str] = []
        tensor = gate
        while (before := maker(tensor)) is not None and before.op in _GATES and len(inside) < 3:
            inside.append(before.name)
            computed = [t for t in before.inputs if not isinstance(t, Constant) and not t.is_empty()]
            if len(computed) != 1:
                break
            tensor = computed[0]
            if tensor is source:
                scaled = [r.name for r in readers(node.outputs[0]) if r.op == "Mul" and _has_constant(r)]
                return {node.name, *inside, *scaled}
    return set()


def _has_constant(node: Node) -> bool:
    return any(isinstance(tensor, Constant) for tensor in node.inputs)


def _is_depthwise(node: Node) -> bool:
    group = node.attrs.get("group", 1) if node.op == "Conv" else 1
    return bool(group > 1 and isinstance(node.inputs[1], Constant) and node.inputs[1].shape[1] == 1)


def _is_pool(node: Node) -> bool:
    return node.op in ("AveragePool", "GlobalAveragePool", "MaxPool")


def _pixels(tensor: Tensor) -> int | None:
    """How many places a feature map has; `None` where the tensor is none."""
    shape = shape_of(tensor)
    if shape is None or len(shape) != 4 or shape[2] is None or shape[3] is None:
        return None
    return shape[2] * shape[3]


def _stages(nodes: Iterable[Node]) -> list[frozenset[str]]:
    """Nodes in runs of one resolution; what has none belongs to the run that it stands in."""
    runs: list[set[str]] = [set()]
    current: int | None = None
    for node in nodes:
        pixels = _pixels(node.outputs[0])
        if pixels is not None and pixels > 1 and pixels != current:
            if current is not None:
                runs.append(set())
            current = pixels
        runs[-1].add(node.name)
    return [frozenset(run) for run in runs]


def _blocks(graph: Graph) -> list[list[Node]]:
    """Nodes between one tensor and the next through which everything flows."""
    numbers = {node.name: number for number, node in enumerate(graph.nodes)}
    last = [
        max((numbers[r.name] for t in node.outputs for r in readers(t) if r.name in numbers), default=number)
        for number, node in enumerate(graph.nodes)
    ]
    blocks: list[list[Node]] = []
    block: list[Node] = []
    reach = 0
    for number, node in enumerate(graph.nodes):
        block.append(node)
        if reach <= number:
            blocks.append(block)
            block = []
        reach = max(reach, last[number])
    return [block for block in [*blocks, block] if len(block) > 1]


def _modules(names: Iterable[str]) -> dict[str, list[str]]:
    """Nodes below each module of the source, where their names tell: `layer1`, `layer1.0`."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.rpartition("/")[0].split(".")
        for count in range(1, len(parts) + 1):
            if module := ".".join(parts[:count]):
                found.setdefault(module, []).append(name)
    return found
