"""`model.onnx` as it lies in the package, whole, in every runtime that its users have.

0 pixels may differ in ONNX Runtime, Node.js and the browser, and logits are within the manifest's tolerance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from zooc.consumers.check import check_consumer
from zooc_runtime.commands.verify import verify
from zooc_runtime.package.stages import STAGE_NAMES, Graph

pytestmark = pytest.mark.slow


def test_in_onnx_runtime(given: Any) -> None:
    assert list(verify(given.folder, "onnxruntime")) == []


@pytest.mark.parametrize("level", ["DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL"])
def test_at_every_optimization_level(given: Any, level: str) -> None:
    """The whole equals its stages to the bit, both optimized as far as that."""

    def answer(model: bytes, value: np.ndarray) -> np.ndarray:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        result: np.ndarray = session.run(None, {session.get_inputs()[0].name: value})[0]
        return result

    golden = given.goldens[1]
    first = value = next(iter(golden.values()))
    graph = Graph(given.model)
    for name in STAGE_NAMES:
        if boundary := given.manifest["stages"][name]:
            value = answer(graph.cut(name, [boundary["input"]], [boundary["output"]]), value)
    np.testing.assert_array_equal(answer(given.model, first), value)


@pytest.mark.parametrize("consumer", ["node", "web", "openvino"])
def test_in(given: Any, request: pytest.FixtureRequest, consumer: str) -> None:
    if consumer == "openvino":
        pytest.importorskip("openvino")
        base = Path.cwd()
    else:
        base = request.getfixturevalue("node_modules")
    batch = given.manifest["model"]["input"]["shape"][0]
    found = check_consumer(consumer, given.model, given.goldens, given.tolerance, batch, base)
    print(given.name, found.in_words())
    assert found.logits <= given.tolerance
    if "pixels" in given.goldens[0]:
        assert found.pixels > 0
        assert found.pixels_differing == 0 or (consumer == "openvino" and found.grey_levels <= 2)


def test_the_body_alone_in_openvino(given: Any) -> None:
    """As `load(engine="openvino")` runs it."""
    pytest.importorskip("openvino")
    assert list(verify(given.folder, "openvino")) == []
