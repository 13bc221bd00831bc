"""`Resize(..., library=torch)`: torchvision's pixels of a uint8 tensor, in numpy and in the graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zooc.deployment import Normalize, Preprocess
from zooc.preprocessing.prelude import build_prelude
from zooc_runtime.preprocessing.pillow_steps import reference_pixels
from zooc_runtime.preprocessing.steps import CenterCrop, Crop, Resize, ResizeTorch, Step, SwapChannels
from zooc_runtime.preprocessing.torch_resize import resize_torch

Pixels = npt.NDArray[np.uint8]


class Way(NamedTuple):
    """How to resize."""

    interpolation: Any
    antialias: bool


WAYS = [Way(word, antialias) for word in ("bilinear", "bicubic") for antialias in (True, False)]


def run(steps: tuple[Step, ...], height: int, width: int, image: Pixels) -> Pixels:
    model = build_prelude(Preprocess(steps, Normalize()), height, width, "pillow-13")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    result: Pixels = session.run(None, {"image": image})[0]
    return result[0]


def picture(height: int, width: int, seed: int) -> Pixels:
    """Noise, or pixels of 0 and 255 only, so that negative lobes overshoot as far as they can."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        return (255 * rng.integers(0, 2, (height, width, 3))).astype(np.uint8)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_equals_reference(steps: tuple[Step, ...], height: int, width: int, image: Pixels) -> None:
    wanted = reference_pixels(image, "rgb", steps)
    assert wanted.shape == (3, height, width)
    np.testing.assert_array_equal(run(steps, height, width, image), wanted)


sides = st.one_of(st.integers(1, 24), st.integers(1, 700))
images = st.builds(picture, sides, sides, st.integers(0, 2**32 - 1))
moderate = st.builds(picture, st.integers(60, 500), st.integers(60, 500), st.integers(0, 2**32 - 1))
"""Their longer side stays short when the shorter one is resized."""
targets = st.one_of(st.integers(1, 9), st.integers(1, 300))
ways = st.sampled_from(WAYS)
relaxed = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(image=images, height=targets, width=targets, way=ways)
@example(image=picture(1, 1, 1), height=300, width=1, way=Way("bicubic", False))
@example(image=picture(90, 60, 1), height=90, width=60, way=Way("bicubic", False))
@example(image=picture(2, 3, 1), height=7, width=200, way=Way("bicubic", False))
@example(image=picture(700, 500, 1), height=2, width=3, way=Way("bilinear", True))
def test_the_graph_equals_the_runtimes_arithmetic(image: Pixels, height: int, width: int, way: Way) -> None:
    step = ResizeTorch((height, width), way.interpolation, antialias=way.antialias)
    assert_equals_reference((step,), height, width, image)


@relaxed
@given(image=moderate, size=st.integers(2, 300), crop=st.tuples(targets, targets), way=ways)
@example(image=picture(20, 400, 1), size=200, crop=(224, 224), way=Way("bicubic", True))
@example(image=picture(500, 375, 0), size=256, crop=(224, 224), way=Way("bilinear", True))
def test_the_graph_computes_only_what_a_crop_keeps(
    image: Pixels, size: int, crop: tuple[int, int], way: Way
) -> None:
    """The bits of the weights follow from all outputs, also of those that the crop drops."""
    step = ResizeTorch(size, way.interpolation, antialias=way.antialias)
    assert_equals_reference((step, CenterCrop(*crop)), *crop, image)


@pytest.mark.parametrize("way", WAYS)
def test_a_fixed_crop_and_a_chain_of_steps(way: Way) -> None:
    image = picture(301, 233, 4)
    first = ResizeTorch((90, 80), way.interpolation, antialias=way.antialias)
    second = ResizeTorch((33, 44), way.interpolation, antialias=way.antialias)
    assert_equals_reference((SwapChannels(), first, Crop(9, 5, 70, 50), second), 33, 44, image)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("height, width", [(20, 20000), (20000, 20), (1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes(height: int, width: int, way: Way) -> None:
    step = ResizeTorch((64, 64), way.interpolation, antialias=way.antialias)
    assert_equals_reference((step,), 64, 64, picture(height, width, 5))


def test_all_operators_are_of_the_default_domain() -> None:
    for way in WAYS:
        steps = (ResizeTorch(256, way.interpolation, antialias=way.antialias), CenterCrop(224, 224))
        model = build_prelude(Preprocess(steps, Normalize()), 224, 224, "pillow-13")
        assert {node.domain for node in model.graph.node} == {""}
        assert all(node.name.startswith("prelude/") for node in model.graph.node)


def torchvision_pixels(image: Pixels, size: Any, way: Way, max_size: int | None = None) -> Pixels:
    """What torchvision's `Resize` (v2) makes of the image as a uint8 tensor, `[3, h, w]`."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    resize = pytest.importorskip("torchvision.transforms.v2.functional").resize
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("on this CPU torchvision resizes bilinear in float32")
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    if size != [1, 1]:
        # torch 2.14 fails on a tensor of this layout where the result is a single pixel.
        tensor = tensor.contiguous()
    mode = pytest.importorskip("torchvision.transforms").InterpolationMode(way.interpolation)
    result: Pixels = resize(tensor, size, mode, max_size=max_size, antialias=way.antialias).numpy()
    return result


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(image=images, height=targets, width=targets, way=ways)
def test_the_runtimes_arithmetic_equals_torchvision(image: Pixels, height: int, width: int, way: Way) -> None:
    wanted = torchvision_pixels(image, [height, width], way)
    ours = resize_torch(image, height, width, way.interpolation, antialias=way.antialias)
    np.testing.assert_array_equal(ours.transpose(2, 0, 1), wanted)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(image=images, height=targets, width=targets, way=ways)
def test_the_graph_equals_torchvision(image: Pixels, height: int, width: int, way: Way) -> None:
    wanted = torchvision_pixels(image, [height, width], way)
    step = ResizeTorch((height, width), way.interpolation, antialias=way.antialias)
    np.testing.assert_array_equal(run((step,), height, width, image), wanted)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(image=moderate, size=st.integers(2, 200), extra=st.none() | st.integers(1, 80), crop=targets, way=ways)
def test_the_shorter_side_max_size_and_a_crop_equal_torchvision(
    image: Pixels, size: int, extra: int | None, crop: int, way: Way
) -> None:
    height, width, _ = image.shape
    limit = None if extra is None else size + extra
    if limit is not None and int(limit * min(height, width) / max(height, width)) < 1:
        return  # torchvision refuses a side without pixels
    resized = torchvision_pixels(image, size, way, limit)
    torch = pytest.importorskip("torch")
    center_crop = pytest.importorskip("torchvision.transforms.v2.functional").center_crop
    wanted = center_crop(torch.from_numpy(resized), [crop, crop]).numpy()
    steps = (ResizeTorch(size, way.interpolation, limit, way.antialias), CenterCrop(crop, crop))
    np.testing.assert_array_equal(run(steps, crop, crop, image), wanted)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(image=images, height=targets, width=st.integers(2, 300), way=ways)
def test_a_float_tensor_is_within_one_grey_level(image: Pixels, height: int, width: int, way: Way) -> None:
    """`uint8` is rounded after each pass, a float tensor never.

    It is also clipped after each pass. To keep the cubic's overshoot within 0 and 255, its images have half
    the contrast. No result is one pixel wide: there torch 2.14 mixes up the rows of float tensors.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed")
    resize = pytest.importorskip("torchvision.transforms.v2.functional").resize
    mode = pytest.importorskip("torchvision.transforms").InterpolationMode(way.interpolation)
    if way.interpolation == "bicubic":
        image = image // 2 + np.uint8(64)
    tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous().float() / 255
    exact = resize(tensor, [height, width], mode, antialias=way.antialias).numpy().astype(np.float64) * 255
    ours = resize_torch(image, height, width, way.interpolation, antialias=way.antialias).transpose(2, 0, 1)
    assert np.abs(np.rint(exact) - ours).max() <= 1


@pytest.mark.slow
def test_a_float_tensor_differs_more_where_the_cubic_overshoots() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    resize = pytest.importorskip("torchvision.transforms.v2.functional").resize
    image = picture(200, 300, 2)
    tensor = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    exact = resize(tensor, [80, 400], "bicubic", antialias=False).clamp(0, 1).numpy() * 255
    ours = resize_torch(image, 80, 400, "bicubic", antialias=False).transpose(2, 0, 1)
    assert 10 < np.abs(exact - ours).max() < 100


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("height, width", [(375, 500), (120, 100)])
def test_pillow_gives_nearly_the_pixels_of_antialias_and_no_others(
    interpolation: Any, height: int, width: int
) -> None:
    """Why the language tells them apart; and a test above that compared the wrong ones would not pass."""
    image = picture(height, width, 2)
    pillow = reference_pixels(image, "rgb", (Resize((224, 224), interpolation),)).astype(int)
    smooth = torchvision_pixels(image, [224, 224], Way(interpolation, True))
    difference = np.abs(smooth - pillow)
    assert 0 < (difference > 0).mean() < 0.02
    assert difference.max() <= 2
    if height > 224:
        plain = torchvision_pixels(image, [224, 224], Way(interpolation, False))
        assert (plain != pillow).mean() > 0.9
