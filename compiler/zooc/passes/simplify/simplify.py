"""The network as few plain operators: constants and BatchNorm folded, nothing idle or double left.

graphsurgeon evaluates what is constant; the rest are rules of our own, repeated until none finds anything.
(ONNX Runtime's offline optimizer would do most of it too, but it splits HardSwish and Gemm into nodes
without names and declares its own domains in the file.)
"""

from __future__ import annotations

import onnx

from zooc.ir.graph import DEFAULT_DOMAIN, Graph, infer_shapes, quiet_graphsurgeon, read_graph, write_graph
from zooc.ir.rewriter import Refusals, Rule, apply_rule
from zooc.ir.session import quiet_engine
from zooc.passes.simplify.cancel_layouts import merge_transposes, sink_transpose
from zooc.passes.simplify.drop_ceil_mode import drop_ceil_mode
from zooc.passes.simplify.fix_reshapes import fix_reshapes
from zooc.passes.simplify.fold_batchnorm import fold_batchnorm
from zooc.passes.simplify.fold_batchnorm_forward import fold_batchnorm_forward
from zooc.passes.simplify.fold_batchnorm_residual import fold_batchnorm_residual
from zooc.passes.simplify.fold_pads import fold_pads
from zooc.passes.simplify.fold_shapes import fold_shapes
from zooc.passes.simplify.merge_branches import merge_branches
from zooc.passes.simplify.merge_reshapes import merge_reshapes
from zooc.passes.simplify.pads_of_all_axes import pads_of_all_axes
from zooc.passes.simplify.prepend_tokens import prepend_tokens
from zooc.passes.simplify.quantize_constants import quantize_constants
from zooc.passes.simplify.recognize_activations import (
    gelu_instead_of_erf,
    hard_gate_instead_of_clip,
    mish_instead_of_softplus,
)
from zooc.passes.simplify.recognize_global_pools import (
    global_pool_instead_of_maximum,
    global_pool_instead_of_window,
    mean_of_map_instead_of_rows,
    merge_means,
    reduce_before_transpose,
)
from zooc.passes.simplify.recognize_layernorm import (
    layernorm_instead_of_steps,
    layernorm_takes_scale_and_shift,
)
from zooc.passes.simplify.recognize_rectifiers import (
    leaky_relu_instead_of_prelu,
    merge_clamps,
    prelu_instead_of_maximum,
    prelu_instead_of_sides,
)
from zooc.passes.simplify.remove_redundant import merge_casts, merge_duplicates, remove_identities
from zooc.passes.simplify.remove_restrides import remove_restrides

__all__ = ["RULES", "simplify"]

_MAX_ROUNDS = 8
_FOLD_LIMIT = 16 << 20

RULES: tuple[Rule, ...] = (
    fix_reshapes,
    drop_ceil_mode,
    pads_of_all_axes,
    prepend_tokens,
    remove_restrides,
    merge_transposes,
    sink_transpose,
    merge_casts,
    remove_identities,
    merge_reshapes,
    merge_means,
    mean_of_map_instead_of_rows,
    reduce_before_transpose,
    global_pool_instead_of_maximum,
    global_pool_instead_of_window,
    merge_clamps,
    prelu_instead_of_sides,
    prelu_instead_of_maximum,
    leaky_relu_instead_of_prelu,
    hard_gate_instead_of_clip,
    gelu_instead_of_erf,
    mish_instead_of_softplus,
    layernorm_instead_of_steps,
    layernorm_takes_scale_and_shift,
    fold_pads,
    fold_batchnorm,
    fold_batchnorm_forward,
    fold_batchnorm_residual,
    merge_branches,
    quantize_constants,
    merge_duplicates,
)

_IN_SUBGRAPHS = (pads_of_all_axes,)


def simplify(model: onnx.ModelProto, refusals: Refusals | None = None) -> onnx.ModelProto:
    """Return a smaller graph that computes the same, in the default domain only; `model` is not changed.

    Names of inputs, outputs and the surviving nodes are kept, the opset and IR version too. The result's
    bytes depend on nothing but `model`; simplifying it again gives it back.

    Args:
        model: float, of the default domain.
        refusals: takes the patterns that were found and stay, each with its reason.
    """
    graph = read_graph(model)
    graph.import_domains = [entry for entry in graph.import_domains if entry.domain in DEFAULT_DOMAIN]
    with quiet_engine(), quiet_graphsurgeon():
        for _ in range(_MAX_ROUNDS):
            # Shapes that were unknown may follow now; a graph without change is already in final form.
            if not _run_rules(graph, refusals):
                break
            infer_shapes(graph)
    return write_graph(graph)


def _run_rules(graph: Graph, refusals: Refusals | None) -> bool:
    """Run every rule, and again until none finds anything; tell whether one ever did."""
    modified = False
    for _ in range(_MAX_ROUNDS):
        before = len(graph.nodes)
        apply_rule(graph, fold_shapes, refusals)
        # The limit keeps ConstantOfShape and the like from blowing small files up.
        graph.fold_constants(size_threshold=_FOLD_LIMIT, error_ok=True)
        graph.cleanup(remove_unused_node_outputs=False).toposort()
        found = len(graph.nodes) != before
        for rule in RULES:
            found |= apply_rule(graph, rule, refusals, in_subgraphs=rule in _IN_SUBGRAPHS)
            graph.cleanup(remove_unused_node_outputs=False)
        if not found:
            break
        modified = True
    graph.toposort()
    return modified
