"""Runs a graph in OpenVINO as users of the file alone do: whole, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

from zooc.consumers.refusal import RuntimeRefusal
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc_runtime.support.arrays import AnyArray

__all__ = ["run_in_openvino"]


def run_in_openvino(
    model: bytes, inputs: Sequence[AnyArray], precision: str | None = "f32"
) -> tuple[str, list[dict[str, AnyArray]]]:
    """Return the outputs of `model` for each input.

    Args:
        model: an ONNX file.
        inputs: one a run.
        precision: of float layers, `None` for OpenVINO's default, which is bf16 on CPUs that have it.

    Returns:
        OpenVINO's version, and for each input the outputs by name.

    Raises:
        RuntimeRefusal: OpenVINO cannot load or run the graph.
        ZoocError: Z0703, OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError as problem:
        raise ZoocError(
            error(
                "Z0703",
                f"the graph cannot be tried in openvino: it cannot be imported ({problem})",
                hint="pip install openvino",
            )
        ) from None
    version = openvino.__version__.partition("-")[0]
    try:
        core = openvino.Core()
        settings = {} if precision is None else {"INFERENCE_PRECISION_HINT": precision}
        compiled = core.compile_model(core.read_model(model, b""), "CPU", settings)
        runs = []
        for value in inputs:
            results = compiled([value])
            runs.append({port.any_name: results[port].copy() for port in compiled.outputs})
    except Exception as problem:  # OpenVINO raises RuntimeError and its own kinds
        raise RuntimeRefusal(f"openvino {version}", str(problem)) from None
    return version, runs
