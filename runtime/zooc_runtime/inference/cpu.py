"""The machine: its cores and memory, and what its CPU does with integers (exact or saturating, AMX)."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "available_cores",
    "cpu_flags",
    "cpu_name",
    "has_amx",
    "peak_memory_mb",
    "saturating_pairs",
    "warn_unless_proven",
]

_CPUINFO = Path("/proc/cpuinfo")
_X86 = frozenset({"x86_64", "amd64", "i386", "i686", "x86"})
_EXACT = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""With any of these the engines add products of 8 bits in 32 bits at once."""

_warned: set[str] = set()


def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str] | None:
    """Return what the first core can do, as Linux names it; `None` where the system does not tell."""
    found = _entry(cpuinfo, "flags")
    return None if found is None else frozenset(found.split())


def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """Return the model as the system names it, at least the architecture."""
    return _entry(cpuinfo, "model name") or platform.processor() or platform.machine()


def _entry(cpuinfo: Path, name: str) -> str | None:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(name)), None)
    return None if found is None else found.partition(":")[2].strip()


def has_amx(flags: frozenset[str] | None = None) -> bool:
    """Whether this CPU multiplies int8 matrices in tiles (Intel's AMX). False where that is not known."""
    known = cpu_flags() if flags is None else flags
    return known is not None and "amx_int8" in known


def saturating_pairs(flags: frozenset[str] | None = None, machine: str | None = None) -> bool:
    """Whether this CPU adds pairs of products in 16 bits: x86 without VNNI. False where that is not known."""
    if (platform.machine() if machine is None else machine).lower() not in _X86:
        return False
    known = cpu_flags() if flags is None else flags
    return known is not None and not known & _EXACT


def warn_unless_proven(name: str, quantization: Mapping[str, Any]) -> None:
    """One warning a package and process, if this CPU may saturate in layers that are not proven against it.

    Args:
        name: the package's.
        quantization: that entry of its manifest.
    """
    verdict = quantization.get("saturation")
    if not verdict or name in _warned or "avx2" in verdict["proven"] or not saturating_pairs():
        return
    _warned.add(name)
    layers = len(verdict["at_risk"])
    warnings.warn(
        f"{name}: this CPU has no VNNI and adds pairs of products in 16 bits, which can overflow in "
        f"{layers} of its layers: classes may be wrong. Compile it with `target cpu(any)` in its "
        "`quantize` block",
        RuntimeWarning,
        stacklevel=3,
    )


def available_cores() -> int:
    """Cores this process may use: its affinity, or a container's quota where that is less; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        return cores  # no such quota here
    return max(1, cores)


def peak_memory_mb() -> float:
    """Return the most resident memory this process has had, in MiB; 0 where the system does not tell."""
    try:
        # VmHWM, because ru_maxrss of a spawned process starts at its parent's.
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
