"""What a benchmark ran on, and a watch over the memory of what it runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

_TOOLS = ("zooc", "onnxruntime", "onnx", "nncf", "openvino", "numpy", "Pillow")
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")


def machine() -> dict[str, str]:
    """Processor, cores, memory, load, and versions of the tools that are installed."""
    cpu, flags = _processor()
    found = {}
    for tool in _TOOLS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[tool] = metadata.version(tool)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": cpu,
        "instructions": ", ".join(f for f in _FEATURES if f in flags),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "load average before": f"{os.getloadavg()[0]:.1f}",
        "versions": ", ".join(f"{name} {version}" for name, version in found.items()),
    }


def sources_digest() -> str:
    """A short hash of the sources that are measured: they may change under a long run, or be uncommitted."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[1]
    for path in sorted([*root.glob("compiler/zooc/**/*.py"), *root.glob("runtime/zooc_runtime/**/*.py")]):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _processor() -> tuple[str, set[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    pairs = dict(line.split(":", 1) for line in lines if ":" in line)
    keys = {key.strip(): value.strip() for key, value in pairs.items()}
    return keys.get("model name", platform.machine()), set(keys.get("flags", "").split())


def watch(process: subprocess.Popen[bytes] | subprocess.Popen[str], limit_gb: float) -> bool:
    """Waits for the process, and kills it when its resident memory exceeds the limit.

    Returns:
        Whether it was killed. Where there is no `/proc` there is no limit.
    """
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        with contextlib.suppress(OSError):
            resident = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
            if resident and int(resident[0].split()[1]) * 1024 > limit_gb * 1e9:
                process.kill()
                process.wait()
                return True
        time.sleep(0.1)
    return False
