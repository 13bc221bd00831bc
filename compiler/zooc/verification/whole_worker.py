"""The process that runs the whole graph: it compares, prints the differences as JSON, and ends."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np

from zooc_runtime.errors import PackageError
from zooc_runtime.whole import Whole

__all__ = ["work"]


def work() -> None:
    """Compares in the folder that the command line names; see `check_whole` for what lies there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which decides
    folder = Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text("utf-8"))
    inputs = (
        np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"), key=lambda p: int(p.stem))
    )
    try:
        whole = Whole((folder / "model.onnx").read_bytes(), task["stages"], task["batch"])
        differences = list(whole.differences(inputs))
    except PackageError as problem:
        differences = [str(problem)]
    print(json.dumps(differences))  # noqa: T201 - the answer
