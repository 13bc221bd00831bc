"""Matrix products with their bias in one operator."""

from __future__ import annotations

from zooc.ir.graph import Graph, Node, maker, only_reader, values_of
from zooc.ir.rewriter import Outcome, Refused, Replacement

__all__ = ["gemm_instead_of_matmul_and_add"]


def gemm_instead_of_matmul_and_add(graph: Graph, add: Node) -> Outcome:
    """`MatMul(x, W) + b` with a stored matrix and vector is `Gemm(x, W, b)` for two-dimensional x.

    ONNX Runtime fuses them so by itself, but before it looks for integers: the bias would be float, and with
    it the product.
    """
    if add.op != "Add":
        return False
    for product, stored in (add.inputs, add.inputs[::-1]):
        matmul, bias = maker(product, "MatMul"), values_of(stored)
        weight = None if matmul is None else values_of(matmul.inputs[1])
        if matmul is None or bias is None or weight is None or weight.ndim != 2:
            continue
        if len(matmul.inputs[0].shape or ()) != 2:
            return Refused("the product is not of two dimensions")
        if only_reader(graph, product) is None:
            return Refused("the product is also read elsewhere")
        if bias.shape not in ((weight.shape[1],), (1, weight.shape[1])):
            return Refused("the constant is no bias a column")
        new = Replacement(graph, add, matmul.name)
        vector = new.constant("bias", bias.reshape(-1))
        new.node("Gemm", [*matmul.inputs, vector], [add.outputs[0]])
        return True
    return False
