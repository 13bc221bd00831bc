"""Starting a process of our own: the same interpreter, the same import path."""

from __future__ import annotations

import sys

__all__ = ["worker_command"]

_START = "import sys; sys.path[:] = {path!r}; from {module} import work; work()"


def worker_command(module: str) -> list[str]:
    """Return the command that imports `module` and calls its `work`."""
    return [sys.executable, "-c", _START.format(path=sys.path, module=module)]
