"""A tiny project for tests of the whole pipeline: a network, images, labels and a `.zoo` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIZE, CLASSES = 32, 4


def network(path: Path) -> onnx.ModelProto:
    """conv, relu, residual conv, pool, fc: small, with everything int8 has to handle."""
    rng = np.random.default_rng(0)
    shapes = {
        "w1": (8, 3, 3, 3),
        "b1": (8,),
        "w2": (8, 8, 3, 3),
        "b2": (8,),
        "w3": (8, CLASSES),
        "b3": (CLASSES,),
    }
    scales = {"w1": 0.3, "w2": 0.15, "w3": 0.5}
    weights = {k: scales.get(k, 0.1) * rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c1"], "stem/Conv", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"], "stem/Relu"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "block/Conv", pads=[1] * 4),
        helper.make_node("Add", ["c2", "r1"], ["a"], "block/Add"),
        helper.make_node("Relu", ["a"], ["r2"], "block/Relu"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"], "fc/Gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return model


DESCRIPTION = f"""
let size = {SIZE}
model {{ source onnx("net.onnx")  input [batch, 3, size, size]  classes {CLASSES} }}
preprocess {{
  ECenterCrop(size)
  ToTensor()
  Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
}}
quantize int8 {{ calibrate percentile(99.99)  data images("images", count=12, seed=1) }}
postprocess {{ softmax  topk 2  labels "labels.txt" }}
package {{ name tiny  version "1.2.3" }}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `.zoo` file, a network, images and labels."""
    folder = tmp_path_factory.mktemp("project")
    network(folder / "net.onnx")
    rng = np.random.default_rng(2)
    (folder / "images").mkdir()
    for index in range(16):
        small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        small.resize((90 + index, 70), Image.Resampling.BICUBIC).save(folder / "images" / f"{index}.jpg")
    (folder / "labels.txt").write_text("ant\nbee\ncat\ndog\n", "utf-8")
    (folder / "tiny.zoo").write_text(DESCRIPTION, "utf-8")
    return folder
