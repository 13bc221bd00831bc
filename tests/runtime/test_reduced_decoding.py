"""`Decode("scaled")`: how much smaller a JPEG file is decoded, and what stays as it is."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zooc_runtime import PackageError
from zooc_runtime.preprocessing.decode import decode
from zooc_runtime.preprocessing.pillow_steps import apply_steps
from zooc_runtime.preprocessing.reduced_decoding import reduced_size, reduction
from zooc_runtime.preprocessing.sizes import output_size
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Decode,
    ECenterCrop,
    Grayscale,
    Letterbox,
    Resize,
    ResizeTorch,
    Step,
    SwapChannels,
    steps_from_json,
    steps_to_json,
)

USUAL = (Decode("scaled"), Resize(32), CenterCrop(28, 28))


def photograph(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Smooth, with some noise."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth + rng.normal(0, 4, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode)


def file_of(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("steps", "size", "by"),
    [
        ((Resize(256), CenterCrop(224, 224)), (3024, 4032), 4),  # 756 of 256 is enough, 378 is not
        ((Resize(256), CenterCrop(224, 224)), (4096, 4096), 8),
        ((Resize(256), CenterCrop(224, 224)), (4088, 4096), 4),  # 511 is one row too few
        ((Resize(256), CenterCrop(224, 224)), (375, 500), 1),
        ((Resize((100, 100)),), (200, 4000), 1),  # the shorter side has nothing to spare
        ((Resize((100, 100)),), (401, 4000), 2),
        ((Resize(100, max_size=120),), (800, 2000), 8),
        ((ResizeTorch(100),), (800, 800), 4),
        ((Letterbox(100, 100, "bilinear"),), (800, 1600), 8),
        ((ECenterCrop(224),), (3024, 4032), 4),  # its square has 2646 pixels a side
        ((SwapChannels(), Grayscale(3), Resize((100, 100))), (800, 800), 4),
        ((CenterCrop(100, 100),), (8000, 8000), 1),
        ((), (8000, 8000), 1),
    ],
)
def test_what_is_decoded_has_twice_the_size_that_the_resize_makes(
    steps: tuple[Step, ...], size: tuple[int, int], by: int
) -> None:
    assert reduction((Decode("scaled"), *steps), *size) == by
    assert reduction((Decode("exact"), *steps), *size) == reduction(steps, *size) == 1


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 600),
    st.sampled_from(["Resize", "ECenterCrop", "Letterbox"]),
)
def test_no_size_changes_what_the_steps_leave(height: int, width: int, size: int, kind: str) -> None:
    kinds = {
        "Resize": Resize(size),
        "ECenterCrop": ECenterCrop(size),
        "Letterbox": Letterbox(size, size, "box"),
    }
    steps = (Decode("scaled"), kinds[kind])
    by = reduction(steps, height, width)
    small = reduced_size(height, width, by)
    if by == 1:
        assert small == (height, width)
        return
    assert output_size(steps, *small) == output_size(steps, height, width)
    assert min(small) >= 2 * size * (0 if kind == "Letterbox" else 1)


@pytest.mark.parametrize("size", [(640, 480), (637, 483), (391, 517)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_pixels_are_close_to_those_of_the_whole_picture(size: tuple[int, int], mode: str) -> None:
    data = file_of(photograph(*size, mode), quality=92)
    small, full = decode(data, steps=USUAL), decode(data)
    assert full.shape == (size[1], size[0], 3)
    by = reduction(USUAL, size[1], size[0])
    assert small.shape == (*reduced_size(size[1], size[0], by), 3) and by > 1
    assert small.flags.c_contiguous
    apart = np.abs(apply_steps(small, USUAL).astype(int) - apply_steps(full, USUAL))
    assert apart.mean() < 3 and apart.max() <= 30  # not aligned where the size does not divide


def test_at_sizes_that_divide_the_difference_is_small() -> None:
    data = file_of(photograph(640, 480), quality=92)
    small, full = (apply_steps(decode(data, steps=steps), USUAL).astype(int) for steps in (USUAL, ()))
    apart = np.abs(small - full)
    assert 0 < apart.mean() < 0.5 and apart.max() <= 4


def test_paths_and_bytes_are_decoded_alike_and_images_at_hand_are_left(tmp_path: Path) -> None:
    data = file_of(photograph(640, 480))
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    small = decode(path, steps=USUAL)
    assert small.shape == (120, 160, 3)
    np.testing.assert_array_equal(decode(data, steps=USUAL), small)
    with Image.open(path) as image:
        assert decode(image, steps=USUAL).shape == (480, 640, 3)
    full = decode(path)
    assert decode(full, steps=USUAL) is full


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_other_formats_are_decoded_in_full(kind: str) -> None:
    data = file_of(photograph(640, 480), kind)
    np.testing.assert_array_equal(decode(data, steps=USUAL), decode(data))


def test_a_multi_picture_file_of_a_phone_is_decoded_smaller() -> None:
    data = file_of(photograph(640, 480), "MPO", save_all=True, append_images=[photograph(64, 48)])
    assert decode(data, steps=USUAL).shape[0] < 480
    assert decode(data).shape == (480, 640, 3)


def test_a_progressive_file_is_decoded_smaller() -> None:
    plain, progressive = (file_of(photograph(640, 480), progressive=way) for way in (False, True))
    np.testing.assert_array_equal(decode(progressive, steps=USUAL), decode(plain, steps=USUAL))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_ignored_as_ever(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned, plain = file_of(photograph(640, 480), exif=exif), file_of(photograph(640, 480))
    np.testing.assert_array_equal(decode(turned, steps=USUAL), decode(plain, steps=USUAL))


def test_the_limit_of_pixels_is_that_of_the_whole_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of(photograph(640, 480))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 640 * 480 // 3)
    with pytest.raises(PackageError, match="too many pixels"):
        decode(data, steps=USUAL)


def test_damaged_files_fail_alike() -> None:
    data = file_of(photograph(640, 480))
    for end in (0, 1, 100, 1000, len(data) // 2):
        for steps in (USUAL, ()):
            with pytest.raises(PackageError):
                decode(data[:end], steps=steps)


def test_flipped_bytes_never_crash() -> None:
    data = file_of(photograph(160, 120))
    generator = random.Random(0)
    for _ in range(200):
        broken = bytearray(data)
        for _ in range(generator.randint(1, 8)):
            broken[generator.randrange(len(data))] = generator.randrange(256)
        try:
            pixels = decode(bytes(broken), steps=USUAL)
        except PackageError:
            continue
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and pixels.size


def test_the_step_survives_a_manifest() -> None:
    assert steps_to_json(USUAL)[0] == {"op": "Decode", "how": "scaled"}
    assert steps_from_json(steps_to_json(USUAL)) == USUAL
