"""OpenVINO's devices: which are there, and what each is told."""

from __future__ import annotations

from typing import Any

from ..errors import PackageError

__all__ = ["check_device", "properties_of", "takes_any_batch"]

_VIRTUAL = ("AUTO", "MULTI", "HETERO")


def check_device(core: Any, device: str) -> None:
    """Raise PackageError unless OpenVINO has the device; a virtual one that names others needs these.

    Args:
        core: OpenVINO's.
        device: as `read_placement` gives it.
    """
    there = list(core.available_devices)
    first, _, others = device.partition(":")
    names = [first, *(name for name in others.split(",") if name and not name.startswith("-"))]
    for name in names:
        known = name in _VIRTUAL or name.removesuffix(".0") in there
        if known or any(one.partition(".")[0] == name for one in there):
            continue
        raise PackageError(
            f"OpenVINO finds no device {name} here; available are {', '.join(there)}. "
            "If the machine has one, install its driver"
        )


def properties_of(device: str, streams: int, threads: int) -> dict[str, Any]:
    """Return what the device is told: float layers in float32 where it can; threads are the CPU's.

    An NPU computes in float16 and integers, so that nothing is asked of it.
    """
    properties: dict[str, Any] = {}
    if "NPU" not in device:
        # By default float layers run in bf16 where the CPU has it, and in f16 on a GPU.
        properties = {"NUM_STREAMS": streams, "INFERENCE_PRECISION_HINT": "f32"}
    if device == "CPU":
        properties["INFERENCE_NUM_THREADS"] = streams * threads
    return properties


def takes_any_batch(device: str) -> bool:
    """Whether the device compiles a network of a free batch; an NPU compiles fixed shapes."""
    return "NPU" not in device
