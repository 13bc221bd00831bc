"""A package with activation functions runs in OpenVINO in a form of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime import open_package
from zooc_runtime.commands.verify import verify
from zooc_runtime.inference import engines


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """The package of the project's network with a hard-swish and a SiLU instead of its ReLUs."""
    network = onnx.load(project / "net.onnx")
    nodes = []
    for node in network.graph.node:
        if node.name == "stem/Relu":
            nodes.append(helper.make_node("HardSwish", node.input, node.output, "stem/HardSwish"))
        elif node.name == "block/Add":
            nodes.append(helper.make_node("Sigmoid", ["c2"], ["gate"], "block/Sigmoid"))
            nodes.append(helper.make_node("Mul", ["c2", "gate"], ["silu"], "block/Mul"))
            nodes.append(helper.make_node("Add", ["silu", "r1"], node.output, node.name))
        else:
            nodes.append(node)
    del network.graph.node[:]
    network.graph.node.extend(nodes)
    onnx.save(network, project / "gated.onnx")
    request = Request(
        project / "tiny.zoo",
        tmp_path / "out",
        overrides=('model.source=onnx("gated.onnx")', "package.engines=[onnxruntime, openvino]"),
    )
    compile_package(request, Context(Cache(None), Progress()))
    return tmp_path / "out" / "tiny"


@pytest.mark.slow
def test_a_package_answers_in_openvinos_form_and_is_verified_as_written(
    project: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    model = open_package(folder, "openvino")
    pixels = np.stack([model.pixels(file) for file in sorted((project / "images").glob("*.jpg"))])
    mean = np.reshape([0.485, 0.456, 0.406], (1, 3, 1, 1))
    std = np.reshape([0.229, 0.224, 0.225], (1, 3, 1, 1))
    feed = ((pixels / 255 - mean) / std).astype(np.float32)
    wanted = onnxruntime.InferenceSession(project / "gated.onnx").run(None, {"input": feed})[0]
    fused = model.run_tensor(pixels)
    assert np.linalg.norm(fused - wanted) <= 0.05 * np.linalg.norm(wanted)
    monkeypatch.setattr(engines, "fuse_activations", lambda model: model)
    as_written = open_package(folder, "openvino").run_tensor(pixels)
    assert np.abs(fused - as_written).max() > 0
    monkeypatch.delattr(engines, "fuse_activations")
    assert list(verify(folder, "openvino")) == []
