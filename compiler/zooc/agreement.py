"""How close the compiled network's answers are to the float network's, on the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.quantize.compare import Agreement, compare_logits
from zooc.sessions import open_session

__all__ = ["compare_bodies"]


def compare_bodies(
    float_body: onnx.ModelProto,
    body: onnx.ModelProto,
    batches: Iterable[npt.NDArray[Any]],
    on_batch: Callable[[int], None],
) -> tuple[Agreement, int]:
    """Run both on every batch.

    Returns:
        The agreement of the logits, and the number of images it was measured on.
    """
    sessions = [open_session(model) for model in (float_body, body)]
    logits: list[list[npt.NDArray[Any]]] = [[], []]
    source = body.graph.input[0].name
    for batch in batches:
        for rows, session in zip(logits, sessions, strict=True):
            rows.append(session.run(None, {source: batch})[0])
        on_batch(len(batch))
    expected, got = (np.concatenate(rows) for rows in logits)
    return compare_logits(expected, got), len(expected)
