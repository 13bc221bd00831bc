"""Whether a library can be imported, tried in a process of its own, which may crash or hang."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LIMIT", "Probed", "probe"]

LIMIT = 120.0
"""Seconds after which an import is given up: torch on a cold, busy disk takes tens of them."""

_SCRIPT = """
import importlib, json, sys
name = sys.argv[1]
sys.path[:] = json.loads(sys.argv[2])
module = importlib.import_module(name)
facts = {}
if name == "onnxruntime":
    facts["providers"] = module.get_available_providers()
elif name == "openvino":
    core = module.Core()
    facts["devices"] = {one: core.get_property(one, "FULL_DEVICE_NAME") for one in core.available_devices}
elif name == "PIL":
    from PIL import features
    version = features.version_feature("libjpeg_turbo") if features.check("libjpeg_turbo") else None
    facts["libjpeg_turbo"] = version
elif name == "torch":
    facts["cuda"] = module.cuda.is_available()
print("\\n" + json.dumps(facts))
"""


@dataclass(frozen=True, slots=True)
class Probed:
    """How an import went: what the library says of itself, or why it failed (`None`: it did not)."""

    facts: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None


def probe(module: str, limit: float = LIMIT) -> Probed:
    """Import a module as this process would, in another one.

    Args:
        module: its name in `import`.
        limit: seconds to wait.
    """
    command = [sys.executable, "-c", _SCRIPT, module, json.dumps(sys.path)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            text=True,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Probed(failure=f"importing {module} did not end within {limit:g} seconds")
    except OSError as error:
        return Probed(failure=f"{sys.executable} cannot be started ({error.strerror})")
    if done.returncode < 0:
        return Probed(failure=f"importing {module} crashes Python ({_signal(-done.returncode)})")
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return Probed(failure=said[-1] if said else f"importing {module} ends Python ({done.returncode})")
    try:
        return Probed(facts=json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        return Probed(failure=f"importing {module} ends Python")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
