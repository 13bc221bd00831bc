"""Rewrites a float32 body, by exact algebra, into operators that engines have in integers or do faster."""

from __future__ import annotations

import onnx

from zooc.ir.graph import infer_shapes, read_graph, write_graph
from zooc.ir.rewriter import Refusals, Rule, apply_rule
from zooc.passes.legalize.affine import convolve_instead_of_affine_map, scale_weights_instead_of_tensor
from zooc.passes.legalize.gates import clip_instead_of_hard_sigmoid, clip_instead_of_hard_swish
from zooc.passes.legalize.groups import widen_groups
from zooc.passes.legalize.matmul import gemm_instead_of_matmul_and_add
from zooc.passes.legalize.pools import (
    convolve_instead_of_average,
    pool_instead_of_mean,
    window_instead_of_global_maximum,
)
from zooc.passes.legalize.rectifiers import add_instead_of_prelu
from zooc.passes.legalize.slices import convolve_slices
from zooc.passes.legalize.split_attention import attend_by_sigmoid, pool_before_sum, sum_slices_by_addition

__all__ = ["RULES", "legalize"]

RULES: tuple[Rule, ...] = (
    pool_instead_of_mean,
    window_instead_of_global_maximum,
    pool_before_sum,
    attend_by_sigmoid,
    sum_slices_by_addition,
    convolve_instead_of_average,
    gemm_instead_of_matmul_and_add,
    convolve_instead_of_affine_map,
    clip_instead_of_hard_swish,
    clip_instead_of_hard_sigmoid,
    add_instead_of_prelu,
    scale_weights_instead_of_tensor,
    convolve_slices,
    widen_groups,
)
"""In order; each is applied until it finds nothing more."""


def legalize(body: onnx.ModelProto, refusals: Refusals | None = None) -> onnx.ModelProto:
    """Return the body rewritten for integer engines.

    Calibrate and quantize the result: `quantize_body` takes any body, but from this one it makes a faster
    and more exact network. Node names stay, so that `keep` patterns mean the same.

    Args:
        body: float32, simplified; not changed.
        refusals: takes the patterns that were found and stay, each with its reason.
    """
    graph = read_graph(body)
    for rule in RULES:
        while apply_rule(graph, rule, refusals):
            infer_shapes(graph)
    return write_graph(graph)
