"""Networks of one, two, four and more channels, from a description to a package's answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from zooc.compilation import Request
from zooc.diagnostics.diagnostic import ZoocError
from zooc.package.web_page import web_page
from zooc.pipeline.compile import WrittenPackage, compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime import PackageError, open_package
from zooc_runtime.bench.command import main as bench
from zooc_runtime.commands.main import main
from zooc_runtime.commands.verify import verify

SIDE, CLASSES, COUNT = 32, 4, 12
GREY_STEPS = "Grayscale() Resize([32, 32]) ToTensor() Normalize(mean=[0.45], std=[0.25])"
BAND_STEPS = "Resize([40, 40]) CenterCrop(32) ToTensor() Normalize(mean=[{mean}], std=0.2)"


def network(path: Path, channels: int) -> None:
    """conv, relu, residual conv, pool, fc: with everything that int8 has to handle; one seed for all."""
    rng = np.random.default_rng(0)
    first = 0.3 * rng.standard_normal((8, 3, 3, 3))
    shapes = {"b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,), "w3": (8, CLASSES), "b3": (CLASSES,)}
    scales = {"w2": 0.15, "w3": 0.5}
    weights = {name: scales.get(name, 0.1) * rng.standard_normal(shape) for name, shape in shapes.items()}
    weights["w1"] = np.resize(first.transpose(1, 0, 2, 3), (channels, 8, 3, 3)).transpose(1, 0, 2, 3)
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
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", channels, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks of several channels, pictures in class folders, and arrays of four and six channels."""
    folder = tmp_path_factory.mktemp("channels")
    for channels in (1, 2, 3, 4, 6):
        network(folder / f"net{channels}.onnx", channels)
    rng = np.random.default_rng(2)
    for index in range(COUNT):
        small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        picture = small.resize((90 + index, 70), Image.Resampling.BICUBIC)
        for name, file in (("images", picture), ("grey", picture.convert("L"))):
            place = folder / name / "abcd"[index % CLASSES]
            place.mkdir(parents=True, exist_ok=True)
            file.save(place / f"{index}.png")
        planes = [np.asarray(picture)[:, :, i % 3] // (1 + i // 3) for i in range(6)]
        for channels in (4, 6):
            place = folder / f"bands{channels}"
            place.mkdir(exist_ok=True)
            np.save(place / f"{index}.npy", np.stack(planes[:channels], axis=2))
    (folder / "labels.txt").write_text("a\nb\nc\nd\n", "utf-8")
    return folder


def compiled(
    folder: Path, output: Path, channels: int, steps: str, quantize: str = "fp32"
) -> tuple[Path, WrittenPackage]:
    size = f"input [batch, {channels}, {SIDE}, {SIDE}]"
    preprocess = f"preprocess {{ {steps} }}" if steps else ""
    file = folder / "net.zoo"
    file.write_text(
        f'model {{ source onnx("net{channels}.onnx")  {size} }}\n{preprocess}\nquantize {quantize}\n'
        'postprocess { topk 2  labels "labels.txt" }\npackage { name some }\n',
        encoding="utf-8",
    )
    result = compile_package(Request(file, output), Context(Cache(None), Progress()))
    return output / "some", result


def original(folder: Path, channels: int, tensor: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(folder / f"net{channels}.onnx")
    answer: np.ndarray = session.run(None, {"input": tensor.astype(np.float32)})[0]
    return answer


def test_a_grey_package_answers_what_pillow_and_the_network_answer(folder: Path, tmp_path: Path) -> None:
    package, _ = compiled(folder, tmp_path, 1, GREY_STEPS)
    model = open_package(package)
    assert model.manifest["model"]["input"]["shape"][1:] == [1, SIDE, SIDE]
    for path in sorted(folder.glob("images/*/*.png")):
        grey = Image.open(path).convert("RGB").convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(model.pixels(path)[0], np.asarray(grey))
        wanted = original(folder, 1, (np.asarray(grey)[None, None] / 255 - 0.45) / 0.25)
        np.testing.assert_allclose(model.scores(path), wanted, rtol=1e-4, atol=1e-4)
    assert list(verify(package)) == []


def test_the_grey_of_colour_files_and_of_gray_files_is_the_same(folder: Path, tmp_path: Path) -> None:
    model = open_package(compiled(folder, tmp_path, 1, GREY_STEPS)[0])
    for path in sorted((folder / "grey").rglob("*.png")):
        colour = folder / "images" / path.relative_to(folder / "grey")
        np.testing.assert_array_equal(model.pixels(path), model.pixels(colour))


def test_int8_of_a_grey_network_is_as_exact_as_of_its_twin_in_colour(folder: Path, tmp_path: Path) -> None:
    data = 'int8 { data images("images") }'
    _, grey = compiled(folder, tmp_path / "grey", 1, GREY_STEPS, data)
    _, colour = compiled(
        folder,
        tmp_path / "colour",
        3,
        GREY_STEPS.replace("Grayscale() ", "")
        .replace("mean=[0.45]", "mean=0.45")
        .replace("std=[0.25]", "std=0.25"),
        data,
    )
    for written in (grey, colour):
        assert written.compiled.program.folded is not None and written.compiled.program.folded.folded
        assert written.verified.comparison.images == COUNT
    agreements = [written.verified.agreement for written in (grey, colour)]
    assert all(agreement is not None for agreement in agreements)
    first, second = (agreement.sqnr_db for agreement in agreements if agreement is not None)
    assert first > 20
    assert abs(first - second) < 8
    kinds = [
        {layer.dtype for layer in w.compiled.quantized.layers} for w in (grey, colour) if w.compiled.quantized
    ]
    assert kinds[0] == kinds[1]


def test_grey_in_three_channels_goes_into_a_network_of_colours(folder: Path, tmp_path: Path) -> None:
    steps = "Resize([32, 32]) Grayscale(channels=3) ToTensor()"
    model = open_package(compiled(folder, tmp_path, 3, steps)[0])
    path = next(folder.glob("images/a/*.png"))
    grey = Image.open(path).resize((SIDE, SIDE), Image.Resampling.BILINEAR).convert("L")
    np.testing.assert_array_equal(model.pixels(path), np.stack([np.asarray(grey)] * 3))


def test_the_command_line_of_a_grey_package(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package, _ = compiled(folder, tmp_path, 1, GREY_STEPS)
    assert main(package, ["classify", str(folder / "images"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == COUNT
    assert main(package, ["eval", str(folder / "images")]) == 0
    assert f"{COUNT} images, 0 skipped" in capsys.readouterr().out
    for arguments in (["--iterations", "3"], ["--network-only", "--iterations", "3"]):
        assert bench(package, arguments) == 0
    assert main(package, ["verify"]) == 0


def test_a_grey_package_in_openvino(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (folder / "both.zoo").write_text(
        f'model {{ source onnx("net1.onnx")  input [batch, 1, {SIDE}, {SIDE}] }}\n'
        f"preprocess {{ {GREY_STEPS} }}\npackage {{ name both  engines [onnxruntime, openvino] }}\n"
    )
    compile_package(Request(folder / "both.zoo", tmp_path), Context(Cache(None), Progress()))
    path = next(folder.glob("images/a/*.png"))
    answers = [open_package(tmp_path / "both", name).scores(path) for name in ("onnxruntime", "openvino")]
    np.testing.assert_allclose(answers[0], answers[1], rtol=0.05, atol=0.05)


def test_a_vdsp_file_cannot_stand_in_for_grey(folder: Path, tmp_path: Path) -> None:
    package, _ = compiled(folder, tmp_path / "grey", 1, GREY_STEPS)
    assert not (package / "vdsp_params.json").exists()
    other, _ = compiled(folder, tmp_path / "colour", 3, "Resize([32, 32], library=opencv) ToTensor()")
    with pytest.raises(PackageError, match="vdsp operations give three channels in colour"):
        open_package(package, vdsp_params=other / "vdsp_params.json")


@pytest.mark.parametrize(
    ("channels", "remedy"), [(1, "add `Grayscale()`"), (4, "add `input [batch, 4, 32, 32]`")]
)
def test_channels_that_only_the_network_tells(
    folder: Path, tmp_path: Path, channels: int, remedy: str
) -> None:
    file = folder / "told.zoo"
    file.write_text(
        f'model {{ source onnx("net{channels}.onnx") }}\npreprocess {{ Resize([32, 32]) ToTensor() }}\n'
    )
    with pytest.raises(ZoocError) as refusal:
        compile_package(Request(file, tmp_path / "out"), Context(Cache(None), Progress()))
    (found,) = refusal.value.diagnostics
    assert found.code == "Z0308"
    assert found.span is not None and found.hint is not None
    assert found.hint.startswith(remedy)


@pytest.mark.parametrize("channels", [4, 6])
def test_int8_of_many_channels_from_arrays(folder: Path, tmp_path: Path, channels: int) -> None:
    steps = BAND_STEPS.format(mean=", ".join(f"0.{2 + i}" for i in range(channels)))
    data = f'int8 {{ data images("bands{channels}") }}'
    package, written = compiled(folder, tmp_path, channels, steps, data)
    assert written.verified.comparison.images == COUNT
    assert written.verified.agreement is not None
    assert written.verified.agreement.sqnr_db > 20
    model = open_package(package)
    path = folder / f"bands{channels}" / "0.npy"
    array = np.load(path)
    planes = [
        Image.fromarray(array[:, :, i].copy())
        .resize((40, 40), Image.Resampling.BILINEAR)
        .crop((4, 4, 36, 36))
        for i in range(channels)
    ]
    pixels = np.stack([np.asarray(plane) for plane in planes])
    for given in (path, path.read_bytes(), array):
        np.testing.assert_array_equal(model.pixels(given), pixels)
    mean = np.array([0.2 + 0.1 * i for i in range(channels)]).reshape(-1, 1, 1)
    wanted = original(folder, channels, ((pixels / 255 - mean) / 0.2)[None])
    np.testing.assert_allclose(model.scores(path), wanted, atol=0.1 * np.abs(wanted).max())
    assert main(package, ["classify", str(path.parent)]) == 0
    assert bench(package, ["--iterations", "3"]) == 0
    assert list(verify(package)) == []


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_the_tensor_form_of_many_channels(folder: Path, tmp_path: Path, channels: int) -> None:
    package, _ = compiled(folder, tmp_path, channels, "")
    model = open_package(package)
    tensor = np.random.default_rng(0).standard_normal((3, channels, SIDE, SIDE)).astype(np.float32)
    np.testing.assert_allclose(
        model.run_tensor(tensor), original(folder, channels, tensor), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(PackageError, match=rf"takes float32 \[N, {channels}, 32, 32\]"):
        model.run_tensor(tensor[:, :1])
    assert list(verify(package)) == []
    assert bench(package, ["--iterations", "3"]) == 0
    readme = (tmp_path / "README.md").read_text("utf-8")
    assert f"float32 `[batch, {channels}, height, width]`" in readme


def test_image_files_of_four_channels(folder: Path, tmp_path: Path) -> None:
    model = open_package(compiled(folder, tmp_path, 4, "Resize([32, 32]) ToTensor()")[0])
    array = np.load(folder / "bands4" / "1.npy")
    rgba = Image.fromarray(array, "RGBA")
    rgba.save(tmp_path / "rgba.png")
    pages = [Image.fromarray(array[:, :, i].copy()) for i in range(4)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    for given in (rgba, tmp_path / "rgba.png", tmp_path / "pages.tif"):
        np.testing.assert_array_equal(model.pixels(given), model.pixels(array))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((40, 40, 3), np.uint8), r"not an image; give one image, .*uint8 \[H, W, 4\] is expected"),
        (np.zeros((4, 40, 40), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((40, 40, 4), np.float32), r"astype\('uint8'\)"),
        (Image.new("RGB", (40, 40)), "mode RGB, but 4 channels are expected"),
        (Image.new("P", (40, 40)), "mode P, but 4 channels are expected"),
        (b"\x93NUMPY rubbish", "not a plain array, truncated or damaged"),
        (5, r"a uint8 array \[H, W, 4\]"),
    ],
)
def test_other_images_are_refused_with_the_remedy(
    folder: Path, tmp_path: Path, given: object, message: str
) -> None:
    model = open_package(compiled(folder, tmp_path, 4, "Resize([32, 32]) ToTensor()")[0])
    with pytest.raises(PackageError, match=message):
        model.pixels(given)  # type: ignore[arg-type]


def test_arrays_of_objects_are_never_unpickled(folder: Path, tmp_path: Path) -> None:
    model = open_package(compiled(folder, tmp_path, 4, "Resize([32, 32]) ToTensor()")[0])
    np.save(tmp_path / "object.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(PackageError, match="not a plain array"):
        model.pixels(tmp_path / "object.npy")


def test_calibration_says_why_arrays_of_other_channels_are_left_out(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ZoocError) as refusal:
        compiled(folder, tmp_path, 4, "Resize([32, 32]) ToTensor()", 'int8 { data images("bands6") }')
    (found,) = refusal.value.diagnostics
    assert found.code == "Z0453"
    assert any("uint8 [H, W, 4] is expected" in note for note in found.notes)


def test_a_page_shows_no_images_of_four_channels(folder: Path, tmp_path: Path) -> None:
    package, _ = compiled(folder, tmp_path, 4, "Resize([32, 32]) ToTensor()")
    with pytest.raises(ZoocError) as refusal:
        web_page(package, "wasm", tmp_path)
    (found,) = refusal.value.diagnostics
    assert found.code == "Z0813"
    assert "images of 4 channels, which a browser does not decode" in found.message


def test_vamps_files_of_four_channels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A datalist of npz files, `uint8 [4, H, W]` each; those of colours are refused."""
    package, _ = compiled(folder, tmp_path, 4, "Resize([32, 32]) ToTensor()")
    array = np.load(folder / "bands4" / "0.npy")
    np.savez(tmp_path / "four.npz", input_0=array.transpose(2, 0, 1))
    np.savez(tmp_path / "three.npz", input_0=array.transpose(2, 0, 1)[:3])
    lists = {}
    for name in ("four", "three"):
        lists[name] = tmp_path / f"{name}.txt"
        lists[name].write_text(f"{name}.npz\n")
    output = tmp_path / "answers"
    assert bench(package, ["--datalist", str(lists["four"]), "--path-output", str(output)]) == 0
    (answer,) = output.glob("*.npz")
    with np.load(answer) as archive:
        np.testing.assert_allclose(archive["output_0"], open_package(package).scores(array), rtol=1e-5)
    assert bench(package, ["--datalist", str(lists["three"])]) == 1
    assert "uint8 [4, H, W] is expected" in capsys.readouterr().err


def test_a_package_of_colours_takes_arrays_from_files(folder: Path, tmp_path: Path) -> None:
    model = open_package(compiled(folder, tmp_path, 3, "Resize([32, 32]) ToTensor()")[0])
    image = np.asarray(Image.open(next(folder.glob("images/a/*.png"))))
    np.save(tmp_path / "image.npy", image)
    np.testing.assert_array_equal(model.pixels(tmp_path / "image.npy"), model.pixels(image))
    np.save(tmp_path / "four.npy", np.zeros((40, 40, 4), np.uint8))
    with pytest.raises(PackageError, match=r"four.npy: an array .*drop the alpha channel"):
        model.pixels(tmp_path / "four.npy")
