"""Join prelude, body and postlude into the one graph that a package ships."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from zooc.ir.builder import IR_VERSION, OPSET, Builder
from zooc.ir.interface import opset_of
from zooc.ir.rename import STAGE_PREFIXES, rename_tensors

__all__ = ["assemble", "build_postlude"]


def build_postlude(classes: int) -> onnx.ModelProto:
    """Return softmax over the classes: `logits` float32 `[batch, classes]` to `probabilities`."""
    g = Builder("postlude/")
    g.op("Softmax", "logits", out="probabilities", axis=-1)
    shape = ("batch", classes)
    return g.model([("logits", np.float32, shape)], [("probabilities", np.float32, shape)])


def assemble(
    prelude: onnx.ModelProto | None, body: onnx.ModelProto, postlude: onnx.ModelProto | None
) -> onnx.ModelProto:
    """Return one model of the stages that there are; boundary tensors are recorded in its `value_info`.

    Node and initializer names keep telling the stage (`docs/design/architecture.md`); a body whose own names
    begin like another stage's gets them prefixed. A body of a fixed batch sees the one image in every row.
    """
    body = _own_names(body)
    if prelude is not None:
        _repeat_image(body)
    stages = [stage for stage in (prelude, body, postlude) if stage is not None]
    graph = helper.make_graph(
        [node for stage in stages for node in stage.graph.node],
        "zooc",
        list(stages[0].graph.input),
        list(stages[-1].graph.output),
        [initializer for stage in stages for initializer in stage.graph.initializer],
        value_info=_boundaries(body, prelude is not None, postlude is not None),
    )
    opset = helper.make_opsetid("", max(OPSET, opset_of(body)))
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="zooc")
    onnx.checker.check_model(model)
    return model


def _boundaries(body: onnx.ModelProto, has_prelude: bool, has_postlude: bool) -> list[onnx.ValueInfoProto]:
    inner = [*body.graph.input] if has_prelude else []
    return inner + ([*body.graph.output] if has_postlude else [])


def _repeat_image(body: onnx.ModelProto) -> None:
    """Expand the pixels to the body's fixed batch, in place; a batch that is full already stays as it is."""
    (source,) = body.graph.input
    batch = source.type.tensor_type.shape.dim[0]
    if batch.dim_value <= 1:
        return
    repeated = f"body/{source.name}"
    for node in body.graph.node:
        for index, name in enumerate(node.input):
            if name == source.name:
                node.input[index] = repeated
    rows = helper.make_tensor(f"{repeated}/rows", TensorProto.INT64, [4], [batch.dim_value, 1, 1, 1])
    body.graph.initializer.append(rows)
    body.graph.node.insert(
        0, helper.make_node("Expand", [source.name, rows.name], [repeated], name=f"{repeated}/repeat")
    )
    batch.dim_param = "rows"


def _own_names(body: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(body)
    stored = [tensor.name for tensor in copy.graph.initializer if tensor.name.startswith(STAGE_PREFIXES)]
    rename_tensors(copy.graph, {name: f"body/{name}" for name in stored})
    for node in copy.graph.node:
        if node.name.startswith(STAGE_PREFIXES):
            node.name = f"body/{node.name}"
    return copy
