"""Exports a torch module to ONNX with a free batch, under the module's own names, and checks the result."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import torch

from zooc.deployment import InputShape
from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.ir.interface import set_batch
from zooc.ir.rename import normalize
from zooc.ir.weights import record_shapes
from zooc.networks.network import INPUT, OUTPUT, HeadFacts, Network
from zooc.networks.onnx_file.operators import IR_VERSION, MIN_OPSET
from zooc.networks.onnx_file.run_once import Array, ExecutionError, close, example_input, run
from zooc.networks.source import Progress
from zooc.networks.torch.module_names import name_by_modules

__all__ = ["export_module", "first_line", "not_exported", "quiet"]

_LARGEST = 2**31 - 2**24
"""Bytes of weights; the rest is for the graph around them."""


def export_module(
    module: Any,
    name: str,
    shape: InputShape,
    classes: int,
    *,
    weights: str,
    weights_sha256: str | None,
    span: Span | None,
    on_progress: Progress,
) -> Network:
    """Export `module`, in evaluation mode, as a `Network`.

    Args:
        module: a `torch.nn.Module` from float32 `[batch, channels, height, width]` to `[batch, classes]`.
        name: how to name it to the user.
        shape: the input's size.
        classes: the number of classes asked for.
        weights: the weights in words.
        weights_sha256: their hash.
        span: the place to point to when the size does not suit the model.
        on_progress: told of each step.

    Raises:
        ZoocError: the weights exceed what one ONNX file holds (`Z0209`), the module does not take this size
            or gives no `[batch, classes]` (`Z0207`), cannot be exported (`Z0208`), or ONNX Runtime computes
            something else (`Z0208`).
    """
    _refuse_huge(module, name, span)
    images = example_input(2, shape.channels, shape.height, shape.width)
    scores = _scores(module, images, name, classes, span)
    on_progress(f"exporting {name}")
    model = _export(module, images, name, span)
    name_by_modules(model.graph)
    normalize(model, INPUT, OUTPUT)
    model.ir_version = IR_VERSION
    on_progress(f"checking {name}")
    _check(model, images, scores, name, span)
    if shape.batch is not None:
        set_batch(model, shape.batch)
    record_shapes(model)
    return Network(
        model=model,
        origin=name,
        weights=weights,
        weights_sha256=weights_sha256,
        classes=classes,
        parameters=sum(p.numel() for p in module.parameters()),
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        batch=shape.batch,
        heads=(HeadFacts(classes),),
    )


def _refuse_huge(module: Any, name: str, span: Span | None) -> None:
    """An ONNX file, like every protobuf message, ends at 2 GiB."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    if size > _LARGEST:
        raise ZoocError(
            error(
                "Z0209",
                f"{name} has {size / 2**30:.1f} GiB of weights; an ONNX file can have less than 2",
                span,
                hint="choose a smaller model",
            )
        )


def _scores(module: Any, images: Array, name: str, classes: int, span: Span | None) -> Array:
    """The module's own scores in torch."""
    size = " x ".join(str(n) for n in images.shape[1:])
    try:
        with quiet(), torch.no_grad():
            scores = module(torch.from_numpy(images))
    except Exception as problem:  # a model refuses sizes by whatever its layers raise
        raise ZoocError(
            error(
                "Z0207",
                f"{name} does not take an input of {size}",
                span,
                notes=(first_line(problem),),
                hint="write the size that the model was made for",
            )
        ) from problem
    if not isinstance(scores, torch.Tensor) or tuple(scores.shape) != (2, classes):
        got = list(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise ZoocError(
            error(
                "Z0207",
                f"{name} gives {got} for two images, not [2, {classes}]",
                span,
                hint="choose a classifier",
            )
        )
    return np.asarray(scores.numpy(), np.float32)


def _export(module: Any, images: Array, name: str, span: Span | None) -> onnx.ModelProto:
    batch = torch.export.Dim("batch")
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (torch.from_numpy(images),),
                dynamo=True,
                opset_version=MIN_OPSET,
                dynamic_shapes=({0: batch},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
            model: onnx.ModelProto = program.model_proto
    except Exception as problem:  # the exporter raises errors of every layer it stands on
        raise not_exported(name, problem, span) from problem
    return model


def not_exported(name: str, problem: Exception, span: Span | None) -> ZoocError:
    """Return `Z0208`, with the first line of the exporter's reason."""
    return ZoocError(
        error(
            "Z0208",
            f"torch {torch.__version__} cannot export {name} to ONNX",
            span,
            notes=(first_line(problem),),
            hint="try another version of torch, or choose another model",
        )
    )


def _check(model: onnx.ModelProto, images: Array, scores: Array, name: str, span: Span | None) -> None:
    try:
        difference = close(scores, run(model, images))
        reason = None if difference is None else f"the largest difference is {difference:.3g}"
    except ExecutionError as problem:
        reason = str(problem)
    if reason is not None:
        raise ZoocError(
            error(
                "Z0208",
                f"the export of {name} gives other results than torch",
                span,
                notes=(reason,),
                hint="another version of torch may export it correctly",
            )
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what runs within: the exporter prints, logs and warns about its own affairs."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(level)


def first_line(problem: Exception) -> str:
    """Return a library's reason in one line."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0] if lines else type(problem).__name__
