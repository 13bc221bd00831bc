"""Opens a program in this process, exports it, and proves by running that ONNX Runtime computes the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from zooc.deployment import InputShape, Model
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.interface import inputs_of, outputs_of
from zooc.networks.file_kind import file_kind
from zooc.networks.network import Network
from zooc.networks.onnx_file.convert import convert
from zooc.networks.onnx_file.guess import Guess, guess
from zooc.networks.onnx_file.interface import Interface, find_image, find_interface, find_layout
from zooc.networks.onnx_file.run_once import ExecutionError, Reference, close
from zooc.networks.source import Progress
from zooc.networks.torch.export import first_line
from zooc.networks.torch.program.exported import ExportedProgram
from zooc.networks.torch.program.scripted import ScriptedProgram
from zooc.support.cache import file_sha256

__all__ = ["guess_here", "open_here"]

Program = ExportedProgram | ScriptedProgram


def open_here(model: Model, on_progress: Progress) -> Network:
    """Return the network of the file.

    Raises:
        ZoocError: it cannot be opened or exported, computes something else in ONNX Runtime, or is none of an
            image classifier.
    """
    path = Path(model.source.name)
    program = _open(path, model, on_progress)
    on_progress(f"exporting {path.name}")
    original = program.to_onnx(model, model.input)
    if model.input is None and isinstance(program, ExportedProgram):
        model = _with_example_sizes(model, original, program, path.name)
    interface = find_interface(original, path.name, model)
    on_progress(f"checking {path.name}")
    _check(program, original, interface, model, path.name)
    return convert(original, interface, model, path.name, file_sha256(path))


def guess_here(model: Model, on_progress: Progress) -> tuple[Guess, Network]:
    """Return what can be told of the file, and its network.

    Raises:
        ZoocError: as for `open_here`.
    """
    path = Path(model.source.name)
    program = _open(path, model, on_progress)
    shape, size_open = None, False
    if isinstance(program, ScriptedProgram):
        shape, size_open = program.guess_shape(model), True
    on_progress(f"exporting {path.name}")
    original = program.to_onnx(model, shape)
    if isinstance(program, ExportedProgram):
        shape = _with_example_sizes(model, original, program, path.name).input
    on_progress(f"checking {path.name}")
    guessed, network = guess(original, replace(model, input=shape), path.name, file_sha256(path))
    _check(program, original, find_interface(original, path.name, guessed.model), guessed.model, path.name)
    return replace(guessed, size_open=guessed.size_open or size_open), network


def _open(path: Path, model: Model, on_progress: Progress) -> Program:
    on_progress(f"importing torch and opening {path.name}, a program")
    opener = ExportedProgram if file_kind(path) == "exported" else ScriptedProgram
    return opener(path, model.source.span)


def _with_example_sizes(
    model: Model, original: onnx.ModelProto, program: ExportedProgram, file: str
) -> Model:
    """Where the program leaves its image's size free: that of the example that it was exported with."""
    example, inputs = program.example_sizes(), inputs_of(original)
    if example is None or len(example) != 4 or len(inputs) != 1 or None not in inputs[0].sizes[1:]:
        return model
    image, _ = find_image(original, file, model)
    first = find_layout(replace(image, shape=example), file, model) == "nchw"
    _, *sizes = example
    channels, height, width = sizes if first else (sizes[2], sizes[0], sizes[1])
    return replace(model, input=InputShape(None, channels, height, width))


def _check(
    program: Program, original: onnx.ModelProto, interface: Interface, model: Model, file: str
) -> None:
    """Twice the same from torch, and the same from ONNX Runtime."""
    images = Reference(original, interface).example(interface.size.batch or 2)
    feed = interface.feed(images)[interface.image.name]
    order = [port.name for port in outputs_of(original)]
    chosen = [order.index(port.name) for port in interface.scores]
    try:
        first = _scores(program.run(feed), chosen)
        state = [tensor.clone() for tensor in program.state()]
        again = _scores(program.run(feed), chosen)
        changed = any(not torch.equal(a, b) for a, b in zip(state, program.state(), strict=True))
    except Exception as problem:  # a program refuses an input by whatever its operators raise
        raise _differs(file, model, f"torch itself does not run it: {first_line(problem)}") from problem
    if changed or any(close(a, b) is not None for a, b in zip(first, again, strict=True)):
        raise ZoocError(
            error(
                "Z0233",
                f"{file} was saved in training mode: it changes as it runs, or gives other results each time",
                model.source.span,
                hint="call model.eval() before torch.export.export or torch.jit.trace, and save it again",
            )
        )
    try:
        got = Reference(original, interface).heads(images)
    except ExecutionError as problem:
        raise _differs(file, model, str(problem)) from problem
    gaps = [close(a, b, interface.tolerance) for a, b in zip(first, got, strict=True)]
    wrong = [gap for gap in gaps if gap is not None]
    if wrong:
        raise _differs(file, model, f"the largest difference is {max(wrong):.3g}")


def _scores(results: list[Any], chosen: list[int]) -> list[Any]:
    return [np.asarray(results[index], np.float32) for index in chosen]


def _differs(file: str, model: Model, reason: str) -> ZoocError:
    return ZoocError(
        error(
            "Z0208",
            f"the export of {file} gives other results than torch",
            model.source.span,
            notes=(reason,),
            hint="another version of torch may export it correctly",
        )
    )
