"""The network as few plain operators: constants and BatchNorm folded, nothing idle or double left.

graphsurgeon evaluates what is constant; the rest are passes of our own, repeated until none finds anything.
(ONNX Runtime's offline optimizer would do most of it too, but it splits HardSwish and Gemm into nodes
without names and declares its own domains in the file.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import LazyValues
from onnx_graphsurgeon.logger import G_LOGGER

from zooc.ir.large_weights import large_weights, without_large_weights
from zooc.ir.session import quiet_engine
from zooc.ir.shapes import inferred_graph
from zooc.passes.simplify.drop_ceil_mode import drop_ceil_mode
from zooc.passes.simplify.fix_reshapes import fix_reshapes
from zooc.passes.simplify.fold_batchnorm import fold_batchnorm
from zooc.passes.simplify.fold_batchnorm_forward import fold_batchnorm_forward
from zooc.passes.simplify.fold_batchnorm_residual import fold_batchnorm_residual
from zooc.passes.simplify.fold_shapes import fold_shapes
from zooc.passes.simplify.merge_branches import merge_branches
from zooc.passes.simplify.pads_of_all_axes import pads_of_all_axes
from zooc.passes.simplify.prepend_tokens import prepend_tokens
from zooc.passes.simplify.remove_redundant import merge_duplicates, remove_identities
from zooc.passes.simplify.remove_restrides import remove_restrides

__all__ = ["simplify"]

_MAX_ROUNDS = 8
_FOLD_LIMIT = 16 << 20

_PASSES: tuple[Callable[[gs.Graph], bool], ...] = (
    fix_reshapes,
    drop_ceil_mode,
    pads_of_all_axes,
    prepend_tokens,
    remove_restrides,
    remove_identities,
    fold_batchnorm,
    fold_batchnorm_forward,
    fold_batchnorm_residual,
    merge_branches,
    merge_duplicates,
)


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """A smaller graph that computes the same, in the default domain only; `model` is not changed.

    Names of inputs, outputs and the surviving nodes are kept, the opset and IR version too. The result's
    bytes depend on nothing but `model`; simplifying it again gives it back.
    """
    severity, G_LOGGER.severity = G_LOGGER.severity, G_LOGGER.CRITICAL
    try:
        with quiet_engine():
            for _ in range(_MAX_ROUNDS):
                graph = _import(model)
                modified = _run_passes(graph)
                model = _export(graph, model)
                # Shapes that were unknown may follow now; a graph without change is already in final form.
                if not modified:
                    break
    finally:
        G_LOGGER.severity = severity
    return model


def _run_passes(graph: gs.Graph) -> bool:
    """Runs every pass, and again until none finds anything; tells whether one ever did."""
    modified = False
    for _ in range(_MAX_ROUNDS):
        before = len(graph.nodes)
        fold_shapes(graph)
        # The limit keeps ConstantOfShape and the like from blowing small files up.
        graph.fold_constants(size_threshold=_FOLD_LIMIT, error_ok=True)
        graph.cleanup(remove_unused_node_outputs=False).toposort()
        found = len(graph.nodes) != before
        for run in _PASSES:
            found |= run(graph)
            graph.cleanup(remove_unused_node_outputs=False)
        if not found:
            break
        modified = True
    graph.toposort()
    return modified


def _import(model: onnx.ModelProto) -> gs.Graph:
    """The model with inferred shapes in place of whatever its value_info claims, constants as tensors.

    (graphsurgeon takes a Constant node's plain `value_float` for a double.) Large weights stay where they
    are: the graph reads the model's own when it is asked for their values.
    """
    light = without_large_weights(model)
    del light.graph.value_info[:]
    for node in light.graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            _use_tensor_form(node)
    graph = gs.import_onnx(_with_shapes(light))
    tensors = graph.tensors()
    for weight in large_weights(model):
        if weight.name in tensors:
            tensors[weight.name].values, tensors[weight.name].data_location = LazyValues(weight), None
    return graph


def _use_tensor_form(node: onnx.NodeProto) -> None:
    (attribute,) = node.attribute
    dtype = {"value_float": np.float32, "value_floats": np.float32}.get(attribute.name, np.int64)
    if attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
        values = np.array(onnx.helper.get_attribute_value(attribute), dtype=dtype)
        node.attribute[0].CopyFrom(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(values)))


def _export(graph: gs.Graph, model: onnx.ModelProto) -> onnx.ModelProto:
    result = gs.export_onnx(graph, do_type_check=False)
    result.ir_version = model.ir_version
    result.producer_name = model.producer_name
    result.producer_version = model.producer_version
    del result.opset_import[:]
    version = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    result.opset_import.append(onnx.helper.make_opsetid("", version))
    result.graph.doc_string = ""
    del result.graph.value_info[:]
    return _with_shapes(result)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    inferred = inferred_graph(model)
    del model.graph.value_info[:], model.graph.output[:]
    model.graph.value_info.extend(inferred.value_info)
    model.graph.output.extend(inferred.output)
    return model
