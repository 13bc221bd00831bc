"""Decides which nodes compute in integers and which tensors are quantized, before any range is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from zooc.deployment import Quantize
from zooc.ir.graph import (
    FLOAT,
    UINT8,
    Constant,
    Graph,
    Node,
    Tensor,
    element_type,
    is_clamp_from_zero,
    is_output,
    maker,
    only_reader,
    read_graph,
    variables,
)
from zooc.quantization.float_patterns import kept_nodes
from zooc.quantization.operators import Role, role_of
from zooc.quantization.targets import Rules, rules_of

__all__ = ["BETWEEN_FLOATS", "MEASURED", "NodePlan", "Placement", "operands", "place", "tensors_to_observe"]

BETWEEN_FLOATS = "its neighbours compute in float"
MEASURED = "measured to be faster in float"


@dataclass(slots=True)
class NodePlan:
    """What becomes of one node.

    Attributes:
        role: see `operators.Role`.
        int8: whether it computes on quantized tensors.
        reason: why not.
        fused_into: the node whose output this activation (`Relu`, `Clip`) clamps: nothing between them is
            quantized, and the engine folds it away.
        clamp: the activation fused into this node.
        float_output: int8 inputs, but a float32 result (the logits).
    """

    role: Role
    int8: bool
    reason: str | None = None
    fused_into: Node | None = None
    clamp: Node | None = None
    float_output: bool = False


Plans = Mapping[str, NodePlan]
"""One plan a node, by its name, in the graph's order."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The plan of a body.

    Attributes:
        nodes: see `Plans`.
        quantized: tensors that get a QuantizeLinear/DequantizeLinear pair, in the graph's order, each with
            the tensor whose scale it uses (itself, unless a pass-through or concatenation shares one).
        sources: for each such scale the observed tensors whose ranges it must cover.
        pixels: outputs of a Cast from uint8, which become a DequantizeLinear of scale 1.
    """

    nodes: Plans
    quantized: Mapping[str, str]
    sources: Mapping[str, tuple[str, ...]]
    pixels: tuple[str, ...]

    def results(self, node: Node) -> list[Tensor]:
        """Return the tensors that a node hands on: its outputs, or its fused activation's."""
        return _results(self.nodes, node)

    def ends_in_levels(self, tensor: Tensor) -> bool:
        """Tell whether a tensor's maker ends in integers, so that its float readers get levels too."""
        node = _maker(self.nodes, tensor)
        return node is not None and self.nodes[node.name].int8 and not self.nodes[node.name].float_output


def tensors_to_observe(body: onnx.ModelProto, quantize: Quantize) -> list[str]:
    """Return the float32 tensors whose ranges `quantize_body` needs, each once, in the graph's order.

    Raises:
        ZoocError: Z0410, a `keep` pattern matches no node.
    """
    if quantize.dtype != "int8":
        return []
    graph = read_graph(body)
    placement = place(graph, quantize)
    needed = {name for sources in placement.sources.values() for name in sources}
    return [tensor.name for tensor in variables(graph) if tensor.name in needed]


def place(graph: Graph, quantize: Quantize) -> Placement:
    """Plan a body.

    Convolutions, Gemms and MatMuls with stored weights are integer wherever possible; sums, products, pools
    and concatenations are when they stand between integer neighbours, because alone they would gain nothing
    and lose accuracy.

    Raises:
        ZoocError: Z0410, a `keep` pattern matches no node.
    """
    names, rules = [node.name for node in graph.nodes], rules_of(quantize)
    kept = {
        **dict.fromkeys(quantize.placed, MEASURED),
        **{name: f'kept by "{pattern}"' for name, pattern in kept_nodes(names, quantize).items()},
    }
    plans = {node.name: _first_plan(node, kept, rules) for node in graph.nodes}
    _fuse_clamps(graph, plans, kept)
    _settle(graph, plans)
    if rules.float_results:
        _release_outputs(graph, plans)
    pixels = tuple(
        node.outputs[0].name
        for node in graph.nodes
        if _casts_pixels(node) and _has_integer_reader(plans, node.outputs[0])
    )
    quantized = _quantized_tensors(graph, plans, pixels)
    if rules.fused_sums:
        fused = _fused_into_sums(graph, plans)
        quantized = [name for name in quantized if name not in fused]
    shared, sources = _share(graph, plans, quantized, pixels, rules.shared)
    return Placement(plans, shared, sources, pixels)


def operands(node: Node) -> list[Tensor]:
    """Return the computed float operands: all but shapes, axes and the like."""
    if node.op in ("Add", "Mul", "Concat"):
        computed = {t.name: t for t in node.inputs if not (isinstance(t, Constant) or t.is_empty())}
        return list(computed.values())
    return [node.inputs[0]]


def _first_plan(node: Node, kept: Mapping[str, str], rules: Rules) -> NodePlan:
    if (reason := kept.get(node.name)) is not None:
        return NodePlan("float", False, reason)
    if rules.signed and any((before := maker(t)) and _casts_pixels(before) for t in node.inputs):
        return NodePlan("float", False, "reads the pixels, for which signed levels have half the precision")
    role, reason = role_of(node)
    return NodePlan(role, role != "float", reason)


def _fuse_clamps(graph: Graph, plans: dict[str, NodePlan], kept: Mapping[str, str]) -> None:
    for node in graph.nodes:
        if not is_clamp_from_zero(node) or node.name in kept:
            continue
        before = maker(node.inputs[0])
        if before is None or only_reader(graph, node.inputs[0]) is None:
            continue
        plan = plans[before.name]
        if plan.int8 and plan.role != "pass":
            plans[node.name] = NodePlan("float", False, fused_into=before)
            plan.clamp = node


def _results(plans: Plans, node: Node) -> list[Tensor]:
    clamp = plans[node.name].clamp
    return [tensor for tensor in (node if clamp is None else clamp).outputs if not tensor.is_empty()]


def _maker(plans: Plans, tensor: Tensor) -> Node | None:
    """The node that produces a tensor; for a fused activation the node it is fused into."""
    node = maker(tensor)
    return node if node is None else plans[node.name].fused_into or node


def _has_integer_reader(plans: Plans, tensor: Tensor) -> bool:
    return any(_reads_in_integers(plans, reader, tensor) for reader in tensor.outputs)


def _reads_in_integers(plans: Plans, node: Node, tensor: Tensor) -> bool:
    plan = plans.get(node.name)  # nested graphs have none: they compute in float
    return plan is not None and plan.int8 and any(operand is tensor for operand in operands(node))


def _has_integer_maker(plans: Plans, tensor: Tensor) -> bool:
    node = _maker(plans, tensor)
    return node is not None and (plans[node.name].int8 or _casts_pixels(node))


def _settle(graph: Graph, plans: dict[str, NodePlan]) -> None:
    """Return nodes without weights to float until each that remains has integer neighbours on both sides."""
    changed = True
    while changed:
        changed = False
        for node in graph.nodes:
            plan = plans[node.name]
            if not plan.int8 or plan.role == "compute":
                continue
            before = [_has_integer_maker(plans, tensor) for tensor in operands(node)]
            after = any(_has_integer_reader(plans, tensor) for tensor in _results(plans, node))
            strict = plan.role in ("pass", "concat")
            if after and (all(before) if strict else any(before)):
                continue
            if plan.role != "pass" and all(before) and not strict and _leads_out(node):
                continue
            plan.int8, plan.reason = False, BETWEEN_FLOATS
            if plan.clamp is not None:
                plans[plan.clamp.name] = NodePlan("float", False, BETWEEN_FLOATS)
                plan.clamp = None
            changed = True


def _leads_out(node: Node) -> bool:
    """Whether the result is so much smaller than the operand that reading it in integers pays."""
    return bool(node.op == "GlobalAveragePool")


def _release_outputs(graph: Graph, plans: Plans) -> None:
    """Gemm and MatMul may end in float32: then the logits, or what a float node reads, lose nothing more."""
    for node in graph.nodes:
        if plans[node.name].int8 and node.op in ("Gemm", "MatMul"):
            (result,) = _results(plans, node)
            integer = result.outputs and all(_reads_in_integers(plans, r, result) for r in result.outputs)
            plans[node.name].float_output = not integer or is_output(graph, result)


def _casts_pixels(node: Node) -> bool:
    return bool(node.op == "Cast" and node.attrs.get("to") == FLOAT and element_type(node.inputs[0]) == UINT8)


def _quantized_tensors(graph: Graph, plans: Plans, pixels: tuple[str, ...]) -> list[str]:
    wanted: set[str] = set()
    for node in graph.nodes:
        plan = plans[node.name]
        if plan.int8:
            wanted.update(tensor.name for tensor in operands(node))
            if not plan.float_output:
                wanted.update(tensor.name for tensor in _results(plans, node))
    wanted.difference_update(pixels)
    return [tensor.name for tensor in variables(graph) if tensor.name in wanted]


def _fused_into_sums(graph: Graph, plans: Plans) -> set[str]:
    """Of each sum one operand at most, that a convolution or product makes for it alone."""
    found = set()
    for node in graph.nodes:
        if node.op != "Add" or not plans[node.name].int8 or len(operands(node)) < 2:
            continue
        for tensor in operands(node):
            before = _maker(plans, tensor)
            plan = None if before is None else plans[before.name]
            if plan and plan.int8 and plan.role == "compute" and only_reader(graph, tensor) is node:
                found.add(tensor.name)
                break
    return found


def _share(
    graph: Graph, plans: Plans, quantized: list[str], pixels: tuple[str, ...], unified: frozenset[str]
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    owner = {name: name for name in [*quantized, *pixels]}
    joined: dict[str, list[str]] = {}
    for node in graph.nodes:
        plan = plans[node.name]
        if plan.int8 and plan.role == "pass":
            for tensor in _results(plans, node):
                owner[tensor.name] = node.inputs[0].name
        elif plan.int8 and plan.role == "concat":
            (result,) = _results(plans, node)
            joining = operands(node)
            roots_of = [_root(owner, tensor.name) for tensor in joining]
            joined[result.name] = [s for root in roots_of for s in joined.get(root, [root])]
            if _alike(plans, joining):
                for tensor in joining:
                    if owner[tensor.name] == tensor.name and all(reader is node for reader in tensor.outputs):
                        owner[tensor.name] = result.name
        elif plan.int8 and node.op in unified:
            _unify([_root(owner, tensor.name) for tensor in operands(node)], owner, joined, pixels)
    shared = {name: _root(owner, name) for name in quantized}
    roots = dict.fromkeys(root for root in shared.values() if root not in pixels)
    sources = {root: tuple(dict.fromkeys(joined.get(root, [root]))) for root in roots}
    return shared, sources


def _unify(
    roots: list[str], owner: dict[str, str], joined: dict[str, list[str]], pixels: tuple[str, ...]
) -> None:
    """Let the tensors of these roots have one scale, but for pixels, whose scale is fixed."""
    first, *others = dict.fromkeys(root for root in roots if root not in pixels)
    for other in others:
        joined[first] = [*joined.get(first, [first]), *joined.get(other, [other])]
        owner[other] = first


def _root(owner: Mapping[str, str], name: str) -> str:
    while owner[name] != name:
        name = owner[name]
    return name


def _alike(plans: Plans, joining: list[Tensor]) -> bool:
    """Whether a concatenation's inputs may share a scale: clamped ones need zero point 0, others another."""
    return len({_clamped(plans, tensor) for tensor in joining}) == 1


def _clamped(plans: Plans, tensor: Tensor) -> bool:
    node = _maker(plans, tensor)
    return node is not None and plans[node.name].clamp is not None
