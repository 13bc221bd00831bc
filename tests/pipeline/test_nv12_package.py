"""A package of camera frames, and the vdsp file that packages carry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime import PackageError, open_package
from zooc_runtime.bench.command import main as bench
from zooc_runtime.commands.verify import verify
from zooc_runtime.preprocessing.nv12 import nv12_to_rgb, rgb_to_nv12
from zooc_runtime.preprocessing.pillow_steps import apply_steps
from zooc_runtime.preprocessing.steps import steps_from_json

STEPS = "Resize([40, 44], library=opencv) Crop(2, 3, 32, 32) ToTensor() Normalize(0.5, 0.5)"


def compile_it(project: Path, output: Path, steps: str, quantize: str = "fp32") -> Path:
    text = f"""
    model {{ source onnx("net.onnx")  input [batch, 3, 32, 32] }}
    preprocess {{ {steps} }}
    quantize {quantize}
    postprocess {{ softmax  topk 2 }}
    package {{ name frames }}
    """
    file = project / "frames.zoo"
    file.write_text(text, encoding="utf-8")
    compile_package(Request(file, output), Context(Cache(None), Progress()))
    return output / "frames"


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_a_package_of_frames_sees_what_the_reference_sees(project: Path, tmp_path: Path, matrix: str) -> None:
    package = compile_it(project, tmp_path / "out", f"NV12({matrix}) {STEPS}")
    model = open_package(package)
    frame = np.random.default_rng(0).integers(0, 256, (90, 80), dtype=np.uint8)
    steps = steps_from_json(model.manifest["preprocess"]["steps"])
    wanted = apply_steps(nv12_to_rgb(frame, f"nv12-{matrix}"), steps)
    np.testing.assert_array_equal(model.pixels(frame), wanted)
    assert len(model([frame, frame[:60]])) == 2
    assert list(verify(package)) == []
    assert (package / "vdsp_params.json").is_file() == (matrix == "bt601")


def test_int8_calibrates_frames_on_ordinary_images(project: Path, tmp_path: Path) -> None:
    quantize = 'int8 { data images("images", count=6) }'
    package = compile_it(project, tmp_path / "out", f"NV12(bt601) {STEPS}", quantize)
    model = open_package(package)
    image = np.asarray(Image.open(next((project / "images").glob("*.jpg"))).convert("RGB"))
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    assert model(rgb_to_nv12(even, "nv12-bt601")).topk[0].probability > 0


def test_images_are_refused_with_the_remedy(project: Path, tmp_path: Path) -> None:
    model = open_package(compile_it(project, tmp_path / "out", f"NV12(bt601) {STEPS}"))
    image = next((project / "images").glob("*.jpg"))
    for given in (image, Image.new("RGB", (40, 60)), np.zeros((60, 40, 3), np.uint8)):
        with pytest.raises(PackageError, match=r"takes NV12 frames, .*without its NV12\(\) line"):
            model(given)
    for shape in ((61, 40), (60, 41), (0, 40)):
        with pytest.raises(PackageError, match="is not an NV12 frame"):
            model(np.zeros(shape, np.uint8))
    with pytest.raises(PackageError, match="is not an NV12 frame"):
        model(np.zeros((60, 40), np.float32))


def test_frames_are_benchmarked(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = compile_it(project, tmp_path / "out", f"NV12(bt601) {STEPS}")
    arguments = ["-i", "1", "-p", "1", "-b", "2", "--iterations", "4", "--json"]
    assert bench(package, arguments) == 0
    assert json.loads(capsys.readouterr().out)["throughput_qps"] > 0


def test_a_package_carries_the_vdsp_file_where_an_operation_does_the_same(
    project: Path, tmp_path: Path
) -> None:
    package = compile_it(project, tmp_path / "exact", STEPS)
    document = json.loads((package / "vdsp_params.json").read_text())
    assert document["OpType"] == "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR"
    image = next((project / "images").glob("*.jpg"))
    overridden = open_package(package, vdsp_params=package / "vdsp_params.json")
    np.testing.assert_array_equal(overridden.pixels(image), open_package(package).pixels(image))
    other = compile_it(project, tmp_path / "other", "Resize(40) CenterCrop(32) ToTensor()")
    assert not (other / "vdsp_params.json").exists()
