"""Opening ONNX models in ONNX Runtime, the same way everywhere in the compiler."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import onnx
import onnxruntime
from onnx import numpy_helper

from zooc.ir.interface import Port, outputs_of
from zooc.ir.rename import names_read
from zooc.ir.weights import large_weights, without_large_weights

__all__ = ["inferred_outputs", "open_session", "quiet_engine", "weight_values"]


def open_session(
    model: onnx.ModelProto,
    *,
    threads: int = 0,
    outputs: Sequence[str] = (),
    weights: Mapping[str, onnxruntime.OrtValue] | None = None,
    keep_memory: bool = True,
) -> onnxruntime.InferenceSession:
    """Return a CPU session that prints nothing.

    Args:
        model: of any size, also beyond the 2 GiB that a serialized one may have; not changed.
        threads: within an operator; 0 leaves their number to ONNX Runtime.
        outputs: more tensors that it shall give, behind its own outputs.
        weights: `weight_values` of those that `model` was left without (`without_large_weights`).
        keep_memory: whether the session keeps a run's memory for the next one, in one piece where it can.
    """
    light = without_large_weights(model)
    light.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = options.enable_cpu_mem_arena = keep_memory
    options.log_severity_level = 4
    # What nothing reads is not there any more when ONNX Runtime looks for it.
    wanted = {tensor.name for tensor in light.graph.initializer} & (
        names_read(light.graph) | {value.name for value in light.graph.output}
    )
    values = {**(weights or {}), **weight_values(model)}
    given = [name for name in values if name in wanted]
    options.add_external_initializers(given, [values[name] for name in given])
    return onnxruntime.InferenceSession(
        light.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def weight_values(model: onnx.ModelProto) -> dict[str, onnxruntime.OrtValue]:
    """A model's large weights by name, as sessions take them; any number of sessions may share them."""
    take = onnxruntime.OrtValue.ortvalue_from_numpy
    return {tensor.name: take(numpy_helper.to_array(tensor)) for tensor in large_weights(model)}


def inferred_outputs(model: onnx.ModelProto) -> tuple[Port, ...]:
    """Return a model's outputs as a session reports them, with the sizes that its shape inference knows."""
    with quiet_engine():
        reported = open_session(model, threads=1).get_outputs()
    return tuple(
        replace(port, shape=tuple(found.shape))
        for port, found in zip(outputs_of(model), reported, strict=True)
    )


_WARNING, _FATAL = 2, 4


@contextlib.contextmanager
def quiet_engine() -> Iterator[None]:
    """Silence the engine's default logger, within; after, it is back at the engine's own default.

    A session's `log_severity_level` does not reach what is logged while a graph is loaded and optimized.
    """
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)
