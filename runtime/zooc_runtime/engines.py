"""What runs a stage: ONNX Runtime for all three, OpenVINO (optional) for the body.

Engines are imported when a package is loaded, not when it is imported. A stage may be run from several
threads.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from .arrays import AnyArray
from .cpu import has_amx
from .errors import PackageError
from .settings import Settings
from .zero_point import move_zero_points

__all__ = ["ENGINES", "OnnxRuntimeStage", "OpenVinoStage", "Stage", "choose_engine", "open_body"]

ENGINES = ("onnxruntime", "openvino")


class Stage(Protocol):
    """One tensor in, one tensor out."""

    def run(self, tensor: AnyArray) -> AnyArray:
        """Runs the stage; thread-safe."""
        ...


class OnnxRuntimeStage:
    """A stage in ONNX Runtime, on the CPU.

    Args:
        model: the stage, as an ONNX model.
        threads: threads within an operator.

    Raises:
        PackageError: ONNX Runtime is missing or refuses the model.
    """

    def __init__(self, model: bytes, threads: int) -> None:
        ort = _import("onnxruntime", "pip install onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        # Each session has its own pool, and idle ones that spin would take the cores from the one at work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no public base
            raise PackageError(
                f"ONNX Runtime {ort.__version__} cannot load the model ({_one_line(error)}); "
                "upgrade onnxruntime, or compile the package again"
            ) from None
        self._input = self._session.get_inputs()[0].name

    def run(self, tensor: AnyArray) -> AnyArray:
        """Runs the stage; thread-safe."""
        try:
            result: AnyArray = self._session.run(None, {self._input: tensor})[0]
        except Exception as error:  # as above
            raise PackageError(
                f"ONNX Runtime failed on an input of shape {list(tensor.shape)}: {_one_line(error)}"
            ) from None
        return result


class OpenVinoStage:
    """The body in OpenVINO, on the CPU; every thread has its own inference request.

    Raises:
        PackageError: OpenVINO is missing or refuses the model.
    """

    def __init__(self, model: bytes, streams: int, threads: int) -> None:
        openvino = _import("openvino", "pip install openvino")
        properties = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams * threads,
            "INFERENCE_PRECISION_HINT": "f32",  # by default float layers run in bf16 where the CPU has it
        }
        try:
            core = openvino.Core()
            self._compiled: Any = core.compile_model(core.read_model(model, b""), "CPU", properties)
        except Exception as error:  # OpenVINO raises RuntimeError and its own kinds
            raise PackageError(
                f"OpenVINO {openvino.__version__} cannot load the model ({_one_line(error)}); use "
                f'engine="onnxruntime"'
            ) from None
        self._local = threading.local()

    def run(self, tensor: AnyArray) -> AnyArray:
        """Runs the stage; thread-safe."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        result: AnyArray = request.infer([tensor], share_inputs=True, share_outputs=True)[0].copy()
        return result


def choose_engine(wanted: str, supported: Sequence[str]) -> str:
    """The engine that runs the body.

    Args:
        wanted: `auto`, or one of `ENGINES`. `auto` is ONNX Runtime.
        supported: those the package was compiled for, from its manifest.

    Raises:
        PackageError: unknown, or not among those supported.
    """
    if wanted == "auto":
        return "onnxruntime"
    if wanted not in ENGINES:
        raise PackageError(f'unknown engine "{wanted}"; known are auto, {", ".join(ENGINES)}')
    if wanted not in supported:
        raise PackageError(
            f"this package was compiled for {', '.join(supported)}, not for {wanted}; "
            f"add {wanted} to engines in its .zoo file and compile it again"
        )
    return wanted


def open_body(model: bytes, settings: Settings) -> Stage:
    """The body in the engine that `choose_engine` gave."""
    if settings.engine == "openvino":
        return OpenVinoStage(model, settings.streams, settings.threads)
    return OnnxRuntimeStage(move_zero_points(model) if has_amx() else model, settings.threads)


def _import(module: str, remedy: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PackageError(f"{module} cannot be imported ({_one_line(error)}); {remedy}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
