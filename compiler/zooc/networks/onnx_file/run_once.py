"""Runs a network once in ONNX Runtime, to see that it works and what it gives."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from zooc.ir.session import quiet_engine

__all__ = ["ExecutionError", "close", "example_input", "run"]

Array = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest difference allowed between two forms of one network, relative to the largest output."""


class ExecutionError(Exception):
    """ONNX Runtime cannot load or run the network; the text is its first line."""


def run(model: onnx.ModelProto, *batches: Array) -> Array:
    """Return the only output for each of `batches`, one after the other, concatenated along axis 0.

    Raises:
        ExecutionError: the model does not load, does not run, or gives no array of numbers.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        with quiet_engine():
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            name = session.get_inputs()[0].name
            return np.concatenate([np.asarray(session.run(None, {name: b})[0], np.float32) for b in batches])
    except Exception as problem:  # ONNX Runtime's own exceptions share no base class but this one
        raise ExecutionError(_first_line(problem)) from problem


def close(expected: Array, got: Array) -> float | None:
    """`None` where both agree within `TOLERANCE`, else the largest difference (infinite if shapes differ)."""
    if expected.shape != got.shape:
        return float("inf")
    if not np.isfinite(expected).all():
        same = np.array_equal(expected, got, equal_nan=True)
        return None if same else float("inf")
    difference = float(np.abs(expected - got).max(initial=0.0))
    scale = float(np.abs(expected).max(initial=0.0))
    return None if difference <= TOLERANCE * scale + 1e-7 else difference


def example_input(batch: int, channels: int, height: int, width: int) -> Array:
    """Return reproducible standard normal `float32 [batch, channels, height, width]`."""
    draw = np.random.default_rng(0).standard_normal((batch, channels, height, width))
    return draw.astype(np.float32)


def _first_line(problem: Exception) -> str:
    """The engine's reason, without its error number and the C++ function it arose in."""
    lines = str(problem).strip().splitlines()
    text = lines[0] if lines else type(problem).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return re.sub(r"^/\S+:\d+ .*?\)\s+(?=[A-Z])", "", text)
