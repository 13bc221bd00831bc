"""`model.onnx` as it lies in the package, whole, in every runtime that its users have.

0 pixels may differ in ONNX Runtime, Node.js and the browser, and logits are within the manifest's tolerance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zooc.consumers import check_consumer
from zooc_runtime.verify import verify

pytestmark = pytest.mark.slow


def test_in_onnx_runtime(given: Any) -> None:
    assert list(verify(given.folder, "onnxruntime")) == []


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
        assert found.pixels_differing == 0 or (consumer == "openvino" and found.grey_levels == 1)


def test_the_body_alone_in_openvino(given: Any) -> None:
    """As `load(engine="openvino")` runs it."""
    pytest.importorskip("openvino")
    assert list(verify(given.folder, "openvino")) == []
