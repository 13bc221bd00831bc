"""Networks of many kinds, with random weights, become integer where they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc.cli.summary import print_package
from zooc.compilation import Request
from zooc.pipeline.compile import WrittenPackage, compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.engine_view import inspect_optimized

pytestmark = pytest.mark.slow
pytest.importorskip("timm")

ZOO = """
model {{ source timm.{name}  weights random(seed=0)  input [batch, 3, {size}, {size}]  classes 10 }}
preprocess {{ Resize([{size}, {size}]) ToTensor() Normalize(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25]) }}
quantize int8 {{ data images("images") }}
package {{ name network }}
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs") / "images"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(4):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def compiled(name: str, size: int, images: Path, cache: Path) -> WrittenPackage:
    """Compiled whole, package and report included."""
    file = images.parent / f"{name}.zoo"
    file.write_text(ZOO.format(name=name, size=size), "utf-8")
    return compile_package(Request(file, images.parent / name, force=True), Context(Cache(cache), Progress()))


def test_a_mobilenet_is_integer_throughout(images, tmp_path) -> None:
    package = compiled("mobilenetv3_small_050", 96, images, tmp_path)
    assert inspect_optimized(package.compiled.body.SerializeToString()).float_operators == {}
    assert package.compiled.quantized is not None and package.compiled.quantized.float_kinds() == []
    assert package.verified.agreement is not None and package.verified.agreement.sqnr_db > 20


def test_in_a_convnext_only_norms_and_gelu_stay_float(images, tmp_path) -> None:
    package = compiled("convnext_atto", 96, images, tmp_path)
    assert package.compiled.quantized is not None
    kinds = package.compiled.quantized.float_kinds()
    assert {k.op for k in kinds if not k.between} == {"LayerNormalization", "Gelu"}
    assert not package.verified.float_layers
    assert package.verified.agreement is not None and package.verified.agreement.sqnr_db > 20


def test_a_vision_transformer_compiles_and_says_what_stays_float(images, tmp_path, capsys) -> None:
    package = compiled("vit_tiny_patch16_224", 224, images, tmp_path)
    assert package.verified.agreement is not None and package.verified.agreement.sqnr_db > 20
    assert {(node.op, node.reason) for node in package.verified.float_layers} == {
        ("MatMul", "multiplies two activations, as attention does, which is left exact"),
        ("FusedMatMul", "multiplies two activations, as attention does, which is left exact"),
    }
    print_package(package)
    said = capsys.readouterr().out
    told = said.partition("still float: ")[2].partition(";")[0].split(", ")
    assert {"25 LayerNormalization", "24 MatMul", "12 Softmax", "12 Gelu"} <= set(told)
    report = (package.folder / "report.html").read_text("utf-8")
    assert "exponentials over a wide range, poor in eight bits" in report
