"""What runs a stage: ONNX Runtime for all three, OpenVINO (optional) for the body.

Engines are imported when a package is loaded, not when it is imported. A stage may be run from several
threads.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np

from ..errors import PackageError
from ..support.arrays import AnyArray
from ..support.user_cache import Damaged, key_of, read_entry, write_entry
from .amx_weights import move_zero_points
from .cpu import cpu_flags, cpu_name, has_amx
from .settings import Settings

__all__ = [
    "ENGINES",
    "OnnxRuntimeStage",
    "OpenVinoStage",
    "Stage",
    "choose_engine",
    "import_engine",
    "installed_engines",
    "one_line",
    "open_body",
]

ENGINES = ("onnxruntime", "openvino")


class Stage(Protocol):
    """One tensor in, one tensor out."""

    def run(self, tensor: AnyArray) -> AnyArray:
        """Run the stage; thread-safe."""
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
        ort = import_engine("onnxruntime", "pip install onnxruntime")
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
                f"ONNX Runtime {ort.__version__} cannot load the model ({one_line(error)}); "
                "upgrade onnxruntime, or compile the package again"
            ) from None
        self._input = self._session.get_inputs()[0].name

    def run(self, tensor: AnyArray) -> AnyArray:
        """Run the stage; thread-safe."""
        try:
            result: AnyArray = self._session.run(None, {self._input: tensor})[0]
        except Exception as error:  # as above
            raise PackageError(
                f"ONNX Runtime failed on an input of shape {list(tensor.shape)}: {one_line(error)}"
            ) from None
        return result


class OpenVinoStage:
    """The body in OpenVINO, on the CPU; every thread has its own inference request.

    What OpenVINO compiles is kept in the user's cache folder, where that can be written, and checked by hash:
    OpenVINO's own cache takes a damaged file for good.

    Args:
        model: the body, as an ONNX model.
        streams: requests that run at the same time.
        threads: threads within a stream.
        single: compiles for one image at a time, which OpenVINO fuses better; several then run one by one.
        keep: whether what is compiled is kept.

    Raises:
        PackageError: OpenVINO is missing or refuses the model.
    """

    def __init__(self, model: bytes, streams: int, threads: int, single: bool, keep: bool = True) -> None:
        openvino = import_engine("openvino", "pip install openvino")
        # The first such call sets up what the binding knows of numpy. Two threads that do it at once wait for
        # each other for good (OpenVINO 2026.4: a static variable of pybind11 against the interpreter lock).
        openvino.Type.f32.to_dtype()
        properties = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams * threads,
            "INFERENCE_PRECISION_HINT": "f32",  # by default float layers run in bf16 where the CPU has it
        }
        try:
            self._compiled = _compiled(openvino, model, properties, single, keep)
        except Exception as error:  # OpenVINO raises RuntimeError and its own kinds
            raise PackageError(
                f"OpenVINO {openvino.__version__} cannot load the model ({one_line(error)}); use "
                f'engine="onnxruntime"'
            ) from None
        self._single = single
        self._local = threading.local()

    def run(self, tensor: AnyArray) -> AnyArray:
        """Run the stage; thread-safe."""
        if self._single and len(tensor) > 1:
            return np.concatenate([self.run(tensor[i : i + 1]) for i in range(len(tensor))])
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        result: AnyArray = request.infer([tensor], share_inputs=True, share_outputs=True)[0].copy()
        return result


def _compiled(openvino: Any, model: bytes, properties: dict[str, Any], single: bool, keep: bool) -> Any:
    core = openvino.Core()
    parts = hashlib.sha256(model).hexdigest(), openvino.__version__, cpu_name(), sorted(cpu_flags() or ())
    key = key_of(*parts, properties["INFERENCE_PRECISION_HINT"], single)
    with suppress(Damaged):
        if (kept := read_entry("openvino", key)) is not None:
            return core.import_model(kept, "CPU", properties)
    network = core.read_model(model, b"")
    if single:
        shape = network.inputs[0].partial_shape
        shape[0] = 1
        network.reshape(shape)
    compiled = core.compile_model(network, "CPU", properties)
    if keep:
        with suppress(PackageError):
            write_entry("openvino", key, compiled.export_model().getvalue())
    return compiled


def installed_engines(supported: Sequence[str]) -> dict[str, str]:
    """Return the versions of those engines of `supported` that are installed; imports none of them."""
    found = {}
    for engine in ENGINES:
        if engine in supported and importlib.util.find_spec(engine):
            try:
                found[engine] = importlib.metadata.version(engine)
            except importlib.metadata.PackageNotFoundError:  # installed under another name
                found[engine] = "unknown"
    return found


def choose_engine(wanted: str, supported: Sequence[str]) -> str:
    """Return the engine that runs the body, where nothing was measured.

    Args:
        wanted: `auto`, or one of `ENGINES`. `auto` is ONNX Runtime, but OpenVINO if that is installed and the
            CPU has AMX, which it uses two to three times better.
        supported: those the package was compiled for, from its manifest.

    Raises:
        PackageError: unknown, or not among those supported.
    """
    if wanted == "auto":
        return "openvino" if has_amx() and "openvino" in installed_engines(supported) else "onnxruntime"
    if wanted not in ENGINES:
        near = difflib.get_close_matches(wanted, ENGINES, 1)
        advice = f'did you mean "{near[0]}"?' if near else f"known are auto, {', '.join(ENGINES)}"
        raise PackageError(f'unknown engine "{wanted}"; {advice}')
    if wanted not in supported:
        raise PackageError(
            f"this package was compiled for {', '.join(supported)}, not for {wanted}; "
            f"add {wanted} to engines in its .zoo file and compile it again"
        )
    return wanted


def open_body(model: bytes, settings: Settings, *, keep: bool = True) -> Stage:
    """Return the body in the engine that `choose_engine` gave; `keep`: see `OpenVinoStage`."""
    if settings.engine == "openvino":
        return OpenVinoStage(model, settings.streams, settings.threads, settings.batch == 1, keep)
    return OnnxRuntimeStage(move_zero_points(model) if has_amx() else model, settings.threads)


def import_engine(module: str, remedy: str) -> Any:
    """Return the engine's module.

    Raises:
        PackageError: it is missing or broken; the message ends in `remedy`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PackageError(f"{module} cannot be imported ({one_line(error)}); {remedy}") from None


def one_line(error: Exception) -> str:
    """Return an engine's message without its line breaks, at most 400 characters of it."""
    return " ".join(str(error).split())[:400]
