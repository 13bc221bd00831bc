"""What this process may use of the machine, and what it has used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["available_cores", "peak_memory_mb"]


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
    """The most resident memory this process has had, in MiB; 0 where the system does not tell."""
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
