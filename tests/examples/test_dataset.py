"""The digits example: what its data set holds, and that the committed networks really read digits."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image

pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
SCRIPT = DIGITS / "make_dataset.py"
NETWORKS = [DIGITS / f"digits_{name}.onnx" for name in ("resnest", "iresnet", "wide_resnet")]


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_make_dataset", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "data"
    done = run_script(folder)
    assert done.returncode == 0, done.stderr
    return folder


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def center_crop_64(image: Image.Image) -> np.ndarray:
    """ECenterCrop(64), written out once more so as not to trust the example's own."""
    width, height = image.size
    side = 64 / 96 * min(width, height)
    left, top = int(round((width - side) / 2)), int(round((height - side) / 2))  # noqa: RUF046
    square = image.convert("RGB").crop((left, top, left + side, top + side))
    return np.asarray(square.resize((64, 64), Image.Resampling.BICUBIC))


def test_the_dataset_has_797_training_and_1000_test_images_in_ten_classes(dataset: Path) -> None:
    for split, count in (("train", 797), ("test", 1000)):
        assert sorted(p.name for p in (dataset / split).iterdir()) == [str(c) for c in range(10)]
        files = list((dataset / split).glob("*/*.jpg"))
        assert len(files) == count
        assert min(len(list(p.iterdir())) for p in (dataset / split).iterdir()) >= count / 10 * 0.7


def test_no_digit_is_in_both_splits(dataset: Path) -> None:
    train, test = ({p.stem for p in (dataset / split).glob("*/*.jpg")} for split in ("train", "test"))
    assert not train & test
    assert train | test == {f"{i:04}" for i in range(1797)}


def test_the_photographs_of_the_splits_share_no_pixel(script: ModuleType) -> None:
    from sklearn.datasets import load_sample_images

    photos = script.load_sources().photos
    for whole, left, right in zip(load_sample_images().images, photos["train"], photos["test"], strict=True):
        assert np.array_equal(np.hstack([np.asarray(left), np.asarray(right)]), whole)


def test_two_runs_write_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    assert run_script(tmp_path / "again").returncode == 0
    assert digest(tmp_path / "again") == digest(dataset)


def test_images_are_rgb_jpegs_of_many_sizes_and_shapes(dataset: Path) -> None:
    sizes = set()
    for path in (dataset / "train").glob("*/*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            sizes.add(image.size)
    assert len(sizes) > 500
    assert min(map(min, sizes)) < 85 and max(map(min, sizes)) > 195
    assert any(w > 1.4 * h for w, h in sizes) and any(h > 1.4 * w for w, h in sizes)


def test_the_center_crop_keeps_the_whole_digit(script: ModuleType) -> None:
    sources = script.load_sources()
    for split, indices in script.SPLITS.items():
        for index in indices[::4]:
            rng = np.random.default_rng([script.SEED, index])
            mask = script.compose(sources.digits[index], sources.photos[split], rng).mask
            height, width = mask.shape
            side = 64 / 96 * min(width, height)
            top, left = round((height - side) / 2), round((width - side) / 2)
            inside = mask[top : round(top + side), left : round(left + side)]
            assert inside.sum(dtype=np.int64) >= 0.98 * mask.sum(dtype=np.int64), (
                index
            )  # blurred ends may stick out


def test_a_second_run_writes_nothing_and_a_damaged_folder_is_made_again(
    tmp_path: Path, dataset: Path
) -> None:
    before = {p: p.stat().st_mtime_ns for p in dataset.rglob("*.jpg")}
    assert "up to date" in run_script(dataset).stdout
    assert before == {p: p.stat().st_mtime_ns for p in dataset.rglob("*.jpg")}
    expected = digest(dataset)
    next((dataset / "train").glob("*/*.jpg")).unlink()
    (dataset / "test" / "3" / "stray.jpg").write_bytes(b"")
    assert "written" in run_script(dataset).stdout
    assert digest(dataset) == expected


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.txt").write_text("keep")
    done = run_script(tmp_path)
    assert done.returncode == 1
    assert "was not made by this program; name another folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.rglob("*")] == ["train", "mine.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    done = run_script(tmp_path / "data")
    assert done.returncode == 1
    assert "is a file; name a folder" in done.stderr


@pytest.mark.parametrize("network", NETWORKS, ids=lambda path: path.stem)
def test_a_committed_network_is_small_has_a_free_batch_and_carries_no_local_paths(network: Path) -> None:
    data = network.read_bytes()
    assert len(data) < 2_500_000
    for trace in (b".py", b"/home", b"site-packages", b"Traceback", b'File "', b"stack_trace"):
        assert trace not in data
    graph = onnx.load_from_string(data).graph
    (source,), (result,) = graph.input, graph.output
    assert (source.name, result.name) == ("input", "logits")
    assert [d.dim_param or d.dim_value for d in source.type.tensor_type.shape.dim] == ["batch", 3, 64, 64]
    assert [d.dim_param or d.dim_value for d in result.type.tensor_type.shape.dim] == ["batch", 10]
    assert not any(node.metadata_props or node.doc_string for node in graph.node)
    assert len({node.name for node in graph.node}) == len(graph.node)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda path: path.stem)
def test_a_committed_network_reads_held_back_digits(dataset: Path, network: Path) -> None:
    files = sorted((dataset / "test").glob("*/*.jpg"), key=lambda p: p.stem)[:300]
    pixels = np.stack([center_crop_64(Image.open(f)) for f in files]).astype(np.float32) / 255
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    session = ort.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": ((pixels - mean) / std).transpose(0, 3, 1, 2)})
    classes = np.array([int(f.parent.name) for f in files])
    assert (logits.argmax(axis=1) == classes).mean() >= 0.95


@pytest.mark.parametrize("name", ["iresnet", "wide_resnet"])
def test_each_network_has_a_variant_that_passes_the_check(name: str) -> None:
    from zooc.frontend.semantics.analyze import load_deployment

    # The data set is made by make_dataset.py and need not be there.
    deployment, diagnostics = load_deployment(DIGITS / "digits.zoo", name, (), may_miss_files=True)
    assert not [d for d in diagnostics if d.severity == "error"]
    assert deployment is not None
    assert Path(deployment.model.source.name) == DIGITS / f"digits_{name}.onnx"
    assert deployment.package.name == f"digits_{name}"


def operators(network: Path) -> list[tuple[str, list[str]]]:
    """Each node's operator with those of its readers."""
    nodes = onnx.load(network).graph.node
    return [(n.op_type, [r.op_type for r in nodes if set(n.output) & set(r.input)]) for n in nodes]


def test_the_iresnet_has_what_makes_iresnets_hard_to_quantize() -> None:
    found = operators(DIGITS / "digits_iresnet.onnx")
    assert ("MaxPool", ["Conv"]) in found, "projections with stride are a max pool before a convolution"
    after_sums = [readers for op, readers in found if op == "Add"]
    assert ["BatchNormalization"] in after_sums, "an end block normalizes its sum"
    assert any("Add" in readers for readers in after_sums), "a sum reaches the next one without a ReLU"


def test_the_wide_resnet_is_as_wide_inside_a_bottleneck_as_torchvisions() -> None:
    shapes = [tuple(t.dims) for t in onnx.load(DIGITS / "digits_wide_resnet.onnx").graph.initializer]
    inner = {s[0] for s in shapes if len(s) == 4 and s[2:] == (3, 3) and s[0] == s[1]}
    outer = {s[0] for s in shapes if len(s) == 4 and s[2:] == (1, 1) and s[0] == 2 * s[1]}
    assert {width * 2 for width in inner} == outer
