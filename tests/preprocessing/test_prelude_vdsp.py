"""What the accelerators' files ask for: OpenCV's resize, fixed crops, letterboxes and NV12 frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import PIL
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zooc.deployment import Normalize, Preprocess
from zooc.preprocessing.prelude import build_prelude, resample_order_of_pillow
from zooc_runtime.preprocessing.nv12 import nv12_to_rgb, rgb_to_nv12
from zooc_runtime.preprocessing.pillow_steps import reference_pixels
from zooc_runtime.preprocessing.steps import CenterCrop, Crop, Letterbox, ResizeCv, Step, SwapChannels

ORDER = resample_order_of_pillow(PIL.__version__)
INTERPOLATIONS = ["bilinear_cv", "nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
Pixels = npt.NDArray[np.uint8]


def run(preprocess: Preprocess, height: int, width: int, image: Pixels) -> Pixels:
    model = build_prelude(preprocess, height, width, ORDER)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    result: Pixels = session.run(None, {"image": image})[0]
    return result[0]


def assert_equals_reference(
    steps: tuple[Step, ...], height: int, width: int, image: Pixels, source: Any = "rgb"
) -> None:
    preprocess = Preprocess(steps, Normalize(), source)
    wanted = reference_pixels(image, preprocess.source, preprocess.steps)
    assert wanted.shape == (3, height, width)
    np.testing.assert_array_equal(run(preprocess, height, width, image), wanted)


def picture(height: int, width: int, seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    if seed % 2:
        return (255 * rng.integers(0, 2, (height, width, 3))).astype(np.uint8)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


sides = st.one_of(st.integers(1, 24), st.integers(1, 700))
images = st.builds(picture, sides, sides, st.integers(0, 2**32 - 1))
targets = st.integers(1, 300)
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(image=images, height=targets, width=targets)
@example(image=picture(1, 1, 0), height=1, width=1)
@example(image=picture(1, 1, 0), height=300, width=200)
@example(image=picture(128, 256, 0), height=64, width=128)
@example(image=picture(64, 48, 1), height=32, width=48)
@example(image=picture(50, 60, 1), height=50, width=60)
def test_the_resize_equals_the_reference(image: Pixels, height: int, width: int) -> None:
    assert_equals_reference((ResizeCv(height, width),), height, width, image)


@relaxed
@given(image=images, height=targets, width=targets)
@example(image=picture(1, 1, 0), height=1, width=1)
@example(image=picture(128, 256, 0), height=64, width=128)
@example(image=picture(375, 500, 0), height=256, width=256)
def test_the_resize_equals_opencv_itself(image: Pixels, height: int, width: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    wanted = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    got = run(Preprocess((ResizeCv(height, width),), Normalize()), height, width, image)
    np.testing.assert_array_equal(got, wanted)


@relaxed
@given(image=images, size=st.tuples(targets, targets), data=st.data())
def test_a_crop_at_any_place_equals_the_reference(image: Pixels, size: tuple[int, int], data: Any) -> None:
    height, width = (data.draw(st.integers(1, side)) for side in size)
    top, left = data.draw(st.integers(0, size[0] - height)), data.draw(st.integers(0, size[1] - width))
    crop = data.draw(st.sampled_from([Crop(left, top, height, width), CenterCrop(height, width)]))
    assert_equals_reference((ResizeCv(*size), crop), height, width, image)


@relaxed
@given(image=images, data=st.data())
def test_a_crop_of_the_image_itself_equals_the_reference(image: Pixels, data: Any) -> None:
    height, width = (data.draw(st.integers(1, side)) for side in image.shape[:2])
    top = data.draw(st.integers(0, image.shape[0] - height))
    left = data.draw(st.integers(0, image.shape[1] - width))
    assert_equals_reference((Crop(left, top, height, width), ResizeCv(20, 30)), 20, 30, image)


@relaxed
@given(
    image=images,
    size=st.tuples(targets, targets),
    fill=st.sampled_from([(114, 114, 114), (1, 2, 3)]),
    interpolation=st.sampled_from(INTERPOLATIONS),
    swap=st.booleans(),
)
@example(image=picture(700, 1, 2), size=(1, 300), fill=(1, 2, 3), interpolation="bilinear_cv", swap=True)
@example(image=picture(1, 1, 2), size=(64, 64), fill=(1, 2, 3), interpolation="bicubic", swap=False)
def test_a_letterbox_equals_the_reference(
    image: Pixels, size: tuple[int, int], fill: tuple[int, int, int], interpolation: Any, swap: bool
) -> None:
    before: tuple[Step, ...] = (SwapChannels(),) if swap else ()
    assert_equals_reference((*before, Letterbox(*size, interpolation, fill)), *size, image)


half_sides = st.integers(1, 150)


@relaxed
@given(
    height=half_sides,
    width=half_sides,
    seed=st.integers(0, 2**32 - 1),
    source=st.sampled_from(["nv12-bt601", "nv12-bt709"]),
)
@example(height=1, width=1, seed=0, source="nv12-bt601")
def test_nv12_frames_equal_the_reference(height: int, width: int, seed: int, source: str) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (3 * height, 2 * width), dtype=np.uint8)
    steps: tuple[Step, ...] = (ResizeCv(40, 50), SwapChannels(), CenterCrop(32, 32))
    assert_equals_reference(steps, 32, 32, frame, source)


def test_bt601_equals_opencv_for_every_colour() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    y, v = np.repeat(np.arange(0, 256, 5), 256), np.tile(np.arange(256), 52)
    for u in range(0, 256, 3):
        frame = np.empty((3, 2 * y.size), np.uint8)
        frame[:2], frame[2, 0::2], frame[2, 1::2] = np.repeat(y, 2), u, v
        wanted = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12)
        np.testing.assert_array_equal(nv12_to_rgb(frame, "nv12-bt601"), wanted)


@pytest.mark.parametrize("source", ["nv12-bt601", "nv12-bt709"])
def test_grey_white_and_primaries_come_back_from_nv12(source: str) -> None:
    colours = np.array([[0, 0, 0], [255, 255, 255], [128, 128, 128], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
    image = np.repeat(np.repeat(colours[None].astype(np.uint8), 2, axis=0), 2, axis=1)
    back = nv12_to_rgb(rgb_to_nv12(image, source), source)
    assert np.abs(back.astype(int) - image).max() <= 2


def test_the_preludes_stay_small() -> None:
    for steps, most in (((ResizeCv(256, 256), CenterCrop(224, 224)), 100), ((Letterbox(224, 224),), 115)):
        model = build_prelude(Preprocess(steps, Normalize()), 224, 224, ORDER)  # type: ignore[arg-type]
        assert {node.domain for node in model.graph.node} == {""}
        assert len(model.graph.node) <= most
