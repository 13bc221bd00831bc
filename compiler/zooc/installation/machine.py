"""The machine that this process sees: its processor, the cores and the memory that it may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from zooc.installation.finding import Finding
from zooc_runtime.inference.cpu import available_cores, cpu_flags, cpu_name

__all__ = ["find_machine"]

_FEATURES = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "AMX int8": ("amx_int8",),
    "BF16": ("avx512_bf16", "amx_bf16"),
}
"""What engines use of a processor of the x86 family, with Linux's names for it."""

_LITTLE = 2 << 30
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def find_machine() -> list[Finding]:
    """Return the findings."""
    flags = cpu_flags()
    features = None
    if flags is not None:
        features = [name for name, known in _FEATURES.items() if not flags.isdisjoint(known)]
    told = "features unknown on this system" if features is None else ", ".join(features) or "no AVX2"
    processor = f"{cpu_name()} ({platform.machine()}): {told}"
    facts = {"cpu": cpu_name(), "architecture": platform.machine(), "features": features}
    return [Finding("machine", "processor", "ok", processor, facts=facts), _cores(), _memory()]


def _cores() -> Finding:
    usable, all_cores = available_cores(), os.cpu_count() or 1
    detail = f"{usable} of {all_cores} may be used"
    if usable < all_cores:
        detail += " (the process's affinity, or the container's quota)"
    return Finding("machine", "cores", "ok", detail, facts={"usable": usable, "all": all_cores})


def _memory(limits: tuple[str, ...] = _LIMITS) -> Finding:
    """The machine's, or a container's limit where that is less."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return Finding("machine", "memory", "ok", "unknown on this system", facts={"bytes": None})
    usable = min([total, *(limit for path in limits if (limit := _number(path)) is not None)])
    detail = f"{usable / 2**30:.1f} GiB" + (
        f", the container's limit (the machine has {total / 2**30:.1f} GiB)" if usable < total else ""
    )
    facts = {"bytes": usable, "machine_bytes": total}
    if usable < _LITTLE:
        remedy = "compile large networks on a machine with more"
        return Finding("machine", "memory", "warning", f"{detail}, which is little", remedy, facts)
    return Finding("machine", "memory", "ok", detail, facts=facts)


def _number(path: str) -> int | None:
    """What the file says; `None` where it is missing or says `max`."""
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
