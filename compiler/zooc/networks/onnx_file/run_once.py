"""Runs a network once in ONNX Runtime, to see that it works and what it gives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.ir.interface import input_of, output_of
from zooc.ir.session import open_session, quiet_engine
from zooc.networks.onnx_file.interface import Interface

__all__ = [
    "LEVELS_TOLERANCE",
    "ExecutionError",
    "Reference",
    "close",
    "example_input",
    "run",
    "run_model",
]

Array = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest difference allowed between two forms of one network, relative to the largest output."""

LEVELS_TOLERANCE = 5e-2
"""The same for a network that is quantized already: engines round values between two levels either way."""


_NO_KERNEL = "Could not find an implementation"
"""What ONNX Runtime says of an operator that it does not have in a type."""


class ExecutionError(Exception):
    """ONNX Runtime cannot load or run the network; the text is its first line."""


class Reference:
    """A file's network, run as the file is."""

    def __init__(self, model: onnx.ModelProto, interface: Interface) -> None:
        """Nothing is opened yet."""
        self._model = model
        self._interface = interface
        self.size = interface.size
        self.tolerance = interface.tolerance

    def scores(self, *batches: Array) -> Array:
        """Return the scores of float32 images, channels first, as float32; of several heads in a row.

        Raises:
            ExecutionError: as for `run`.
        """
        return self.join(self.heads(*batches))

    @staticmethod
    def join(heads: list[Array]) -> Array:
        """Return the only head's scores as they are, of several a row for each image."""
        if len(heads) == 1:
            return heads[0]
        return np.concatenate([head.reshape(len(head), -1) for head in heads], axis=1)

    def heads(self, *batches: Array) -> list[Array]:
        """Return each head's scores, as the file gives them.

        Raises:
            ExecutionError: as for `run`.
        """
        feeds = [self._interface.feed(batch) for batch in batches]
        return _run(self._model, feeds, [port.name for port in self._interface.scores])

    def example(self, batch: int) -> Array:
        """Return reproducible float32 images, channels first, of such values as the file takes."""
        shape = (batch, self.size.channels, self.size.height, self.size.width)
        if self._interface.image.dtype == "uint8":
            return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
        return example_input(*shape)


def example_input(batch: int, channels: int, height: int, width: int) -> Array:
    """Return reproducible standard normal `float32 [batch, channels, height, width]`."""
    draw = np.random.default_rng(0).standard_normal((batch, channels, height, width))
    return draw.astype(np.float32)


def run(model: onnx.ModelProto, images: Array) -> Array:
    """Return the only output of a network in the compiler's form, as float32.

    Raises:
        ExecutionError: the model does not load, does not run, or gives no array of numbers.
    """
    (only,) = _run(model, [{input_of(model).name: images}], [output_of(model).name])
    return only


def run_model(model: onnx.ModelProto, image: npt.NDArray[Any], outputs: list[str]) -> list[Array]:
    """Return the named outputs of a model as it was read, for an image as it takes it, as float32.

    Raises:
        ExecutionError: as for `run`.
    """
    return _run(model, [{input_of(model).name: image}], outputs)


def _run(model: onnx.ModelProto, feeds: list[dict[str, npt.NDArray[Any]]], outputs: list[str]) -> list[Array]:
    try:
        with quiet_engine():
            session = open_session(model)
            return _joined([session.run(outputs, feed) for feed in feeds])
    except Exception as problem:  # ONNX Runtime's own exceptions share no base class but this one
        if _NO_KERNEL in str(problem):
            return _evaluate(model, feeds, outputs)
        raise ExecutionError(_first_line(problem)) from problem


def _evaluate(
    model: onnx.ModelProto, feeds: list[dict[str, npt.NDArray[Any]]], outputs: list[str]
) -> list[Array]:
    """As `_run`, by ONNX's own slow evaluator, which knows every operator in float64 and bfloat16, too."""
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(model)
        return _joined([list(evaluator.run(outputs, feed)) for feed in feeds])
    except Exception as problem:  # it raises whatever numpy does
        raise ExecutionError(_first_line(problem)) from problem


def _joined(answers: list[list[Any]]) -> list[Array]:
    """Each output of all batches in a row."""
    return [
        np.concatenate([np.asarray(part, np.float32) for part in parts])
        for parts in zip(*answers, strict=True)
    ]


def close(expected: Array, got: Array, tolerance: float = TOLERANCE) -> float | None:
    """Compare two forms of one network.

    Returns:
        `None` where both agree within `tolerance`, relative to the largest output, else the largest
        difference, which is infinite if shapes differ.
    """
    if expected.shape != got.shape:
        return float("inf")
    if not np.isfinite(expected).all():
        same = np.array_equal(expected, got, equal_nan=True)
        return None if same else float("inf")
    difference = float(np.abs(expected - got).max(initial=0.0))
    scale = float(np.abs(expected).max(initial=0.0))
    return None if difference <= tolerance * scale + 1e-7 else difference


def _first_line(problem: Exception) -> str:
    """The engine's reason, without its error number and the C++ function it arose in."""
    lines = str(problem).strip().splitlines()
    text = lines[0] if lines else type(problem).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return re.sub(r"^/\S+:\d+ .*?\)\s+(?=[A-Z])", "", text)
