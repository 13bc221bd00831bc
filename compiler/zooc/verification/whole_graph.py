"""Runs the very bytes of `model.onnx` as their users will: whole, in ONNX Runtime at its default settings.

This happens in a process of its own, because an engine's optimizer may not only answer wrongly, but crash
(ONNX Runtime 1.29 to 1.32 did; `docs/design/portability.md`). Freed memory is overwritten there, so that such
a fault shows at once, not on one machine in ten.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from zooc.diagnostics import ZoocError, error
from zooc_runtime.arrays import AnyArray

__all__ = ["check_whole"]

_START = "import sys; sys.path[:] = {path!r}; from zooc.verification.whole_worker import work; work()"
_OVERWRITE_FREED = {"MALLOC_PERTURB_": "165"}
"""glibc's setting (mallopt(3), M_PERTURB); other C libraries ignore it."""


def check_whole(
    model: bytes,
    boundaries: Mapping[str, Mapping[str, str] | None],
    batch: int | None,
    inputs: Iterable[AnyArray],
) -> int:
    """Compare the whole graph with its stages, to the bit.

    Args:
        model: the bytes that will be written.
        boundaries: the manifest's `stages`.
        batch: the network's fixed batch, `None` where it is free.
        inputs: what the graph takes, such as images uint8 `[H, W, 3]`.

    Returns:
        How many inputs were compared.

    Raises:
        ZoocError: Z0902, the whole graph fails, crashes, or answers otherwise than its stages; Z0702, no room
            for temporary files.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="zooc-") as name:
            folder = Path(name)
            (folder / "model.onnx").write_bytes(model)
            (folder / "task.json").write_text(json.dumps({"stages": boundaries, "batch": batch}), "utf-8")
            count = 0
            for count, value in enumerate(inputs, 1):
                np.save(folder / f"{count}.npy", value, allow_pickle=False)
            differences = _ask(folder)
    except OSError as problem:
        raise ZoocError(
            error(
                "Z0702",
                f"cannot keep the graph for a moment: {problem.strerror or problem}",
                hint=f"make room in {tempfile.gettempdir()}, or set TMPDIR to another folder",
            )
        ) from problem
    if differences:
        raise _wrong(differences)
    return count


def _ask(folder: Path) -> list[str]:
    command = [sys.executable, "-c", _START.format(path=sys.path), os.fspath(folder)]
    done = subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, **_OVERWRITE_FREED}, text=True
    )
    if done.returncode == 0:
        differences: list[str] = json.loads(done.stdout)
        return differences
    if done.returncode < 0:
        return [f"its process was ended by {signal.Signals(-done.returncode).name}"]
    lines = done.stderr.strip().splitlines() or [f"its process ended with status {done.returncode}"]
    return [lines[-1]]


def _wrong(differences: list[str]) -> ZoocError:
    return ZoocError(
        error(
            "Z0902",
            f"ONNX Runtime {onnxruntime.__version__} answers otherwise with the whole graph than with its stages",
            notes=tuple(differences[:5]),
            hint="this is a bug in zooc or in ONNX Runtime; try another version of onnxruntime, and report "
            "it with the .zoo file",
        )
    )
