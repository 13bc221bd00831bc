"""From results to the body of an `infer` answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..inference.results import Prediction, Result
from ..inference.stamps import Stamps
from ..support.arrays import F32Array
from .limits import Refusal
from .request import InferRequest, WantedOutput
from .tensors import to_binary

__all__ = ["classes_to_name", "write_answer"]


def classes_to_name(request: InferRequest) -> int:
    """Return how many classes the results must rank for all that the request asks for."""
    return max(wanted.classes or wanted.output.head.topk for wanted in request.outputs)


def write_answer(
    request: InferRequest, name: str, version: str, results: Sequence[Result], stamps: Sequence[Stamps]
) -> tuple[bytes, int | None]:
    """Return the body, and the length of its JSON if binary data follows.

    Raises:
        Refusal: 400, scores that are not finite, which only absurd tensors give.
    """
    document: dict[str, Any] = {"model_name": name, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    if request.timing:
        document["parameters"] = _times(stamps)
    document["outputs"] = []
    behind: list[bytes] = []
    for wanted in request.outputs:
        entry, data = _output(wanted, results)
        document["outputs"].append(entry)
        if data is not None:
            behind.append(data)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    return (b"".join([text, *behind]), len(text)) if behind else (text, None)


def _output(wanted: WantedOutput, results: Sequence[Result]) -> tuple[dict[str, Any], bytes | None]:
    output = wanted.output
    own = [result.heads[output.head.name] if result.heads else result for result in results]
    numbers: F32Array = np.stack([result.probabilities for result in own])
    if not np.isfinite(numbers).all():
        raise Refusal(400, f'output "{output.name}" is not finite for this input; normalize the tensor')
    entry: dict[str, Any] = {"name": output.name}
    if output.ranked or wanted.classes is not None:
        count = wanted.classes or output.head.topk
        rows = [[_class(one, bool(output.head.labels)) for one in result.topk[:count]] for result in own]
        entry |= {"datatype": "BYTES", "shape": [len(rows), len(rows[0])]}
        texts = [text for row in rows for text in row]
        if not wanted.binary:
            return entry | {"data": texts}, None
        data = to_binary(text.encode("utf-8") for text in texts)
    else:
        entry |= {"datatype": "FP32", "shape": list(numbers.shape)}
        if not wanted.binary:
            return entry | {"data": numbers.ravel().tolist()}, None
        data = to_binary(numbers)
    return entry | {"parameters": {"binary_data_size": len(data)}}, data


def _class(one: Prediction, named: bool) -> str:
    """Triton's `score:index:label`; the score in the fewest digits that give the same float32."""
    score = f"{np.float32(one.probability)!s}:{one.index}"
    return f"{score}:{one.label}" if named else score


def _times(stamps: Sequence[Stamps]) -> dict[str, int]:
    """Microseconds in each stage, of the image that took longest there, and the largest batch."""
    stages = [one.seconds for one in stamps]
    longest = {f"{stage}_us": round(1e6 * max(one[stage] for one in stages)) for stage in stages[0]}
    return {**longest, "batch": max(one.batch for one in stamps)}
