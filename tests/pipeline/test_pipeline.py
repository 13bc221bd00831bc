"""From a `.zoo` file to a package that answers as the float network does."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from zooc.compilation import Request
from zooc.pipeline.compile import WrittenPackage, compile_package
from zooc.pipeline.context import Context, Stopped
from zooc.pipeline.stages import STAGES
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.engine_view import float_convolutions
from zooc_runtime import open_package
from zooc_runtime.inference.amx_weights import move_zero_points

SIZE, CLASSES = 32, 4


def compile_it(project: Path, output: Path, cache: Path | None = None, **options: object) -> WrittenPackage:
    request = Request(project / "tiny.zoo", output, **options)  # type: ignore[arg-type]
    return compile_package(request, Context(Cache(cache), Progress()))


def float_logits(project: Path, pixels: np.ndarray) -> np.ndarray:
    mean = np.reshape([0.485, 0.456, 0.406], (1, 3, 1, 1))
    std = np.reshape([0.229, 0.224, 0.225], (1, 3, 1, 1))
    session = onnxruntime.InferenceSession(project / "net.onnx")
    feed = ((pixels / 255 - mean) / std).astype(np.float32)
    return np.asarray(session.run(None, {"input": feed})[0])


@pytest.mark.parametrize("dtype, tolerance", [("int8", 0.05), ("fp16", 2e-3), ("fp32", 1e-5)])
def test_a_package_answers_as_the_float_network_does(
    project: Path, tmp_path: Path, dtype: str, tolerance: float
) -> None:
    overrides = () if dtype == "int8" else (f"quantize={dtype}",)
    compile_it(project, tmp_path / "out", overrides=overrides)
    model = open_package(tmp_path / "out" / "tiny")
    files = sorted((project / "images").glob("*.jpg"))
    pixels = np.stack([model.pixels(file) for file in files])
    wanted = float_logits(project, pixels)
    got = model.run_tensor(pixels)
    assert np.linalg.norm(got - wanted) <= tolerance * np.linalg.norm(wanted)
    softmax = np.exp(got) / np.exp(got).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.probabilities(files), softmax, atol=1e-5)
    result = model(files[0])
    assert len(result.topk) == 2
    assert result.topk[0].label == ["ant", "bee", "cat", "dog"][int(got[0].argmax())]


def test_int8_convolutions_are_integer_and_the_first_eats_uint8_pixels(project: Path, tmp_path: Path) -> None:
    compilation = compile_it(project, tmp_path / "out")
    assert list(compilation.verified.float_layers) == []
    optimized = tmp_path / "optimized.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(compilation.compiled.body.SerializeToString(), options)
    graph = onnx.load(optimized).graph
    producers = {output: node for node in graph.node for output in node.output}
    first = next(node for node in graph.node if node.op_type == "QLinearConv")
    source = first.input[0]
    while source != "pixels":
        assert producers[source].op_type in {"Pad", "Transpose", "Concat"}, "something computes before it"
        source = producers[source].input[0]


def test_weights_with_another_zero_point_give_the_same_logits(project: Path, tmp_path: Path) -> None:
    compilation = compile_it(project, tmp_path / "out")
    before = compilation.compiled.body.SerializeToString()
    after = move_zero_points(before)
    assert after != before
    assert list(float_convolutions(after)) == []
    pixels = np.random.default_rng(4).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8)
    sessions = [onnxruntime.InferenceSession(model) for model in (before, after)]
    wanted, found = (session.run(None, {"pixels": pixels})[0] for session in sessions)
    np.testing.assert_array_equal(found, wanted)


def test_two_compiles_give_the_same_bytes(project: Path, tmp_path: Path) -> None:
    def hashes(folder: Path) -> dict[str, str]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    compile_it(project, tmp_path / "one", cache=tmp_path / "cache")
    compile_it(project, tmp_path / "two", cache=tmp_path / "cache")
    compile_it(project, tmp_path / "three", cache=None)
    one = hashes(tmp_path / "one")
    assert "tiny/model.onnx" in one
    assert hashes(tmp_path / "two") == one
    assert hashes(tmp_path / "three") == one


def test_an_unchanged_second_compile_neither_exports_nor_calibrates(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_it(project, tmp_path / "one", cache=tmp_path / "cache")

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("calibrated again")

    monkeypatch.setattr("zooc.calibration.run.collect", refuse)
    compile_it(project, tmp_path / "two", cache=tmp_path / "cache")
    with pytest.raises(AssertionError, match="calibrated again"):
        compile_it(
            project,
            tmp_path / "three",
            cache=tmp_path / "cache",
            overrides=('quantize.data=images("images", count=11)',),
        )


@pytest.mark.parametrize("stage", STAGES)
def test_a_compile_stops_before_any_stage_and_writes_nothing(
    project: Path, tmp_path: Path, stage: str
) -> None:
    context = Context(Cache(None), Progress(), stop_before=stage)
    with pytest.raises(Stopped, match=stage):
        compile_package(Request(project / "tiny.zoo", tmp_path / "out"), context)
    assert not (tmp_path / "out").exists()


def test_the_package_needs_no_zooc(project: Path, tmp_path: Path) -> None:
    compile_it(project, tmp_path / "out")
    code = (
        "import sys; sys.modules['zooc'] = sys.modules['zooc_runtime'] = sys.modules['onnx'] = None\n"
        "import tiny; print(tiny.load()(sys.argv[1]).topk[0].label)"
    )
    image = project / "images" / "0.jpg"
    done = subprocess.run(
        [sys.executable, "-c", code, str(image)],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() in {"ant", "bee", "cat", "dog"}, done.stderr


def test_the_manifest_tells_what_was_compiled(project: Path, tmp_path: Path) -> None:
    compile_it(project, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "tiny" / "manifest.json").read_text("utf-8"))
    assert manifest["source"]["text"] == (project / "tiny.zoo").read_text("utf-8")
    assert manifest["model"]["parameters"] == 8 * 27 + 8 + 8 * 72 + 8 + 8 * CLASSES + CLASSES
    assert manifest["quantization"]["images"] == {"used": 12, "skipped": []}
    assert manifest["quantization"]["agreement"]["sqnr_db"] > 20
    assert manifest["preprocess"]["pillow"]
    assert str(project) not in json.dumps(manifest), "no path of this machine belongs into a package"


def test_the_tensor_form_takes_normalized_floats(project: Path, tmp_path: Path) -> None:
    described = (project / "tiny.zoo").read_text("utf-8")
    text = described[: described.index("preprocess")] + "quantize fp32 {}\npackage { name bare }\n"
    (project / "bare.zoo").write_text(text, "utf-8")
    compile_package(Request(project / "bare.zoo", tmp_path / "out"), Context(Cache(None), Progress()))
    model = open_package(tmp_path / "out" / "bare")
    feed = np.random.default_rng(0).standard_normal((3, 3, SIZE, SIZE)).astype(np.float32)
    session = onnxruntime.InferenceSession(project / "net.onnx")
    np.testing.assert_allclose(model.run_tensor(feed), session.run(None, {"input": feed})[0], atol=1e-4)
