"""The reference preprocessing is torchvision's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from zooc.deployment import CenterCrop, ECenterCrop, Normalize, Pad, Preprocess, Resize, Step, SwapChannels
from zooc_runtime.errors import PackageError
from zooc_runtime.preprocessing.pillow_steps import reference_pixels
from zooc_runtime.preprocessing.sizes import output_size

SIZES = ((1, 1), (1, 7), (5, 3), (31, 47), (64, 64), (97, 33), (200, 20), (10, 300))


def _image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _run(image: np.ndarray, *steps: Step) -> np.ndarray:
    return reference_pixels(image, Preprocess(steps, Normalize()).to_json())


def _check(image: np.ndarray, wanted: Image.Image, *steps: Step) -> None:
    got = _run(image, *steps)
    np.testing.assert_array_equal(got, np.asarray(wanted).transpose(2, 0, 1))
    assert got.flags.c_contiguous and got.dtype == np.uint8
    plain = Preprocess(steps, Normalize()).to_json()["steps"]
    assert output_size(plain, *image.shape[:2]) == got.shape[1:]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_steps_equal_torchvisions(size: tuple[int, int]) -> None:
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    modes = transforms.InterpolationMode
    image = _image(*size)
    pil = Image.fromarray(image)
    for name in ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"):
        mode = modes[name.upper()]
        for target in (16, 24, (10, 30)):
            limit: dict[str, Any] = {"max_size": 40} if target == 16 else {}
            try:
                wanted = transforms.Resize(target, mode, **limit)(pil)
            except ValueError:
                with pytest.raises(PackageError, match="too small for Resize"):
                    _run(image, Resize(target, name, **limit))  # type: ignore[arg-type]
                continue
            _check(image, wanted, Resize(target, name, **limit))  # type: ignore[arg-type]
    for crop in ((8, 8), (5, 6), (40, 31), (224, 1)):
        _check(image, transforms.CenterCrop(crop)(pil), CenterCrop(*crop))
    for padding in ((1, 2, 3, 4), (0, 0, 9, 0), (30, 30, 30, 30)):
        _check(image, transforms.Pad(padding, (9, 8, 7))(pil), Pad(*padding, fill=(9, 8, 7)))
        for mode_name in ("edge", "reflect", "symmetric"):
            wanted = transforms.Pad(padding, padding_mode=mode_name)(pil)
            _check(image, wanted, Pad(*padding, mode=mode_name))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n", [224, 320, 64])
def test_the_ecentercrop_is_resnests(size: tuple[int, int], n: int) -> None:
    height, width = size
    pil = Image.fromarray(_image(*size))
    side = n / (n + 32) * min(width, height)
    top, left = int(round((height - side) / 2.0)), int(round((width - side) / 2.0))  # noqa: RUF046
    wanted = pil.crop((left, top, left + side, top + side)).resize((n, n), Image.Resampling.BICUBIC)
    _check(_image(*size), wanted, ECenterCrop(n))


def test_channels_are_swapped_and_steps_are_in_order() -> None:
    image = _image(30, 40)
    swapped = _run(image, Resize(20), CenterCrop(16, 16), SwapChannels())
    np.testing.assert_array_equal(swapped[::-1], _run(image, Resize(20), CenterCrop(16, 16)))


def test_a_crop_that_pillow_would_leave_empty_is_an_error() -> None:
    # int(round(0.25)) and round(0.5) are both 0: the box of ECenterCrop(32) on one pixel is empty.
    with pytest.raises(PackageError, match="1 x 1 pixels is too small for ECenterCrop; leave it out"):
        _run(_image(1, 1), ECenterCrop(32))


def test_a_resize_to_nothing_is_an_error() -> None:
    with pytest.raises(PackageError, match="20000 x 20 pixels is too small for Resize"):
        _run(np.zeros((20, 20000, 3), np.uint8), Resize(224, max_size=300))


def test_a_resize_beyond_all_memory_is_an_error() -> None:
    with pytest.raises(PackageError, match=r"too elongated for Resize.*crop the image first"):
        _run(np.zeros((1, 20000, 3), np.uint8), Resize(1024))


def test_an_elongated_image_works() -> None:
    assert _run(np.zeros((20, 20000, 3), np.uint8), Resize(64), CenterCrop(56, 56)).shape == (3, 56, 56)


def test_an_unknown_step_is_an_error() -> None:
    with pytest.raises(PackageError, match="unknown preprocessing step Whirl"):
        reference_pixels(_image(4, 4), {"steps": [{"op": "Whirl"}]})
