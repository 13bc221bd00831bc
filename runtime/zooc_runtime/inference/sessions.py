"""ONNX Runtime's sessions on execution providers, with nothing falling back to the CPU unsaid.

ONNX Runtime leaves out a provider that it was built without or that fails to start, runs everything on the
CPU and tells only its log. Here that is an error, unless it was asked for; so are nodes that no provider
takes, unless `CPUExecutionProvider` is among the providers.

Plugin packages (`onnxruntime-qnn`, `onnxruntime-ep-openvino`, ...) are installed beside onnxruntime. Their
libraries are registered when their provider is first asked for; such providers reach a session by devices.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module, util
from typing import Any

from ..errors import PackageError
from .placement import CPU, PROVIDERS, Placement, Provider

__all__ = ["SERIAL", "nodes_by_provider", "open_session"]

SERIAL = frozenset({"DmlExecutionProvider"})
"""Providers whose sessions run one request at a time (DirectML's page in ONNX Runtime's documentation)."""

_PLUGINS = {
    "QNNExecutionProvider": "onnxruntime_qnn",
    "OpenVINOExecutionProvider": "onnxruntime_ep_openvino",
    "WebGpuExecutionProvider": "onnxruntime_ep_webgpu",
    "NvTensorRTRTXExecutionProvider": "onnxruntime_ep_nv_tensorrt_rtx",
}
"""The modules of plugin packages; their `get_library_path` gives what onnxruntime registers."""

_NVIDIA = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})
_F32 = '{"INFERENCE_PRECISION_HINT": "f32"}'
_DEFAULTS = {
    "CUDAExecutionProvider": {"use_tf32": "0"},
    "OpenVINOExecutionProvider": {"load_config": f'{{"CPU": {_F32}, "GPU": {_F32}}}'},
}
"""Options by which float layers are computed in float32, as in the CPU's provider."""

_KINDS = ("NPU", "GPU", "CPU")
_NO_CPU = "session.disable_cpu_ep_fallback"
_RECORD = "session.record_ep_graph_assignment_info"
_REFUSED = "fallback to CPU EP has been explicitly disabled"


class _Unusable(Exception):
    """A provider that cannot be had, and why."""

    def __init__(self, provider: Provider, message: str) -> None:
        super().__init__(message)
        self.provider = provider


def open_session(ort: Any, model: bytes, make_options: Callable[[], Any], placement: Placement) -> Any:
    """Return a session of the model on the providers.

    Args:
        ort: the module `onnxruntime`.
        model: an ONNX model.
        make_options: gives a session's options; each trial takes its own.
        placement: its providers, at least one; with `fallback` those that cannot be had are left out with a
            warning, and the CPU runs what is left.

    Raises:
        PackageError: a provider cannot be had, or leaves nodes to the CPU, which is not among the providers.
    """
    wanted = list(placement.providers)
    if placement.fallback and all(one.name != CPU for one in wanted):
        wanted.append(Provider(CPU))
    while True:
        try:
            session = _open(ort, model, make_options, wanted)
        except _Unusable as problem:
            if not placement.fallback or problem.provider.name == CPU:
                raise PackageError(str(problem)) from None
            wanted.remove(problem.provider)
            _warn(f"{problem}; it is left out")
            continue
        nodes = nodes_by_provider(session)
        if nodes and set(nodes) == {CPU} and any(one.name != CPU for one in wanted):
            _warn(f"{', '.join(str(p) for p in wanted if p.name != CPU)} takes no node of the network")
        return session


def nodes_by_provider(session: Any) -> dict[str, int]:
    """Return how many of the network's nodes each provider runs; nothing where ONNX Runtime cannot tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def _open(ort: Any, model: bytes, make_options: Callable[[], Any], wanted: Sequence[Provider]) -> Any:
    """Return a session on all of the providers, or raise `_Unusable` for one of them."""
    for provider in wanted:
        _make_available(ort, provider)
    strict = all(one.name != CPU for one in wanted)
    session, failure, log = _try(ort, model, make_options, wanted, strict)
    if strict and failure is not None and _REFUSED in failure:  # maybe as the provider failed to start
        session, failure, log = _try(ort, model, make_options, wanted, strict=False)
        if session is not None and _missing(session, wanted) is None:
            raise _Unusable(wanted[0], _left_over(session, wanted))
    if session is None:
        accelerators = [one for one in wanted if one.name != CPU] or wanted
        provider = next((one for one in accelerators if one.name in f"{failure} {log}"), accelerators[0])
        raise _Unusable(provider, f"{provider} cannot load the network ({_reason(log) or failure})")
    if missing := _missing(session, wanted):
        reason = _reason(log) or "ONNX Runtime does not say why"
        raise _Unusable(missing, f"{missing} cannot be started ({reason})")
    sys.stderr.write(log)
    return session


def _try(
    ort: Any, model: bytes, make_options: Callable[[], Any], wanted: Sequence[Provider], strict: bool
) -> tuple[Any, str | None, str]:
    """A session or why there is none, and what ONNX Runtime logged meanwhile."""
    session, failure = None, None
    with _logged() as log:
        try:
            options = make_options()
            options.add_session_config_entry(_RECORD, "1")
            if strict:
                options.add_session_config_entry(_NO_CPU, "1")
            if any(one.name == "DmlExecutionProvider" for one in wanted):
                options.enable_mem_pattern = False  # DirectML has no memory patterns
            named = _add_providers(ort, options, wanted)
            session = ort.InferenceSession(model, options, providers=named, enable_fallback=0)
        except Exception as error:  # ONNX Runtime's errors share no public base
            failure = _plain(" ".join(str(error).split()))
    return session, failure, log.getvalue()


def _add_providers(
    ort: Any, options: Any, wanted: Sequence[Provider]
) -> list[tuple[str, dict[str, str]]] | None:
    """Return the providers as a session takes them; where one is a plugin, all go into the options."""
    named = [(one.name, _DEFAULTS.get(one.name, {}) | dict(one.options)) for one in wanted]
    devices = {name: _devices(ort, name) for name, _ in named if name != CPU}
    if not any(devices.values()):
        return named
    for name, settings in named:
        if devices.get(name):
            kind = settings.pop("device_type", None)
            options.add_provider_for_devices([_pick(devices[name], kind, name)], settings)
        else:
            options.add_provider(name, settings)
    return None


def _devices(ort: Any, name: str) -> list[Any]:
    every = ort.get_ep_devices() if hasattr(ort, "get_ep_devices") else ()
    return [device for device in every if device.ep_name == name]


def _pick(devices: Sequence[Any], kind: str | None, name: str) -> Any:
    """The device of the kind, or the one that is most an accelerator."""
    kinds = [device.device.type.name for device in devices]
    for one in _KINDS if kind is None else (kind.upper(),):
        if one in kinds:
            return devices[kinds.index(one)]
    there = ", ".join(dict.fromkeys(kinds))
    raise ValueError(f"{name} finds no device of device_type {kind}; there are {there}")


def _make_available(ort: Any, provider: Provider) -> None:
    name = provider.name
    if name not in ort.get_available_providers():
        _register_plugin(ort, provider)
    if name not in ort.get_available_providers():
        has = ", ".join(ort.get_available_providers())
        message = f"{name} is not in the installed onnxruntime {ort.__version__}, which has {has}"
        raise _Unusable(provider, f"{message}; {_remedy(name)}")
    if name in _NVIDIA and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            ort.preload_dlls()


def _register_plugin(ort: Any, provider: Provider) -> None:
    module = _PLUGINS.get(provider.name)
    if module is None or util.find_spec(module) is None or not hasattr(ort, "get_ep_devices"):
        return
    try:
        ort.register_execution_provider_library(provider.name, import_module(module).get_library_path())
    except Exception as error:  # of the plugin's module, or ONNX Runtime's
        reason = " ".join(str(error).split())[:400]
        raise _Unusable(provider, f"{provider}: onnxruntime cannot load {module} ({reason})") from None


def _remedy(name: str) -> str:
    package = PROVIDERS.get(name)
    if name == "CoreMLExecutionProvider":
        return "it is in onnxruntime on macOS"
    if package is None:
        return "no package on PyPI has it; install an onnxruntime that was built with it"
    if name in _PLUGINS:
        return f"pip install {package}"
    if package == "onnxruntime":
        return "pip install --upgrade onnxruntime"
    return f"pip uninstall onnxruntime, then pip install {package}, which takes its place"


def _missing(session: Any, wanted: Sequence[Provider]) -> Provider | None:
    there = session.get_providers()
    return next((one for one in wanted if one.name not in there), None)


def _left_over(session: Any, wanted: Sequence[Provider]) -> str:
    """Say which nodes no provider takes."""
    names = ", ".join(map(str, wanted))
    nodes = nodes_by_provider(session)
    remedy = f'add "{CPU}" to the providers to run them there'
    if not nodes:
        return f"{names} leaves nodes to the CPU; {remedy}"
    kinds = sorted(
        {
            node.op_type
            for part in session.get_provider_graph_assignment_info()
            if part.ep_name == CPU
            for node in part.get_nodes()
        }
    )
    share = f"{nodes.get(CPU, 0)} of {sum(nodes.values())} nodes"
    return f"{names} leaves {share} to the CPU ({', '.join(kinds[:8])}); {remedy}"


def _reason(log: str) -> str:
    """The first error in ONNX Runtime's log, without colours, time and place; empty without one."""
    for line in re.sub(r"\x1b\[[\d;]*m", "", log).splitlines():
        if (found := re.search(r"\[E:onnxruntime[^\]]*\] (.*)", line)) and _REFUSED not in line:
            return _plain(found[1])
    return ""


def _plain(message: str) -> str:
    """A message without the place in the source that threw it, and the codes around it."""
    return re.split(r" FAIL : |\[ERROR\] |&\) ", message)[-1].strip()[:400]


@contextlib.contextmanager
def _logged() -> Iterator[io.StringIO]:
    """What the process's stderr gets meanwhile, where alone ONNX Runtime says why a provider fails."""
    caught = io.StringIO()
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # the process has no stderr
        yield caught
        return
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield caught
            finally:
                os.dup2(kept, 2)
                file.seek(0)
                caught.write(file.read().decode("utf-8", "replace"))
    finally:
        os.close(kept)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)
