"""`model.onnx` as it lies in the package, whole, in every runtime that its users have.

0 pixels may differ in ONNX Runtime, Node.js and the browser, and logits are within the manifest's tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zooc.consumers import check_consumer
from zooc_runtime.verify import verify

pytestmark = pytest.mark.slow

NAMES = (
    "digits",
    "digits_iresnet",
    "digits_wide_resnet",
    "digits_fp32",
    "digits_fp16",
    "digits_vdsp",
    "digits_nv12",
    "digits_opencv",
    "digits_letterbox",
    "digits_tensor",
    "resnest50",
    "iresnet50",
    "wide_resnet50_2",
    "transformer",
)
Packages = Callable[[str], Any]


@pytest.mark.parametrize("name", NAMES)
def test_in_onnx_runtime(package: Packages, name: str) -> None:
    assert list(verify(package(name).folder, "onnxruntime")) == []


@pytest.mark.parametrize("consumer", ["node", "web", "openvino"])
@pytest.mark.parametrize("name", NAMES)
def test_in(package: Packages, request: pytest.FixtureRequest, name: str, consumer: str) -> None:
    if consumer == "openvino":
        pytest.importorskip("openvino")
        base = Path.cwd()
    else:
        base = request.getfixturevalue("node_modules")
    given = package(name)
    batch = given.manifest["model"]["input"]["shape"][0]
    found = check_consumer(consumer, given.model, given.goldens, given.tolerance, batch, base)
    print(name, found.in_words())
    assert found.logits <= given.tolerance
    if "pixels" in given.goldens[0]:
        assert found.pixels > 0
        assert found.pixels_differing == 0 or (consumer == "openvino" and found.grey_levels == 1)
