"""Runs the very bytes of `model.onnx` as their users will: whole, in ONNX Runtime at its default settings.

This happens in a process of its own, because an engine's optimizer may not only answer wrongly, but crash
(ONNX Runtime 1.29 to 1.32 did; `docs/design/portability.md`). Freed memory is overwritten there, so that such
a fault shows at once, not on one machine in ten.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress

import onnxruntime

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.support.worker import worker_command
from zooc_runtime.support.arrays import AnyArray

__all__ = ["check_whole"]

_OVERWRITE_FREED = {"MALLOC_PERTURB_": "165"}
"""glibc's setting (mallopt(3), M_PERTURB); other C libraries ignore it."""


def check_whole(
    model: bytes,
    boundaries: Mapping[str, Mapping[str, str] | None],
    batch: int | None,
    inputs: Iterable[AnyArray],
) -> None:
    """Compare the whole graph with its stages, to the bit.

    Args:
        model: the bytes that will be written.
        boundaries: the manifest's `stages`.
        batch: the network's fixed batch, `None` where it is free.
        inputs: what the graph takes, such as images uint8 `[H, W, channels]`.

    Raises:
        ZoocError: Z0902, the whole graph fails, crashes, or answers otherwise than its stages.
    """
    differences = _ask(model, boundaries, batch, inputs)
    if differences:
        version = onnxruntime.__version__
        raise ZoocError(
            error(
                "Z0902",
                f"ONNX Runtime {version} gives other results for the whole graph than for its stages",
                notes=tuple(differences[:5]),
                hint="this is a bug in zooc or in ONNX Runtime; try another version of onnxruntime, and "
                "report it with the .zoo file",
            )
        )


def _ask(
    model: bytes,
    boundaries: Mapping[str, Mapping[str, str] | None],
    batch: int | None,
    inputs: Iterable[AnyArray],
) -> list[str]:
    """What the worker finds different, or how it died."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        worker_command("zooc.verification.whole_worker"),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env={**os.environ, **_OVERWRITE_FREED},
    ) as process:
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # a worker that died tells by its status
                pickle.dump((model, dict(boundaries), batch), process.stdin)
                for value in inputs:
                    pickle.dump(value, process.stdin)
                    process.stdin.flush()
            answer, messages = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode == 0:
        differences: list[str] = json.loads(answer)
        return differences
    if process.returncode < 0:
        return [f"its process was ended by {signal.Signals(-process.returncode).name}"]
    last = messages.decode("utf-8", "replace").strip().splitlines()[-1:]
    return [*last, f"its process ended with status {process.returncode}"]
