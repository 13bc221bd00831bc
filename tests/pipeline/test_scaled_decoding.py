"""`Decode(scaled)`, from a description to a package's answers: measured, stated, and used everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from zooc.compilation import Request
from zooc.deployment import Normalize, Preprocess
from zooc.pipeline.compile import WrittenPackage, compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.vastai.export_vdsp import NotExpressible, vdsp_document
from zooc.vastai.steps_text import preprocess_lines
from zooc_runtime import open_package
from zooc_runtime.bench.command import main as bench
from zooc_runtime.commands.main import main
from zooc_runtime.preprocessing import decode as decoding
from zooc_runtime.preprocessing.steps import Decode, Resize

SIDE, CLASSES = 32, 4
STEPS = "Resize(36) CenterCrop(32) ToTensor() Normalize(mean=[0.45, 0.45, 0.45], std=0.25)"
INT8 = 'int8 { data images("images")  calibrate percentile(99.99)  warn none }'


def _network(path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "w1": 0.3 * rng.standard_normal((8, 3, 3, 3)),
        "w2": 0.15 * rng.standard_normal((8, 8, 3, 3)),
        "w3": 0.5 * rng.standard_normal((8, CLASSES)),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["c1"], "stem/Conv", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"], "stem/Relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "block/Conv", pads=[1] * 4),
        helper.make_node("Relu", ["c2"], ["r2"], "block/Relu"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3"], ["logits"], "fc/Gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network, JPEG files in class folders that can be decoded smaller, and one of each that cannot."""
    folder = tmp_path_factory.mktemp("scaled")
    _network(folder / "net.onnx")
    rng = np.random.default_rng(2)
    for index in range(12):
        small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        picture = small.resize((640, 480), Image.Resampling.BICUBIC)
        place = folder / "images" / "abcd"[index % CLASSES]
        place.mkdir(parents=True, exist_ok=True)
        if index == 0:
            picture.save(place / f"{index}.png")
        elif index == 1:
            picture.resize((60, 50)).save(place / f"{index}.jpg")
        else:
            picture.save(place / f"{index}.jpg", quality=95)
    (folder / "labels.txt").write_text("a\nb\nc\nd\n", "utf-8")
    return folder


def compiled(folder: Path, output: Path, steps: str, quantize: str = INT8) -> tuple[Context, WrittenPackage]:
    file = folder / f"{output.name}.zoo"
    file.write_text(
        f'model {{ source onnx("net.onnx")  input [batch, 3, {SIDE}, {SIDE}] }}\npreprocess {{ {steps} }}\n'
        f'quantize {quantize}\npostprocess {{ topk 2  labels "labels.txt" }}\npackage {{ name some }}\n',
        encoding="utf-8",
    )
    context = Context(Cache(folder / "cache"), Progress())
    return context, compile_package(Request(file, output), context)


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Path, Path]:
    """The package that decodes exactly, then the one that does not; they share a cache."""
    compiled(folder, folder / "exact", STEPS)
    compiled(folder, folder / "scaled", f"Decode(scaled) {STEPS}")
    return folder / "exact" / "some", folder / "scaled" / "some"


def manifest_of(package: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((package / "manifest.json").read_text("utf-8"))
    return found


def test_manifest_and_report_state_the_measured_difference(folder: Path, both: tuple[Path, Path]) -> None:
    exact, scaled = (open_package(package) for package in both)
    apart = []
    for path in sorted(folder.glob("images/*/*.*")):
        difference = np.abs(exact.pixels(path).astype(int) - scaled.pixels(path))
        apart.append((difference.mean(), difference.max()))
    differing = [pair for pair in apart if pair[1]]
    stated = manifest_of(both[1])["preprocess"]["decoding"]
    assert stated == {
        "images": 12,
        "differing": len(differing),
        "mean": pytest.approx(np.mean([mean for mean, _ in differing]), abs=1e-3),
        "max": max(worst for _, worst in differing),
    }
    assert 0 < len(differing) <= 10
    report = (both[1].parent / "report.html").read_text("utf-8")
    assert f"Decode(scaled): {len(differing)} of 12 images differ" in report
    assert scaled.info["preprocess"]["decoding"] == stated


def test_decode_exact_changes_no_byte(folder: Path, both: tuple[Path, Path]) -> None:
    assert "decoding" not in manifest_of(both[0])["preprocess"]
    for word in ("", "exact"):
        compiled(folder, folder / f"same{word}", f"Decode({word}) {STEPS}")
        mine = manifest_of(folder / f"same{word}" / "some")
        for key in ("preprocess", "quantization", "stages"):
            assert mine[key] == manifest_of(both[0])[key]
        files = [manifest["files"]["model.onnx"] for manifest in (mine, manifest_of(both[0]))]
        assert files[0] == files[1]


def test_calibration_sees_what_the_package_will_see(folder: Path, both: tuple[Path, Path]) -> None:
    models = [(package / "model.onnx").read_bytes() for package in both]
    assert models[0] != models[1]  # other ranges, though from the same cache
    compiled(folder, folder / "again", f"Decode(scaled) {STEPS}")
    assert (folder / "again" / "some" / "model.onnx").read_bytes() == models[1]


def test_every_entry_point_decodes_smaller(
    folder: Path, both: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    reduce = decoding._reduce

    def spied(*arguments: object) -> tuple[int, int] | None:
        seen.append((found := reduce(*arguments)) is not None)  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(decoding, "_reduce", spied)
    image = folder / "images" / "c" / "2.jpg"
    model = open_package(both[1])

    def decoded_smaller() -> bool:
        found = bool(seen) and all(seen)
        seen.clear()
        return found

    wanted = model(image).topk
    assert decoded_smaller()
    assert model(image.read_bytes()).topk == wanted and decoded_smaller()
    assert model.submit(image).result().topk == wanted and decoded_smaller()
    assert [result.topk for result in model.stream([image, image])] == [wanted, wanted] and decoded_smaller()
    model.probabilities([image])
    assert decoded_smaller()
    with Image.open(image) as opened:
        model(opened)
    assert not decoded_smaller()
    images = tmp_path / "val" / "c"
    images.mkdir(parents=True)
    (images / "2.jpg").write_bytes(image.read_bytes())
    assert main(both[1], ["classify", str(image)]) == 0 and decoded_smaller()
    assert main(both[1], ["eval", str(tmp_path / "val")]) == 0
    assert decoded_smaller()
    options = ["--end-to-end", str(images), "--iterations", "3"]
    assert bench(both[1], options) == 0
    assert main(both[1], ["verify"]) == 0


def test_without_images_a_warning_says_that_nothing_was_measured(folder: Path) -> None:
    context, _ = compiled(folder, folder / "float", f"Decode(scaled) {STEPS}", "fp32")
    (finding,) = context.diagnostics()
    assert finding.code == "Z0326" and "no images" in finding.message
    assert "decoding" not in manifest_of(folder / "float" / "some")["preprocess"]


def test_a_warning_says_that_no_image_is_large_enough(folder: Path, tmp_path: Path) -> None:
    for index, path in enumerate(sorted(folder.glob("images/*/*.jpg"))):
        with Image.open(path) as image:
            image.resize((64, 48)).save(tmp_path / f"{index}.jpg")
    quantize = INT8.replace('"images"', f'"{tmp_path.as_posix()}"')
    context, _ = compiled(folder, folder / "small", f"Decode(scaled) {STEPS}", quantize)
    (finding,) = context.diagnostics()
    assert finding.code == "Z0326" and "changes none of the 11" in finding.message
    assert manifest_of(folder / "small" / "some")["preprocess"]["decoding"]["differing"] == 0  # type: ignore[index]


def test_a_contract_compares_with_float_on_whole_pictures(
    folder: Path, both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from zooc.accuracy.contract.images import ContractImages

    asked: list[tuple[int, bool]] = []
    exact = ContractImages.exact_pixels

    def spied(self: ContractImages, index: int) -> np.ndarray | None:
        found, own = exact(self, index), self.pixels(index)
        assert found is not None and own is not None
        asked.append((index, bool((found != own).any())))
        return found

    monkeypatch.setattr(ContractImages, "exact_pixels", spied)
    quantize = INT8.replace("}", ' require drop <= 100% on images("images", labels=none) }')
    context, written = compiled(folder, folder / "contract", f"Decode(scaled) {STEPS}", quantize)
    assert written.compiled.contract is not None
    assert asked and any(differs for _, differs in asked)
    assert context.facts["decoding"]["differing"]


def test_a_vdsp_file_does_not_say_how_files_are_decoded() -> None:
    preprocess = Preprocess((Decode("scaled"), Resize((32, 32))), Normalize())
    assert preprocess_lines(preprocess)[0] == "Decode(scaled)"
    with pytest.raises(NotExpressible, match=r"Decode\(scaled\) is about files"):
        vdsp_document(preprocess)
    document, changes = vdsp_document(preprocess, approximate=True)
    assert document == vdsp_document(Preprocess((Resize((32, 32)),), Normalize()), approximate=True)[0]
    assert "in full" in changes[0]
