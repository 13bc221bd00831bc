"""A loaded package: inputs of every kind, batches, threads, forms."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from zooc_runtime import PackageError, open_package
from zooc_runtime.inference.model import Model


@pytest.fixture(scope="module")
def model(package: Path) -> Model:
    return open_package(package, "onnxruntime", threads=1)


def _images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (8 + 3 * i, 9 + i, 3), dtype=np.uint8) for i in range(count)]


def test_the_three_stages_together_equal_the_whole_graph(model: Model, package: Path) -> None:
    whole = onnxruntime.InferenceSession((package / "model.onnx").read_bytes())
    for image in _images(3):
        np.testing.assert_allclose(model.scores(image), whole.run(None, {"image": image})[0], rtol=1e-6)


def test_path_bytes_pil_and_array_give_the_same(model: Model, photo: Path) -> None:
    opened = Image.open(photo)
    forms = [photo, str(photo), photo.read_bytes(), opened, np.asarray(opened)]
    results = [model(form).probabilities for form in forms]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_a_result_names_the_best_classes_best_first(model: Model, photo: Path) -> None:
    result = model(photo)
    assert len(result.topk) == 5
    assert [one.probability for one in result.topk] == sorted(
        (float(p) for p in result.probabilities), reverse=True
    )[:5]
    assert result.probabilities.dtype == np.float32
    assert result.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert result.topk[0].label == model.labels[result.topk[0].index]
    assert len(model(photo, topk=2).topk) == 2
    assert len(model(photo, topk=100).topk) == model.classes


@pytest.mark.parametrize("size", [1, 2, 3, 8, 100])
def test_lists_of_mixed_sizes_do_not_depend_on_the_batch(model: Model, size: int) -> None:
    images = _images(7)
    one_by_one = np.concatenate([model.probabilities(image) for image in images])
    np.testing.assert_allclose(model.probabilities(images, batch_size=size), one_by_one, rtol=1e-5)
    assert len(model(images, batch_size=size)) == 7


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch_is_filled_up(pristine: Callable[..., Path], model: Model, batch: int) -> None:
    fixed = open_package(pristine(batch=batch), threads=1)
    images = _images(7)
    np.testing.assert_allclose(fixed.probabilities(images), model.probabilities(images), rtol=1e-5)
    assert fixed.probabilities(images[:1]).shape == (1, 7)


def test_nothing_gives_nothing(model: Model, pristine: Callable[..., Path]) -> None:
    assert model([]) == []
    assert model.probabilities([]).shape == (0, 7)
    for one in (model, open_package(pristine(batch=3), threads=1)):
        assert one.run_tensor(np.zeros((0, 3, 8, 8), np.uint8)).shape == (0, 7)


def test_eight_threads_give_what_one_gives(model: Model) -> None:
    images = _images(32)
    alone = [model.probabilities(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(model.probabilities, images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_without_softmax_scores_are_logits_and_probabilities_still_sum_to_one(
    pristine: Callable[..., Path], model: Model
) -> None:
    bare = open_package(pristine(softmax=False, labels=None), threads=1)
    image = _images(1)[0]
    assert bare.scores(image).sum() != pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(bare.probabilities(image), model.probabilities(image), rtol=1e-5)
    assert bare(image).topk[0].label == str(bare(image).topk[0].index)


def test_run_tensor_takes_what_pixels_gives(model: Model, photo: Path) -> None:
    pixels = model.pixels(photo)
    assert pixels.shape == (3, 8, 8) and pixels.dtype == np.uint8
    np.testing.assert_array_equal(model.finish(model.run_tensor(pixels[None])), model.scores(photo))


@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((1, 3, 8, 9), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 3, 8, 8), np.float32),
        np.zeros((1, 1, 8, 8), np.uint8),
    ],
)
def test_run_tensor_names_the_shape_it_takes(model: Model, tensor: np.ndarray) -> None:
    with pytest.raises(PackageError, match=r"takes uint8 \[N, 3, 8, 8\], not"):
        model.run_tensor(tensor)


def test_run_tensor_asks_for_an_array_where_it_gets_a_list(model: Model) -> None:
    with pytest.raises(PackageError, match=r"takes uint8 \[N, 3, 8, 8\], not a list; give a numpy array"):
        model.run_tensor([1])  # type: ignore[arg-type]


def test_the_tensor_form_refuses_images_and_runs_floats(pristine: Callable[..., Path], photo: Path) -> None:
    model = open_package(pristine(tensor=True), threads=1)
    with pytest.raises(PackageError, match="without a preprocess block and takes no images"):
        model(photo)
    assert model.run_tensor(np.zeros((2, 3, 8, 8), np.float32)).shape == (2, 7)
    with pytest.raises(PackageError, match="takes float32"):
        model.run_tensor(np.zeros((2, 3, 8, 8), np.uint8))


def test_an_image_too_small_for_the_crop_is_refused_by_name(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    with pytest.raises(PackageError, match=r"dot\.png: an image of 1 x 1 pixels is too small for Crop"):
        model(path)


def test_one_bad_image_of_a_list_is_named(model: Model, photo: Path) -> None:
    with pytest.raises(PackageError, match=r"missing\.jpg: no such file"):
        model([photo, "missing.jpg"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tflite"}, 'unknown engine "tflite"; known are auto, onnxruntime, openvino'),
        ({"engine": "tensorrt"}, r'unknown engine "tensorrt"; .*providers=\["TensorrtExecutionProvider"\]'),
        ({"threads": 0}, "threads is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_unfit_options_are_refused(package: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        open_package(package, **options)  # type: ignore[arg-type]


def test_an_engine_not_compiled_for_is_refused(pristine: Callable[..., Path]) -> None:
    with pytest.raises(PackageError, match="compiled for onnxruntime, not for openvino"):
        open_package(pristine(engines=("onnxruntime",)), engine="openvino")


def test_a_missing_engine_is_named_with_its_remedy(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(PackageError, match=r"openvino cannot be imported.*pip install openvino"):
        open_package(package, engine="openvino")


@pytest.mark.slow
def test_openvino_gives_what_onnx_runtime_gives_from_many_threads(package: Path, model: Model) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    other = open_package(package, engine="openvino", threads=1)
    images = _images(16)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(other.probabilities, images))
    np.testing.assert_allclose(np.concatenate(rows), model.probabilities(images), atol=1e-5)


def test_info_tells_what_was_compiled(model: Model) -> None:
    assert model.info["name"] == "tinybird"
    assert model.info["engine"] == "onnxruntime"
    assert model.info["model"]["classes"] == 7
