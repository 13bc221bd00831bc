"""Convolutions and products of integers: QLinearConv, QLinearMatMul and ONNX Runtime's QGemm."""

from __future__ import annotations

import numpy as np

from zooc.ir.graph import Graph, Node, Tensor, shape_of, values_of
from zooc.ir.rewriter import Outcome, Refused
from zooc.networks.onnx_file.quantized.steps import FloatForm, given

__all__ = ["float_conv", "float_gemm", "float_matmul"]


def float_conv(graph: Graph, node: Node) -> Outcome:
    """`QLinearConv(x, w, b)` is a Conv; a level of the bias stands for the product of both scales."""
    if node.op != "QLinearConv":
        return False
    if node.attrs.get("channels_last", 0):
        return Refused("its channels are last")
    scales = [values_of(node.inputs[position]) for position in (1, 4)]
    if scales[0] is None or scales[1] is None:
        return Refused("a scale is computed")
    form = FloatForm(graph, node)
    inputs = [form.floats(0), form.floats(3)]
    if (bias := given(node, 8)) is not None:
        inputs.append(_bias(form, bias, scales[0], scales[1]))
    attributes = {name: value for name, value in node.attrs.items() if name != "channels_last"}
    return form.replace(form.op("Conv", inputs, **attributes), (given(node, 6), given(node, 7)))


def float_matmul(graph: Graph, node: Node) -> Outcome:
    """`QLinearMatMul(a, b)` is a MatMul; b may have a scale for each column."""
    if node.op != "QLinearMatMul":
        return False
    rank = len(shape_of(node.inputs[3]) or ())
    first, second = (values_of(node.inputs[position]) for position in (1, 4))
    if first is None or second is None or first.size > 1:
        return Refused("a scale is computed, or each row of the first matrix has one")
    if second.size > 1 and (second.ndim != 1 or rank != 2):
        return Refused("the second operand's scales are not one for each column of a matrix")
    form = FloatForm(graph, node)
    product = form.op("MatMul", [form.floats(0), form.floats(3, axis=rank - 1)])
    return form.replace(product, (given(node, 6), given(node, 7)))


def float_gemm(graph: Graph, node: Node) -> Outcome:
    """ONNX Runtime's `QGemm(a, b, c)` is `alpha * (a * b + c)`; without a result's scale it ends in floats.

    A level of c stands for the product of both scales, and is added before alpha counts (contrib operators
    of ONNX Runtime, QGemm).
    """
    if node.op != "QGemm":
        return False
    scales = [values_of(node.inputs[position]) for position in (1, 4)]
    if scales[0] is None or scales[1] is None or scales[0].size > 1:
        return Refused("a scale is computed, or each row of the first matrix has one")
    form = FloatForm(graph, node)
    transposed = node.attrs.get("transB", 0)
    inputs = [form.floats(0), form.floats(3, axis=0 if transposed else 1)]
    if (bias := given(node, 6)) is not None:
        inputs.append(_bias(form, bias, scales[0], scales[1]))
    alpha = float(node.attrs.get("alpha", 1.0))
    attributes = {"alpha": alpha, "beta": alpha, "transA": node.attrs.get("transA", 0), "transB": transposed}
    if (scale := given(node, 7)) is None:
        return form.replace_by_floats("Gemm", inputs, **attributes)
    return form.replace(form.op("Gemm", inputs, **attributes), (scale, given(node, 8)))


def _bias(form: FloatForm, bias: Tensor, of_input: np.ndarray, of_weight: np.ndarray) -> Tensor:
    """The floats of an int32 bias."""
    product = of_input.reshape(()).astype(np.float32) * of_weight.astype(np.float32)
    scale = product.reshape(-1) if product.size > 1 else product.reshape(())
    stored = form.constant("bias_scale", scale)
    return form.dequantized(bias, (stored, form.constant("bias_zero_point", np.zeros(scale.shape, np.int32))))
