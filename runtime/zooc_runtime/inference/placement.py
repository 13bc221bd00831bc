"""Where the network runs: execution providers of ONNX Runtime, or a device of OpenVINO; read and checked.

The names are checked here, before anything is loaded. Whether a provider or device is there, its engine knows
(`sessions.py`, `devices.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import PackageError

__all__ = ["CPU", "DEFAULT", "PROVIDERS", "Placement", "Provider", "find_provider", "read_placement"]

CPU = "CPUExecutionProvider"
_SUFFIX = "ExecutionProvider"

PROVIDERS: Mapping[str, str | None] = {
    CPU: "onnxruntime",
    "CUDAExecutionProvider": "onnxruntime-gpu",
    "TensorrtExecutionProvider": "onnxruntime-gpu",
    "NvTensorRTRTXExecutionProvider": "onnxruntime-ep-nv-tensorrt-rtx",
    "OpenVINOExecutionProvider": "onnxruntime-ep-openvino",
    "QNNExecutionProvider": "onnxruntime-qnn",
    "DmlExecutionProvider": "onnxruntime-directml",
    "CoreMLExecutionProvider": "onnxruntime",
    "WebGpuExecutionProvider": "onnxruntime-ep-webgpu",
    "MIGraphXExecutionProvider": "onnxruntime-migraphx",
    "CANNExecutionProvider": "onnxruntime-cann",
    "AzureExecutionProvider": "onnxruntime",
    "XnnpackExecutionProvider": None,
    "DnnlExecutionProvider": None,
    "VitisAIExecutionProvider": None,
}
"""ONNX Runtime's execution providers that are known by name, and the package on PyPI that has them.

Sources: onnxruntime.ai/docs/execution-providers, and the packages. `None`: none on PyPI has it.
"""

_SHORT = {name.removesuffix(_SUFFIX).lower(): name for name in PROVIDERS} | {
    "directml": "DmlExecutionProvider"
}
_FIXED_BATCH = frozenset(
    {
        "TensorrtExecutionProvider",
        "NvTensorRTRTXExecutionProvider",
        "QNNExecutionProvider",
        "CoreMLExecutionProvider",
        "VitisAIExecutionProvider",
    }
)
_DEVICES = ("CPU", "GPU", "NPU", "AUTO", "MULTI", "HETERO")


@dataclass(frozen=True)
class Provider:
    """An execution provider with its options, as ONNX Runtime takes them."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Placement:
    """Where the network runs, as far as that was asked for; by default on the CPU.

    Attributes:
        providers: of ONNX Runtime, in order of preference; without `CPU` among them no node may run there.
        device: of OpenVINO.
        fallback: whether providers that are not to be had are left out, with a warning.
    """

    providers: tuple[Provider, ...] = ()
    device: str | None = None
    fallback: bool = False

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU alone was asked for, or nothing."""
        return self.device in (None, "CPU") and all(one.name == CPU for one in self.providers)

    @property
    def fixed_batch(self) -> bool:
        """Whether a provider takes fixed shapes alone, runs them faster, or compiles anew for each shape."""
        return any(one.name in _FIXED_BATCH for one in self.providers)

    def __str__(self) -> str:
        return ",".join(map(str, self.providers)) or self.device or ""

    @property
    def arguments(self) -> dict[str, Any]:
        """The placement as arguments of `open_package`."""
        return {"providers": self.providers or None, "device": self.device, "fallback": self.fallback}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Placement:
        """Return what `dataclasses.asdict` and JSON made of a placement."""
        providers = tuple(
            Provider(one["name"], tuple((key, value) for key, value in one["options"]))
            for one in document["providers"]
        )
        return cls(providers, document["device"], document["fallback"])


DEFAULT = Placement()


def read_placement(
    engine: str, providers: object = None, device: object = None, fallback: bool = False
) -> tuple[str, Placement]:
    """Return the engine and the placement that the arguments of `load` mean.

    Args:
        engine: `auto`, or one of the engines; what is not known is not looked at here.
        providers: names of execution providers, full or short, or pairs of a name and its options.
        device: a device of OpenVINO.
        fallback: see `Placement`.

    Raises:
        PackageError: an unknown provider or device, or arguments that contradict each other.
    """
    if providers is not None and device is not None:
        raise PackageError("providers are of ONNX Runtime and device is of OpenVINO; give only one of them")
    if providers is not None:
        if engine == "openvino":
            raise PackageError('providers are of ONNX Runtime; with engine="openvino" give device="GPU", say')
        chosen = "onnxruntime" if engine == "auto" else engine
        return chosen, Placement(_read_providers(providers), None, fallback)
    if fallback:
        raise PackageError("fallback leaves out providers that are not to be had; give providers with it")
    if device is None:
        return engine, Placement()
    if engine == "onnxruntime":
        raise PackageError(
            'device is of OpenVINO; with engine="onnxruntime" give providers=["CUDAExecutionProvider"], say'
        )
    return "openvino" if engine == "auto" else engine, Placement(device=_read_device(device))


def find_provider(name: str) -> str | None:
    """Return a provider's full name, of `cuda` or `CUDA` `CUDAExecutionProvider`; `None` if it is unknown."""
    return _SHORT.get(name.lower().removesuffix(_SUFFIX.lower()))


def _read_providers(given: object) -> tuple[Provider, ...]:
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        raise PackageError(f'providers is {given!r}; a list is expected: providers=["{CPU}"]')
    if not given:
        raise PackageError(f'providers is empty; name some, or the CPU alone: providers=["{CPU}"]')
    found: list[Provider] = []
    for one in given:
        provider = _read_provider(one)
        if any(provider.name == earlier.name for earlier in found):
            raise PackageError(f"{provider} is among the providers twice; keep one of the two")
        found.append(provider)
    return tuple(found)


def _read_provider(given: object) -> Provider:
    if isinstance(given, Provider):
        return given
    name, options = given, {}
    if isinstance(given, (tuple, list)) and len(given) == 2:
        name, options = given
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise PackageError(
            f"{given!r} among the providers is neither a name nor a pair of a name and its options, as "
            '("CUDAExecutionProvider", {"device_id": 1})'
        )
    return Provider(
        _full_name(name), tuple((str(key), str(value)) for key, value in sorted(options.items(), key=str))
    )


def _full_name(name: str) -> str:
    if full := find_provider(name):
        return full
    bare = name.lower().partition("exec")[0]  # the ending may be mistyped as well
    if near := difflib.get_close_matches(bare, _SHORT, 1):
        raise PackageError(f'unknown execution provider "{name}"; did you mean "{_SHORT[near[0]]}"?')
    if name.endswith(_SUFFIX) and name != _SUFFIX:
        return name  # ONNX Runtime will know, or not
    raise PackageError(f'unknown execution provider "{name}"; known are {", ".join(PROVIDERS)}')


def _read_device(given: object) -> str:
    """A device, upper case; virtual ones may name others: `AUTO:GPU,CPU`."""
    if not isinstance(given, str):
        raise PackageError(f'device is {given!r}; a name is expected, as "GPU"')
    device = given.upper()
    first, _, others = device.partition(":")
    for name in (first, *filter(None, others.split(","))):
        kind = name.lstrip("-").partition(".")[0]
        if kind in _DEVICES:
            continue
        near = difflib.get_close_matches(kind, _DEVICES, 1)
        advice = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(_DEVICES)}"
        raise PackageError(f'unknown device "{given}"; {advice}')
    return device
