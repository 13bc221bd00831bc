"""Decides which nodes compute in integers and which tensors are quantized, before any range is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from zooc.deployment import Quantize
from zooc.ir.body_graph import BodyGraph, attribute, is_clamp_from_zero
from zooc.quantization.float_patterns import kept_nodes
from zooc.quantization.operators import Role, role_of

__all__ = ["BETWEEN_FLOATS", "NodePlan", "Placement", "operands", "place", "results", "tensors_to_observe"]

UINT8 = int(onnx.TensorProto.UINT8)
FLOAT = int(onnx.TensorProto.FLOAT)
BETWEEN_FLOATS = "its neighbours compute in float"


@dataclass(slots=True)
class NodePlan:
    """What becomes of one node.

    Attributes:
        role: see `operators.Role`.
        int8: whether it computes on quantized tensors.
        reason: why not.
        fused_into: index of the node whose output this activation (`Relu`, `Clip`) clamps: nothing between
            them is quantized, and the engine folds it away.
        clamp: index of the activation fused into this node.
        float_output: int8 inputs, but a float32 result (the logits).
    """

    role: Role
    int8: bool
    reason: str | None = None
    fused_into: int | None = None
    clamp: int | None = None
    float_output: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """The plan of a body.

    Attributes:
        nodes: one plan a node, in the graph's order.
        quantized: tensors that get a QuantizeLinear/DequantizeLinear pair, in the graph's order, each with
            the tensor whose scale it uses (itself, unless a pass-through or concatenation shares one).
        sources: for each such scale the observed tensors whose ranges it must cover.
        pixels: outputs of a Cast from uint8, which become a DequantizeLinear of scale 1.
        reported: indices of the nodes that compute on pixels or activations, not on shapes.
    """

    nodes: tuple[NodePlan, ...]
    quantized: dict[str, str]
    sources: dict[str, tuple[str, ...]]
    pixels: tuple[str, ...]
    reported: tuple[int, ...]


def tensors_to_observe(body: onnx.ModelProto, quantize: Quantize) -> list[str]:
    """Names of the float32 tensors whose ranges `quantize_body` needs, each once, in the graph's order.

    Raises:
        ZoocError: Z0410, a `keep` pattern matches no node.
    """
    if quantize.dtype != "int8":
        return []
    placement = place(BodyGraph(body), quantize)
    needed = {name for sources in placement.sources.values() for name in sources}
    return [name for name in _in_order(body) if name in needed]


def _in_order(body: onnx.ModelProto) -> Iterator[str]:
    yield from (v.name for v in body.graph.input)
    for node in body.graph.node:
        yield from node.output


def place(graph: BodyGraph, quantize: Quantize) -> Placement:
    """Plans a body.

    Convolutions, Gemms and MatMuls with stored weights are integer wherever possible; sums, products, pools
    and concatenations are when they stand between integer neighbours, because alone they would gain nothing
    and lose accuracy.

    Raises:
        ZoocError: Z0410, a `keep` pattern matches no node.
    """
    kept = kept_nodes([graph.name(i) for i in range(len(graph.nodes))], quantize)
    plans = [_first_plan(graph, index, kept) for index in range(len(graph.nodes))]
    _fuse_clamps(graph, plans, kept)
    _settle(graph, plans)
    _release_outputs(graph, plans)
    pixels = tuple(
        node.output[0]
        for node in graph.nodes
        if _casts_pixels(graph, node) and _has_integer_consumer(graph, plans, node.output[0])
    )
    quantized = _quantized_tensors(graph, plans, pixels)
    shared, sources = _share(graph, plans, quantized, pixels)
    reported = tuple(i for i, node in enumerate(graph.nodes) if _on_activations(graph, node))
    return Placement(tuple(plans), shared, sources, pixels, reported)


def _on_activations(graph: BodyGraph, node: onnx.NodeProto) -> bool:
    return node.op_type != "Constant" and graph.element_type(node.output[0]) in (0, FLOAT, UINT8)


def _first_plan(graph: BodyGraph, index: int, kept: dict[str, str]) -> NodePlan:
    if (pattern := kept.get(graph.name(index))) is not None:
        return NodePlan("float", False, f'kept by "{pattern}"')
    role, reason = role_of(graph, index)
    return NodePlan(role, role != "float", reason)


def _fuse_clamps(graph: BodyGraph, plans: list[NodePlan], kept: dict[str, str]) -> None:
    for index, node in enumerate(graph.nodes):
        if not is_clamp_from_zero(graph, index) or graph.name(index) in kept:
            continue
        before = graph.producer.get(node.input[0])
        alone = graph.consumers[node.input[0]] == [index] and node.input[0] not in graph.outputs
        if before is not None and alone and plans[before].int8 and plans[before].role != "pass":
            plans[index] = NodePlan("float", False, fused_into=before)
            plans[before].clamp = index


def results(graph: BodyGraph, plans: list[NodePlan] | tuple[NodePlan, ...], index: int) -> list[str]:
    """The tensors a node hands on: its outputs, or its fused activation's."""
    clamp = plans[index].clamp
    return [n for n in graph.nodes[index if clamp is None else clamp].output if n]


def operands(graph: BodyGraph, index: int) -> list[str]:
    """Computed float operands: all but shapes, axes and the like."""
    node = graph.nodes[index]
    if node.op_type in ("Add", "Mul", "Concat"):
        return graph.activations(index)
    return [node.input[0]]


def _maker(graph: BodyGraph, plans: list[NodePlan], tensor: str) -> int | None:
    """Index of the node that produces a tensor; for a fused activation the node it is fused into."""
    index = graph.producer.get(tensor)
    return index if index is None or plans[index].fused_into is None else plans[index].fused_into


def _has_integer_consumer(graph: BodyGraph, plans: list[NodePlan], tensor: str) -> bool:
    return any(plans[c].int8 and tensor in operands(graph, c) for c in graph.consumers[tensor])


def _has_integer_producer(graph: BodyGraph, plans: list[NodePlan], tensor: str) -> bool:
    maker = _maker(graph, plans, tensor)
    if maker is None:
        return False
    return plans[maker].int8 or _casts_pixels(graph, graph.nodes[maker])


def _settle(graph: BodyGraph, plans: list[NodePlan]) -> None:
    """Returns nodes without weights to float until each that remains has integer neighbours on both sides."""
    changed = True
    while changed:
        changed = False
        for index, plan in enumerate(plans):
            if not plan.int8 or plan.role == "compute":
                continue
            before = [_has_integer_producer(graph, plans, t) for t in operands(graph, index)]
            after = any(_has_integer_consumer(graph, plans, t) for t in results(graph, plans, index))
            strict = plan.role in ("pass", "concat")
            if after and (all(before) if strict else any(before)):
                continue
            if plan.role != "pass" and all(before) and not strict and _leads_out(graph, index):
                continue
            plan.int8, plan.reason = False, BETWEEN_FLOATS
            if plan.clamp is not None:
                plans[plan.clamp] = NodePlan("float", False, BETWEEN_FLOATS)
                plan.clamp = None
            changed = True


def _leads_out(graph: BodyGraph, index: int) -> bool:
    """Whether the result is so much smaller than the operand that reading it in integers pays."""
    return graph.nodes[index].op_type == "GlobalAveragePool"


def _release_outputs(graph: BodyGraph, plans: list[NodePlan]) -> None:
    """Gemm and MatMul may end in float32: then the logits, or what a float node reads, lose nothing more."""
    for index, plan in enumerate(plans):
        if plan.int8 and graph.nodes[index].op_type in ("Gemm", "MatMul"):
            (result,) = results(graph, plans, index)
            readers = graph.consumers[result]
            plan.float_output = result in graph.outputs or not (
                readers and all(plans[r].int8 and result in operands(graph, r) for r in readers)
            )


def _casts_pixels(graph: BodyGraph, node: onnx.NodeProto) -> bool:
    return (
        node.op_type == "Cast"
        and attribute(node, "to") == FLOAT
        and graph.element_type(node.input[0]) == UINT8
    )


def _quantized_tensors(graph: BodyGraph, plans: list[NodePlan], pixels: tuple[str, ...]) -> list[str]:
    wanted = set()
    for index, plan in enumerate(plans):
        if plan.int8:
            wanted.update(operands(graph, index))
            if not plan.float_output:
                wanted.update(results(graph, plans, index))
    wanted.difference_update(pixels)
    return [name for name in _in_order(graph.model) if name in wanted]


def _share(
    graph: BodyGraph, plans: list[NodePlan], quantized: list[str], pixels: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    owner = {name: name for name in [*quantized, *pixels]}
    joined: dict[str, list[str]] = {}
    for index, plan in enumerate(plans):
        node = graph.nodes[index]
        if plan.int8 and plan.role == "pass":
            for name in results(graph, plans, index):
                owner[name] = node.input[0]
        elif plan.int8 and plan.role == "concat":
            (result,) = results(graph, plans, index)
            joining = graph.activations(index)
            roots_of = [_root(owner, name) for name in joining]
            joined[result] = [s for root in roots_of for s in joined.get(root, [root])]
            if _alike(graph, plans, joining):
                for name in joining:
                    if owner[name] == name and graph.consumers[name] == [index]:
                        owner[name] = result
    shared = {name: _root(owner, name) for name in quantized}
    roots = dict.fromkeys(root for root in shared.values() if root not in pixels)
    sources = {root: tuple(dict.fromkeys(joined.get(root, [root]))) for root in roots}
    return shared, sources


def _root(owner: dict[str, str], name: str) -> str:
    while owner[name] != name:
        name = owner[name]
    return name


def _alike(graph: BodyGraph, plans: list[NodePlan], joining: list[str]) -> bool:
    """Whether a concatenation's inputs may share a scale: clamped ones need zero point 0, others another."""
    clamped = {_clamped(graph, plans, name) for name in joining}
    return len(clamped) == 1


def _clamped(graph: BodyGraph, plans: list[NodePlan], name: str) -> bool:
    maker = _maker(graph, plans, name)
    return maker is not None and plans[maker].clamp is not None
