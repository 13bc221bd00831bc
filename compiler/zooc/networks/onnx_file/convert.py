"""Brings a model of others' making to the compiler's form, and proves by running that it gives the same."""

from __future__ import annotations

import onnx

from zooc.deployment import Model
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error, warning
from zooc.ir.count import count_parameters
from zooc.ir.interface import set_batch
from zooc.ir.levels import is_quantized
from zooc.ir.rename import normalize
from zooc.ir.weights import record_shapes
from zooc.networks.network import INPUT, OUTPUT, Network
from zooc.networks.onnx_file.adapt import adapt
from zooc.networks.onnx_file.batch import free_batch, same_results
from zooc.networks.onnx_file.interface import Interface
from zooc.networks.onnx_file.operators import use_default_operators
from zooc.networks.onnx_file.run_once import LEVELS_TOLERANCE, Array, ExecutionError, Reference, close, run
from zooc.networks.onnx_file.scores import count_heads, flatten_scores, take_off_activations

__all__ = ["convert"]


def convert(
    original: onnx.ModelProto, interface: Interface, description: Model, file: str, sha256: str
) -> Network:
    """Return the network that `original` is.

    Args:
        original: the model as it was read or exported; left as it is.
        interface: which of its inputs and outputs count.
        description: the checked `model` block.
        file: the file's name, for messages.
        sha256: the file's.

    Raises:
        ZoocError: it does not run (`Z0219`), is no classifier or not the one described, or has what the
            compiler's form cannot say.
    """
    reference, size = Reference(original, interface), interface.size
    converted = onnx.ModelProto()
    converted.CopyFrom(original)
    converted = adapt(use_default_operators(converted, file, description.source.span), interface)
    normalize(converted, INPUT, OUTPUT)
    if is_quantized(converted):
        reference.tolerance = LEVELS_TOLERANCE
    scores = _check(reference, converted, description, file)
    classes = count_heads(scores, interface, description, file)
    converted = flatten_scores(converted, scores, sum(classes))
    converted, batch, warnings = _settle_batch(reference, converted, description, file)
    if batch is not None:
        set_batch(converted, batch)
    converted, heads = take_off_activations(converted, classes)
    record_shapes(converted)
    return Network(
        model=converted,
        origin=description.source.shown,
        weights="in the file",
        weights_sha256=sha256,
        classes=sum(classes),
        parameters=count_parameters(converted),
        height=size.height,
        width=size.width,
        channels=size.channels,
        batch=batch,
        heads=heads,
        warnings=warnings,
    )


def _check(reference: Reference, converted: onnx.ModelProto, model: Model, file: str) -> list[Array]:
    """The file's own scores on an example, by head; the converted form must give the same."""
    images = reference.example(reference.size.batch or 1)
    try:
        heads = reference.heads(images)
        expected = reference.join(heads)
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
            return heads
        reason = f"the largest difference is {difference:.3g}"
    raise ZoocError(
        error(
            "Z0218",
            f"{file} gives other results after conversion to plain operators",
            model.source.span,
            notes=(reason,),
            hint="export the model again with opset_version=20, in evaluation mode",
        )
    )


def _settle_batch(
    reference: Reference, converted: onnx.ModelProto, model: Model, file: str
) -> tuple[onnx.ModelProto, int | None, tuple[Diagnostic, ...]]:
    """Free the batch where that works; else keeps the file's, with a warning."""
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
