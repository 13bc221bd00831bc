"""`Grayscale` equals Pillow's and torchvision's on every pixel, wherever among the steps it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from zooc.deployment import Normalize, Preprocess
from zooc.preprocessing.nv12 import as_image_input
from zooc.preprocessing.prelude import build_prelude, resample_order_of_pillow
from zooc.vastai.export_vdsp import NotExpressible, vdsp_document
from zooc_runtime.errors import PackageError
from zooc_runtime.preprocessing.nv12 import nv12_to_rgb
from zooc_runtime.preprocessing.pillow_steps import reference_pixels
from zooc_runtime.preprocessing.sizes import output_size
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Crop,
    ECenterCrop,
    Grayscale,
    Letterbox,
    Pad,
    Resize,
    ResizeCv,
    Step,
    SwapChannels,
    steps_from_json,
    steps_to_json,
)

ORDER = resample_order_of_pillow(PIL.__version__)
Pixels = npt.NDArray[np.uint8]
relaxed = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))

sides = st.integers(1, 160)
images = st.builds(
    lambda height, width, seed: np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8),
    sides,
    sides,
    st.integers(0, 2**32 - 1),
)
small = st.integers(1, 90)
filters = st.sampled_from(["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"])
greys = st.integers(0, 255).map(lambda value: (value,) * 3)
steps_of_torchvision = st.one_of(
    st.builds(Resize, st.tuples(small, small), filters),
    st.builds(Resize, small, filters),
    st.builds(CenterCrop, small, small),
    st.builds(Pad, *[st.integers(0, 20)] * 4, greys),
    st.builds(
        Pad,
        *[st.integers(0, 20)] * 4,
        mode=st.sampled_from(["edge", "reflect", "symmetric"]),
        fill=st.just((0,) * 3),
    ),
)
other_steps = st.one_of(
    st.builds(ECenterCrop, small),
    st.builds(ResizeCv, small, small),
    st.builds(Letterbox, small, small, st.sampled_from(["bilinear", "bicubic", "bilinear_cv"]), greys),
)


def prelude_pixels(steps: tuple[Step, ...], image: Pixels, source: Any = "rgb") -> Pixels:
    rows, columns = image.shape[:2]
    height, width = output_size(steps, rows, columns)
    model = build_prelude(Preprocess(steps, Normalize(), source), height, width, ORDER)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    result: Pixels = session.run(None, {"image": as_image_input(model, image)})[0]
    return result[0]


def by_torchvision(steps: Sequence[Step], image: Pixels) -> Pixels:
    picture = PIL.Image.fromarray(image)
    for step in steps:
        match step:
            case Grayscale(channels):
                picture = tv.rgb_to_grayscale(picture, channels)
            case Resize(size, interpolation):
                picture = tv.resize(picture, size, InterpolationMode(interpolation))  # type: ignore[arg-type]
            case CenterCrop(height, width):
                picture = tv.center_crop(picture, [height, width])
            case Pad(left, top, right, bottom, fill, mode):
                picture = tv.pad(picture, [left, top, right, bottom], fill[0], mode)
            case _:
                raise AssertionError(step)
    pixels: Pixels = tv.pil_to_tensor(picture).numpy()
    return pixels


def placed(steps: Sequence[Step], place: int, channels: int) -> tuple[Step, ...]:
    place %= len(steps) + 1
    return (*steps[:place], Grayscale(channels), *steps[place:])


def too_small(steps: Sequence[Step], image: Pixels) -> bool:
    try:
        return max(output_size(steps, *image.shape[:2])) > 2000
    except PackageError:
        return True


@relaxed
@given(
    image=images,
    steps=st.lists(steps_of_torchvision, max_size=4),
    place=st.integers(0, 4),
    channels=st.sampled_from([1, 3]),
)
def test_it_equals_torchvision_wherever_it_stands(
    image: Pixels, steps: list[Step], place: int, channels: int
) -> None:
    chain = placed(steps, place, channels)
    if too_small(chain, image):
        return
    wanted = by_torchvision(chain, image)
    assert wanted.shape[0] == channels
    np.testing.assert_array_equal(reference_pixels(image, "rgb", chain), wanted)
    np.testing.assert_array_equal(prelude_pixels(chain, image), wanted)


@relaxed
@given(
    image=images,
    steps=st.lists(st.one_of(steps_of_torchvision, other_steps), min_size=1, max_size=3),
    place=st.integers(0, 3),
    channels=st.sampled_from([1, 3]),
)
def test_the_graph_equals_the_reference_with_the_other_steps(
    image: Pixels, steps: list[Step], place: int, channels: int
) -> None:
    chain = placed(steps, place, channels)
    if too_small(chain, image):
        return
    np.testing.assert_array_equal(prelude_pixels(chain, image), reference_pixels(image, "rgb", chain))


def test_every_sum_of_weights_is_rounded_as_pillow_rounds_it() -> None:
    """All greys, and every pair of channels in steps: what `convert("L")` answers."""
    levels = np.arange(256, dtype=np.uint8)
    first, second = np.meshgrid(levels, levels)
    for other in (0, 127, 255):
        third = np.full_like(first, other)
        for channels in ((first, second, third), (first, third, second), (third, first, second)):
            image = np.stack(channels, axis=2)
            wanted = np.asarray(PIL.Image.fromarray(image).convert("L"))
            np.testing.assert_array_equal(prelude_pixels((Grayscale(),), image)[0], wanted)
            np.testing.assert_array_equal(reference_pixels(image, "rgb", (Grayscale(),))[0], wanted)


def test_a_grey_image_stays_what_it_is() -> None:
    """A grey JPEG decoded as RGB has the same value thrice, and the weights add up to one."""
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    as_rgb = np.asarray(PIL.Image.fromarray(grey).convert("RGB"))
    np.testing.assert_array_equal(prelude_pixels((Grayscale(),), as_rgb)[0], grey)


@relaxed
@given(image=images, height=small, width=small)
def test_opencv_resizes_one_channel_as_it_resizes_three(image: Pixels, height: int, width: int) -> None:
    grey = np.asarray(PIL.Image.fromarray(image).convert("L"))
    wanted = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(prelude_pixels((Grayscale(), ResizeCv(height, width)), image)[0], wanted)


@relaxed
@given(image=images, height=small, width=small)
def test_behind_reversed_channels_it_weighs_them_as_they_stand(
    image: Pixels, height: int, width: int
) -> None:
    steps = (SwapChannels(), Resize((height, width)), Grayscale())
    wanted = PIL.Image.fromarray(image[:, :, ::-1].copy()).resize(
        (width, height), PIL.Image.Resampling.BILINEAR
    )
    np.testing.assert_array_equal(prelude_pixels(steps, image)[0], np.asarray(wanted.convert("L")))


@pytest.mark.parametrize("source", ["nv12-bt601", "nv12-bt709"])
def test_it_works_on_the_colours_of_camera_frames(source: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    steps = (Resize((32, 32)), Grayscale())
    model = build_prelude(Preprocess(steps, Normalize(), source), 32, 32, ORDER)  # type: ignore[arg-type]
    frame = as_image_input(model, image)
    rgb = PIL.Image.fromarray(nv12_to_rgb(frame, source))
    wanted = rgb.resize((32, 32), PIL.Image.Resampling.BILINEAR).convert("L")
    np.testing.assert_array_equal(prelude_pixels(steps, image, source)[0], np.asarray(wanted))


def test_the_order_of_the_steps_matters() -> None:
    """Pillow rounds between resize and grey: the two orders differ somewhere, and each is followed."""
    image = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    first = prelude_pixels((Grayscale(), Resize((20, 20))), image)
    last = prelude_pixels((Resize((20, 20)), Grayscale()), image)
    assert (first != last).any()
    assert np.abs(first.astype(int) - last).max() <= 2


def test_a_manifest_keeps_the_step() -> None:
    steps: tuple[Step, ...] = (Grayscale(3), Crop(0, 0, 4, 4), Grayscale())
    assert steps_from_json(steps_to_json(steps)) == steps


def test_the_formula_is_not_the_floating_point_one() -> None:
    """torchvision's own formula for tensors truncates, and gives other pixels: the graph has Pillow's."""
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    of_tensors = tv.rgb_to_grayscale(torch.from_numpy(image.transpose(2, 0, 1).copy())).numpy()
    assert (prelude_pixels((Grayscale(),), image) != of_tensors).any()


@pytest.mark.parametrize(
    ("preprocess", "message"),
    [
        (Preprocess((Resize((32, 32)), Grayscale()), Normalize()), "makes grey of colours"),
        (Preprocess((Resize((32, 32)),), Normalize(), "bands-4"), "the images have 4"),
    ],
)
def test_no_vdsp_operation_has_other_channels(preprocess: Preprocess, message: str) -> None:
    for approximate in (False, True):
        with pytest.raises(NotExpressible, match=message):
            vdsp_document(preprocess, approximate=approximate)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_each_of_many_channels_is_resized_by_itself(channels: int, interpolation: Any) -> None:
    image = np.random.default_rng(3).integers(0, 256, (67, 41, channels), np.uint8)
    steps = (
        Resize(50, interpolation),
        Pad(3, 2, 1, 0, (9, 9, 9)),
        CenterCrop(60, 40),
        Letterbox(33, 20, "bilinear", (7, 7, 7)),
    )
    source = f"bands-{channels}"
    pixels = prelude_pixels(steps, image, source)
    assert pixels.shape == (channels, 33, 20)
    np.testing.assert_array_equal(pixels, reference_pixels(image, source, steps))
    for channel in range(channels):
        thrice = np.repeat(image[:, :, channel : channel + 1], 3, axis=2)
        np.testing.assert_array_equal(pixels[channel], reference_pixels(thrice, "rgb", steps)[0])
