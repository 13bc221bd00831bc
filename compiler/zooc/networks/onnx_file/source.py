"""The source `onnx("file.onnx")`: any classifier that is one ONNX file already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from zooc.deployment import Model
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error, warning
from zooc.ir.count import count_parameters
from zooc.ir.rename import free_reserved_names, name_nodes, rename_tensors, strip_metadata
from zooc.networks.network import INPUT, OUTPUT, Network
from zooc.networks.onnx_file.adapt import adapt
from zooc.networks.onnx_file.batch import fix_batch, free_batch, same_results
from zooc.networks.onnx_file.interface import find_interface
from zooc.networks.onnx_file.operators import drop_initializer_inputs, use_default_operators
from zooc.networks.onnx_file.reader import hash_onnx, read_onnx
from zooc.networks.onnx_file.run_once import Array, ExecutionError, Reference, close, run
from zooc.networks.source import Progress

__all__ = ["OnnxFileSource"]

_CONVERSION = 2
"""Raised whenever the same file would give another network, so that the cache forgets."""


class OnnxFileSource:
    """Reads the file, checks that it is one image classifier, and brings it to the compiler's form."""

    def identify(self, model: Model) -> Any:
        """Return the file's hash, its external data's, what the description says of it, and tool versions."""
        path = Path(model.source.name)
        shape = model.input
        asked = [model.classes, model.layout, model.output]
        dims = [shape.batch, shape.channels, shape.height, shape.width] if shape else None
        return [_CONVERSION, onnx.__version__, hash_onnx(path, model.source.span), dims, *asked]

    def load(self, model: Model, on_progress: Progress) -> Network:
        """See `zooc.networks.load_network`."""
        path = Path(model.source.name)
        on_progress(f"reading {path.name}")
        original = read_onnx(path, model.source.span)
        drop_initializer_inputs(original)
        interface = find_interface(original, path.name, model)
        reference, size = Reference(original, interface), interface.size
        on_progress(f"checking {path.name}")
        converted = onnx.ModelProto()
        converted.CopyFrom(original)
        converted = adapt(use_default_operators(converted, path.name, model.source.span), interface)
        _normalize(converted)
        scores = _check(reference, converted, model, path.name)
        _flatten_scores(converted, scores)
        classes = _check_classes(scores, model, path.name)
        converted, batch, warnings = _settle_batch(reference, converted, model, path.name)
        if batch is not None:
            fix_batch(converted, batch)
        return Network(
            model=onnx.shape_inference.infer_shapes(converted, data_prop=True),
            origin=f'onnx("{path.name}")',
            weights="in the file",
            weights_sha256=hash_onnx(path, model.source.span),
            classes=classes,
            parameters=count_parameters(converted),
            height=size.height,
            width=size.width,
            channels=size.channels,
            batch=batch,
            ends_in_softmax=_ends_in_softmax(converted),
            warnings=warnings,
        )


def _normalize(model: onnx.ModelProto) -> None:
    """The compiler's names for input and output, unique names for nodes, no metadata."""
    strip_metadata(model)
    # Uses the positions, for freeing reserved names may rename the ends too.
    free_reserved_names(model.graph)
    ends = {model.graph.input[0].name: INPUT, model.graph.output[0].name: OUTPUT}
    rename_tensors(model.graph, ends)
    name_nodes(model.graph)


def _check(reference: Reference, converted: onnx.ModelProto, model: Model, file: str) -> Array:
    """The file's own scores on an example; the converted form must give the same."""
    images = reference.example(reference.size.batch or 1)
    try:
        expected = reference.scores(images)
    except ExecutionError as problem:
        raise ZoocError(
            error(
                "Z0219",
                f"{file} does not run in ONNX Runtime on an image of "
                f"{reference.size.height} x {reference.size.width}",
                model.source.span,
                notes=(str(problem),),
                hint="check the input size, or export the model again",
            )
        ) from problem
    try:
        difference = close(expected, run(converted, images), reference.tolerance)
    except ExecutionError as problem:
        reason = str(problem)
    else:
        if difference is None:
            return expected
        reason = f"the largest difference is {difference:.3g}"
    raise ZoocError(
        error(
            "Z0218",
            f"{file} gives other results after conversion to plain operators of opset 20",
            model.source.span,
            notes=(reason,),
            hint="export the model again with opset_version=20, in evaluation mode",
        )
    )


def _flatten_scores(model: onnx.ModelProto, scores: Array) -> None:
    """Networks that end in a pooling give `[batch, classes, 1, 1]`: adds the Flatten that they leave out."""
    graph = model.graph
    if scores.ndim > 2 and scores.shape[2:] == (1,) * (scores.ndim - 2):
        rename_tensors(graph, {OUTPUT: "body/scores"})
        graph.node.append(helper.make_node("Flatten", ["body/scores"], [OUTPUT], name="body/Flatten"))
    classes = scores.shape[1] if scores.ndim > 1 else None
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", classes]))


def _check_classes(scores: Array, model: Model, file: str) -> int:
    if scores.ndim < 2 or scores.size != scores.shape[0] * scores.shape[1]:
        raise ZoocError(
            error(
                "Z0214",
                f"the output of {file} has shape {list(scores.shape)}, not [batch, classes]",
                model.source.span,
                hint="export the model up to its class scores",
            )
        )
    classes = int(scores.shape[1])
    if model.classes is not None and model.classes != classes:
        raise ZoocError(
            error(
                "Z0221",
                f"`classes` is {model.classes}, but {file} has {classes}",
                model.classes_span or model.source.span,
                hint=f"write classes {classes}",
            )
        )
    return classes


def _settle_batch(
    reference: Reference, converted: onnx.ModelProto, model: Model, file: str
) -> tuple[onnx.ModelProto, int | None, tuple[Diagnostic, ...]]:
    """Frees the batch where that works; else keeps the file's, with a warning."""
    asked = model.input.batch if model.input else None
    fixed = reference.size.batch or 1
    candidates = [converted] if reference.size.batch is None else []
    candidates.append(free_batch(converted, fixed))
    for candidate in candidates:
        if same_results(reference, candidate, fixed):
            return candidate, asked, ()
    if asked is not None:
        if asked == fixed:
            return converted, fixed, ()
        raise ZoocError(
            error(
                "Z0220",
                f"`input` gives batch size {asked}, but {file} works for batch size {fixed} only",
                (model.input.span if model.input else None) or model.source.span,
                hint=f"write {fixed} here, or export the model with a dynamic batch size",
            )
        )
    told = warning(
        "Z0220",
        f"{file} works for batch size {fixed} only; the compiled model takes {fixed} image(s) at a time",
        model.source.span,
        hint="export the model with a dynamic batch size",
    )
    return converted, fixed, (told,)


def _ends_in_softmax(model: onnx.ModelProto) -> bool:
    producers = {output: node for node in model.graph.node for output in node.output}
    node = producers.get(OUTPUT)
    while node is not None and node.op_type in ("Identity", "Flatten", "Reshape", "Squeeze"):
        node = producers.get(node.input[0])
    return node is not None and node.op_type == "Softmax"
