"""What runs a stage: ONNX Runtime for all three, OpenVINO (optional) for the body.

Prelude and postlude run on the CPU, where the former is exact; the body runs where its `Placement` says.

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
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Protocol

import numpy as np

from ..errors import PackageError
from ..package.protobuf import fields
from ..support.arrays import AnyArray, fill_batch
from ..support.user_cache import Damaged, key_of, read_entry, write_entry
from .amx_weights import move_zero_points
from .cpu import cpu_flags, cpu_name, has_amx
from .devices import check_device, properties_of, takes_any_batch
from .openvino_form import fuse_activations
from .placement import CPU, DEFAULT, PROVIDERS, Placement, find_provider
from .sessions import SERIAL, nodes_by_provider, open_session
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

_GRAPH, _INPUT, _TYPE, _TENSOR_TYPE, _SHAPE, _DIM, _DIM_NAME = 7, 11, 2, 1, 2, 1, 2


class Stage(Protocol):
    """One tensor in, one tensor out.

    Attributes:
        runs_on: the execution providers or devices that run it, with how many of its nodes, where known.
    """

    @property
    def runs_on(self) -> dict[str, int | None]:
        """See above."""
        ...

    def run(self, tensor: AnyArray) -> AnyArray:
        """Run the stage; thread-safe."""
        ...


class OnnxRuntimeStage:
    """A stage in ONNX Runtime, on the CPU or on the providers of a placement.

    Args:
        model: the stage, as an ONNX model.
        threads: threads within an operator.
        placement: its providers.
        batch: the batch that the session is made for, where the model's is free.

    Raises:
        PackageError: ONNX Runtime or a provider is missing, or refuses the model.
    """

    def __init__(
        self, model: bytes, threads: int, placement: Placement = DEFAULT, batch: int | None = None
    ) -> None:
        ort = import_engine("onnxruntime", "pip install onnxruntime")
        if placement.providers:
            free = _free_batch(model) if batch else None

            def make_options() -> Any:
                options = self._options(ort, threads)
                if free:
                    options.add_free_dimension_override_by_name(free, batch)
                return options

            self._session: Any = open_session(ort, model, make_options, placement)
        else:
            self._session = self._on_cpu(ort, model, threads)
        self._input = self._session.get_inputs()[0].name
        self._place = f" on {placement}" if placement.providers else ""
        serial = any(one.name in SERIAL for one in placement.providers)
        self._turn: AbstractContextManager[object] = threading.Lock() if serial else nullcontext()
        nodes = nodes_by_provider(self._session) if placement.providers else {}
        self.runs_on: dict[str, int | None] = {**nodes} or dict.fromkeys(self._session.get_providers())

    @staticmethod
    def _options(ort: Any, threads: int) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        # Each session has its own pool, and idle ones that spin would take the cores from the one at work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _on_cpu(self, ort: Any, model: bytes, threads: int) -> Any:
        try:
            return ort.InferenceSession(model, self._options(ort, threads), providers=[CPU])
        except Exception as error:  # ONNX Runtime's errors share no public base
            raise PackageError(
                f"ONNX Runtime {ort.__version__} cannot load the model ({one_line(error)}); "
                "upgrade onnxruntime, or compile the package again"
            ) from None

    def run(self, tensor: AnyArray) -> AnyArray:
        """Run the stage; thread-safe."""
        try:
            with self._turn:
                result: AnyArray = self._session.run(None, {self._input: tensor})[0]
        except Exception as error:  # as above
            raise PackageError(
                f"ONNX Runtime failed{self._place} on an input of shape {list(tensor.shape)}: "
                f"{one_line(error)}"
            ) from None
        return result


class InBatchesOf:
    """A stage that takes one batch size: it is given such batches, the last one filled up."""

    def __init__(self, stage: Stage, size: int) -> None:
        self._stage = stage
        self._size = size

    @property
    def runs_on(self) -> dict[str, int | None]:
        """See `Stage`."""
        return self._stage.runs_on

    def run(self, tensor: AnyArray) -> AnyArray:
        """Run the stage; thread-safe."""
        parts = (tensor[i : i + self._size] for i in range(0, len(tensor), self._size))
        return np.concatenate([self._stage.run(fill_batch(part, self._size))[: len(part)] for part in parts])


class OpenVinoStage:
    """The body in OpenVINO; every thread has its own inference request.

    What OpenVINO compiles is kept in the user's cache folder, where that can be written, and checked by hash:
    OpenVINO's own cache takes a damaged file for good.

    Args:
        model: the body, as an ONNX model.
        streams: requests that run at the same time.
        threads: threads within a stream.
        single: compiles for one image at a time, which OpenVINO fuses better; several then run one by one.
        device: one of OpenVINO's.
        keep: whether what is compiled is kept.

    Raises:
        PackageError: OpenVINO is missing or refuses the model, or has no such device here.
    """

    def __init__(
        self,
        model: bytes,
        streams: int,
        threads: int,
        single: bool,
        device: str | None = None,
        keep: bool = True,
    ) -> None:
        device = device or "CPU"
        openvino = import_engine("openvino", "pip install openvino")
        # The first such call sets up what the binding knows of numpy. Two threads that do it at once wait for
        # each other for good (OpenVINO 2026.4: a static variable of pybind11 against the interpreter lock).
        openvino.Type.f32.to_dtype()
        core = openvino.Core()
        if device != "CPU":
            check_device(core, device)
        single = single or not takes_any_batch(device)
        properties = properties_of(device, streams, threads)
        try:
            self._compiled = _compiled(openvino, core, model, device, properties, single, keep)
            used = [device] if device == "CPU" else self._compiled.get_property("EXECUTION_DEVICES")
        except Exception as error:  # OpenVINO raises RuntimeError and its own kinds
            raise PackageError(
                f"OpenVINO {openvino.__version__} cannot load the model on {device} ({one_line(error)}); use "
                + ('engine="onnxruntime"' if device == "CPU" else 'device="CPU"')
            ) from None
        self.runs_on: dict[str, int | None] = dict.fromkeys(used)
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


def _compiled(
    openvino: Any,
    core: Any,
    model: bytes,
    device: str,
    properties: dict[str, Any],
    single: bool,
    keep: bool,
) -> Any:
    """The network, compiled or, for the CPU, from the cache; other devices' drivers change unseen."""
    parts = hashlib.sha256(model).hexdigest(), openvino.__version__, cpu_name(), sorted(cpu_flags() or ())
    key = key_of(*parts, properties.get("INFERENCE_PRECISION_HINT"), single) if device == "CPU" else None
    with suppress(Damaged):
        if key is not None and (kept := read_entry("openvino", key)) is not None:
            return core.import_model(kept, device, properties)
    network = core.read_model(model, b"")
    if single:
        shape = network.inputs[0].partial_shape
        shape[0] = 1
        network.reshape(shape)
    compiled = core.compile_model(network, device, properties)
    if key is not None and keep:
        with suppress(PackageError):
            write_entry("openvino", key, compiled.export_model().getvalue())
    return compiled


def installed_engines(supported: Sequence[str]) -> dict[str, str]:
    """Return the versions of those engines of `supported` that are installed; imports none of them."""
    found = {}
    for engine in ENGINES:
        if engine in supported and importlib.util.find_spec(engine):
            found[engine] = _version(engine)
    return found


def _version(engine: str) -> str:
    """An engine's version, also where it is installed as another package, as onnxruntime-gpu."""
    others = {package for package in PROVIDERS.values() if package and package.startswith(f"{engine}-")}
    for package in (engine, *sorted(others)):
        with suppress(importlib.metadata.PackageNotFoundError):
            return f"{importlib.metadata.version(package)}{package.removeprefix(engine)}"
    return "unknown"


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
        if provider := find_provider(wanted):
            advice = f'it is an execution provider of onnxruntime: providers=["{provider}"]'
        raise PackageError(f'unknown engine "{wanted}"; {advice}')
    if wanted not in supported:
        raise PackageError(
            f"this package was compiled for {', '.join(supported)}, not for {wanted}; "
            f"add {wanted} to engines in its .zoo file and compile it again"
        )
    return wanted


def open_body(model: bytes, settings: Settings, *, as_written: bool = False, keep: bool = True) -> Stage:
    """Return the body in the engine that `choose_engine` gave.

    Args:
        model: the body, as an ONNX model.
        settings: how it is to run.
        as_written: keeps every rounding of the model, also where OpenVINO on a CPU is faster without some.
        keep: see `OpenVinoStage`.
    """
    placement = settings.placement
    if settings.engine == "openvino":
        single = settings.batch == 1
        if placement.on_cpu and not as_written:
            model = fuse_activations(model)
        return OpenVinoStage(model, settings.streams, settings.threads, single, placement.device, keep)
    if placement.on_cpu and has_amx():
        model = move_zero_points(model)
    batch = settings.batch if placement.fixed_batch else None
    stage = OnnxRuntimeStage(model, settings.threads, placement, batch)
    return stage if batch is None else InBatchesOf(stage, batch)


def _free_batch(model: bytes) -> str | None:
    """Return the name of the first dimension of the model's input; `None` if it has a size."""
    part = memoryview(model)
    for number in (_GRAPH, _INPUT, _TYPE, _TENSOR_TYPE, _SHAPE, _DIM, _DIM_NAME):
        payload = next((field.payload for field in fields(part) if field.number == number), None)
        if payload is None:
            return None
        part = payload
    return bytes(part).decode()


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
