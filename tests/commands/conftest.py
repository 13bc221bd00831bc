"""A tiny network with images and a `.zoo` file, and the command line to use them with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

from zooc.cli.app import app

SIZE = 24


def write_network(path: Path, seed: int = 0, batch: int | str = "n") -> None:
    """conv, relu, conv, add, relu, pool, gemm."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": 0.3 * rng.standard_normal((8, 3, 3, 3)),
        "b1": 0.1 * rng.standard_normal(8),
        "w2": 0.15 * rng.standard_normal((8, 8, 3, 3)),
        "w3": 0.5 * rng.standard_normal((8, 4)),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["stem"], "stem/Conv", pads=[1] * 4),
        helper.make_node("Relu", ["stem"], ["stem_relu"], "stem/Relu"),
        helper.make_node("Conv", ["stem_relu", "w2"], ["block"], "block/Conv", pads=[1] * 4),
        helper.make_node("Add", ["block", "stem_relu"], ["sum"], "block/Add"),
        helper.make_node("Relu", ["sum"], ["block_relu"], "block/Relu"),
        helper.make_node("GlobalAveragePool", ["block_relu"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w3"], ["logits"], "fc/Gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def write_images(folder: Path, count: int) -> None:
    """JPEG files of several sizes."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(2)
    for index in range(count):
        small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        small.resize((40 + index % 7, 36), Image.Resampling.BICUBIC).save(folder / f"{index:03}.jpg")


DESCRIPTION = f"""
let size = {SIZE}
let mean = 0.5
model {{ source onnx("net.onnx")  input [batch, 3, size, size]  classes 4 }}
preprocess {{ ECenterCrop(size)  ToTensor()  Normalize(mean=[mean, mean, mean], std=[0.5, 0.5, 0.5]) }}
quantize int8 {{ calibrate percentile(99.9)  data images("images") }}
postprocess {{ softmax  topk 2 }}
package {{ name tiny }}
"""


@dataclass
class Workplace:
    """A folder in which `zooc` is run, with a cache of its own."""

    folder: Path

    def zooc(self, *arguments: str, code: int = 0) -> str:
        """What a command says, on both streams, after it ended with `code`."""
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result.output

    def refused(self, diagnostic: str, *arguments: str) -> str:
        """What a command says that fails with this code, on one line."""
        said = " ".join(self.zooc(*arguments, code=1).split())
        assert f"error[{diagnostic}]" in said
        return said

    def bytes(self, name: str) -> bytes:
        """A file's content."""
        return (self.folder / name).read_bytes()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """The tiny project, with nine images, as the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    write_network(tmp_path / "net.onnx")
    write_images(tmp_path / "images", 9)
    (tmp_path / "tiny.zoo").write_text(DESCRIPTION, "utf-8")
    return Workplace(tmp_path)
