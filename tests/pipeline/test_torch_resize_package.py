"""A package with `library=torch` answers what torchvision's tensors and the network give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime import open_package
from zooc_runtime.commands.verify import verify
from zooc_runtime.preprocessing.pillow_steps import apply_steps
from zooc_runtime.preprocessing.steps import ResizeTorch, steps_from_json

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def compile_it(project: Path, output: Path, resize: str, quantize: str = "fp32") -> Path:
    text = f"""
    model {{ source onnx("net.onnx")  input [batch, 3, 32, 32] }}
    preprocess {{ {resize} CenterCrop(32) ToTensor() Normalize(mean={MEAN}, std={STD}) }}
    quantize {quantize}
    package {{ name tensors }}
    """
    file = project / "tensors.zoo"
    file.write_text(text, encoding="utf-8")
    compile_package(Request(file, output), Context(Cache(None), Progress()))
    return output / "tensors"


def decoded(project: Path) -> np.ndarray:
    file = next((project / "images").glob("*.jpg"))
    return np.array(Image.open(file).convert("RGB").resize((150, 101)))


@pytest.mark.parametrize("antialias", ["true", "false"])
def test_a_package_sees_what_the_reference_sees(project: Path, tmp_path: Path, antialias: str) -> None:
    resize = f"Resize(36, bicubic, library=torch, antialias={antialias})"
    package = compile_it(project, tmp_path / "out", resize)
    model = open_package(package)
    steps = steps_from_json(model.manifest["preprocess"]["steps"])
    assert steps[0] == ResizeTorch(36, "bicubic", antialias=antialias == "true")
    image = decoded(project)
    np.testing.assert_array_equal(model.pixels(image), apply_steps(image, steps))
    assert list(verify(package)) == []
    assert not (package / "vdsp_params.json").exists()


def test_int8_calibrates_on_these_pixels(project: Path, tmp_path: Path) -> None:
    quantize = 'int8 { data images("images", count=6) }'
    package = compile_it(project, tmp_path / "out", "Resize(36, library=torch)", quantize)
    assert list(verify(package)) == []


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
def test_a_package_answers_what_torchvision_and_the_network_answer(
    project: Path, tmp_path: Path, interpolation: str, antialias: bool
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    v2 = pytest.importorskip("torchvision.transforms.v2", reason="torchvision is not installed")
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("on this CPU torchvision resizes bilinear in float32")
    word = str(antialias).lower()
    resize = f"Resize(36, {interpolation}, max_size=60, library=torch, antialias={word})"
    package = compile_it(project, tmp_path / "out", resize)
    mode = pytest.importorskip("torchvision.transforms").InterpolationMode(interpolation)
    pixels = v2.Compose(
        [v2.ToImage(), v2.Resize(36, mode, max_size=60, antialias=antialias), v2.CenterCrop(32)]
    )
    tensor = v2.Compose([pixels, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    image = decoded(project)
    model = open_package(package)
    np.testing.assert_array_equal(model.pixels(image), pixels(image).numpy())
    session = onnxruntime.InferenceSession(project / "net.onnx")
    wanted = session.run(None, {"input": tensor(image).numpy()[None]})[0]
    whole = onnxruntime.InferenceSession(package / "model.onnx")
    logits = whole.run(["logits"], {"image": image})[0]
    np.testing.assert_allclose(logits, wanted, rtol=1e-4, atol=1e-5)
