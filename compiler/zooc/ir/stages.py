"""Join prelude, body and postlude into the one graph that a package ships."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from zooc.ir.builder import IR_VERSION, OPSET, Builder
from zooc.ir.interface import opset_of
from zooc.ir.names import STAGE_PREFIXES
from zooc.ir.rename import rename_tensors
from zooc_runtime.package.heads import Head

__all__ = ["assemble", "build_postlude", "split_prelude"]


_SHORTEST = 1e-12
"""Embeddings are divided by no less: as in `torch.nn.functional.normalize`."""


def build_postlude(heads: Sequence[Head]) -> onnx.ModelProto | None:
    """Return each head's activation: `logits` float32 `[batch, scores]` to `probabilities` or `embeddings`.

    `None` where no head has one.
    """
    if all(head.activation == "none" for head in heads):
        return None
    g = Builder("postlude/")
    result = "embeddings" if heads[0].embeds and len(heads) == 1 else "probabilities"
    if len(heads) == 1:
        _activate(g, heads[0], "logits", result)
    else:
        sizes = g.i64([head.classes for head in heads])
        parts = g.ops("Split", "logits", sizes, outputs=len(heads), axis=-1)
        ends = [_activate(g, head, part) for head, part in zip(heads, parts, strict=True)]
        g.op("Concat", *ends, out=result, axis=-1)
    shape = ("batch", sum(head.classes for head in heads))
    return g.model([("logits", np.float32, shape)], [(result, np.float32, shape)])


def _activate(g: Builder, head: Head, logits: str, out: str | None = None) -> str:
    """The name of the head's scores behind its activation."""
    match head.activation:
        case "softmax":
            return g.op("Softmax", logits, out=out, axis=-1)
        case "sigmoid":
            return g.op("Sigmoid", logits, out=out)
        case "l2_normalize":
            length = g.op("ReduceL2", logits, g.i64([-1]), keepdims=1)
            return g.op("Div", logits, g.op("Max", length, g.f32(_SHORTEST)), out=out)
        case "none":
            return logits


def assemble(
    prelude: onnx.ModelProto | None,
    body: onnx.ModelProto,
    postlude: onnx.ModelProto | None,
    heads: Sequence[Head],
) -> onnx.ModelProto:
    """Return one model of the stages that there are; boundary tensors are recorded in its `value_info`.

    Its first output is that of the last stage. Named heads are further outputs: each one's part of the first.

    Node and initializer names keep telling the stage (`docs/design/architecture.md`); a body whose own names
    begin like another stage's gets them prefixed. A body of a fixed batch sees the one image in every row.
    """
    body = _own_names(body, {head.name for head in heads})
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
    if heads[0].name:
        _add_heads(graph, heads)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="zooc")
    onnx.checker.check_model(model)
    return model


def split_prelude(model: onnx.ModelProto, border: str) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return an assembled model's prelude, and body and postlude as one model with all outputs.

    Args:
        model: what `assemble` made, with a prelude.
        border: the tensor between them, described in the model's `value_info`.
    """
    (pixels,) = (value for value in model.graph.value_info if value.name == border)
    prelude, rest = onnx.ModelProto(), onnx.ModelProto()
    for part, inside in ((prelude, True), (rest, False)):
        part.CopyFrom(model)
        for members in (part.graph.node, part.graph.initializer):
            kept = [one for one in members if one.name.startswith("prelude/") is inside]
            del members[:]
            members.extend(kept)
    del prelude.graph.output[:], prelude.graph.value_info[:], rest.graph.input[:]
    prelude.graph.output.append(pixels)
    rest.graph.input.append(pixels)
    rest.graph.value_info.remove(pixels)
    return prelude, rest


def _add_heads(graph: onnx.GraphProto, heads: Sequence[Head]) -> None:
    (result,) = graph.output
    batch = result.type.tensor_type.shape.dim[0]
    sizes = helper.make_tensor("postlude/heads", TensorProto.INT64, [len(heads)], [h.classes for h in heads])
    graph.initializer.append(sizes)
    names = [head.name for head in heads]
    split = helper.make_node("Split", [result.name, sizes.name], names, name="postlude/heads", axis=-1)
    graph.node.append(split)
    for head in heads:
        shape = [batch.dim_value or batch.dim_param, head.classes]
        graph.output.append(helper.make_tensor_value_info(head.name, TensorProto.FLOAT, shape))


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


def _own_names(body: onnx.ModelProto, taken: set[str]) -> onnx.ModelProto:
    """A copy with other names for what begins like another stage's, or is called like a head."""
    copy = onnx.ModelProto()
    copy.CopyFrom(body)
    stored = [tensor.name for tensor in copy.graph.initializer]
    made = [name for node in copy.graph.node for name in node.output]
    foreign = [name for name in stored if name.startswith(STAGE_PREFIXES)]
    foreign += [name for name in (*stored, *made) if name in taken]
    rename_tensors(copy.graph, {name: f"body/{name}" for name in foreign})
    for node in copy.graph.node:
        if node.name.startswith(STAGE_PREFIXES):
            node.name = f"body/{node.name}"
    return copy
