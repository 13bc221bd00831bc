"""Matrix products with their bias in one operator."""

from __future__ import annotations

from zooc.ir.graph import BodyGraph
from zooc.ir.rewriter import Replacement

__all__ = ["gemm_instead_of_matmul_and_add"]


def gemm_instead_of_matmul_and_add(graph: BodyGraph, index: int) -> Replacement | None:
    """`MatMul(x, W) + b` with a stored matrix and vector is `Gemm(x, W, b)` for two-dimensional x.

    ONNX Runtime fuses them so by itself, but before it looks for integers: the bias would be float, and with
    it the product.
    """
    add = graph.nodes[index]
    if add.op_type != "Add":
        return None
    for position in (0, 1):
        product, bias = add.input[position], graph.constant(add.input[1 - position])
        maker = graph.producer.get(product)
        if maker is None or graph.nodes[maker].op_type != "MatMul" or bias is None:
            continue
        matmul = graph.nodes[maker]
        weight = graph.constant(matmul.input[1])
        alone = len(graph.consumers[product]) == 1 and product not in graph.outputs
        if weight is None or weight.ndim != 2 or graph.rank(matmul.input[0]) != 2 or not alone:
            continue
        if bias.shape in ((weight.shape[1],), (1, weight.shape[1])):
            new = Replacement(graph, maker)
            vector = new.constant("bias", bias.reshape(-1))
            new.node("Gemm", [matmul.input[0], matmul.input[1], vector], [add.output[0]])
            return new
    return None
