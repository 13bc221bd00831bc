"""Packages on execution providers whose plugins are installed: OpenVINO's on the CPU, QNN's in its simulator.

pip install onnxruntime-qnn onnxruntime-ep-openvino
python -m pytest tests/consumers/test_providers.py -rP     # prints the figures that the documents quote
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import sqnr_db
from zooc_runtime import open_package

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
DESCRIPTION = """
model {{ source onnx("{source}") input [batch, 3, 64, 64] classes 10 }}
preprocess {{ ECenterCrop(64) ToTensor() Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]) }}
quantize int8 {{ calibrate max  data images("images")  target {target} }}
package {{ name {name} }}
"""
NETWORKS = ("resnest", "iresnet", "wide_resnet")


def _compiled(shared: Path, network: str, target: str) -> Path:
    name = f"{network}_{target.partition('(')[0]}"
    file = shared / f"{name}.zoo"
    source = (DIGITS / f"digits_{network}.onnx").as_posix()
    file.write_text(DESCRIPTION.format(source=source, target=target, name=name), "utf-8")
    compile_package(Request(file, shared / name, force=True), Context(Cache(None), Progress()))
    return shared / name / name


def _images(folder: Path) -> list[Path]:
    return sorted((folder / "images").glob("*.png"))


@pytest.mark.parametrize("network", NETWORKS)
def test_qnn_runs_every_node_of_its_target(shared: Path, network: str) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="onnxruntime-qnn is not installed")
    backend = Path(import_module("onnxruntime_qnn").__file__ or "").with_name("libQnnHtp.so")
    if not backend.exists():
        pytest.skip("this onnxruntime-qnn has no simulator of the HTP")
    folder = _compiled(shared, network, "qnn")
    here = open_package(folder, "onnxruntime")
    there = open_package(folder, providers=[("qnn", {"backend_path": str(backend), "device_type": "CPU"})])
    pixels = np.stack([here.pixels(path) for path in _images(shared)])
    expected, got = here.run_tensor(pixels), there.run_tensor(pixels)
    noise = sqnr_db(expected, got)
    print(f"{network}: {there.runs_on} in the simulator, {noise:.1f} dB against the CPU")
    assert set(there.runs_on) == {"QNNExecutionProvider"}
    assert noise > 25


@pytest.mark.parametrize("network", NETWORKS)
def test_openvinos_plugin_runs_every_node(shared: Path, network: str) -> None:
    pytest.importorskip("onnxruntime_ep_openvino", reason="onnxruntime-ep-openvino is not installed")
    folder = _compiled(shared, network, "cpu(vnni)")
    here = open_package(folder, "onnxruntime")
    there = open_package(folder, providers=[("openvino", {"device_type": "CPU"})])
    pixels = np.stack([here.pixels(path) for path in _images(shared)])
    noise = sqnr_db(here.run_tensor(pixels), there.run_tensor(pixels))
    print(f"{network}: {there.runs_on}, {noise:.1f} dB against ONNX Runtime's CPU")
    assert set(there.runs_on) == {"OpenVINOExecutionProvider"}
    assert noise > 25
