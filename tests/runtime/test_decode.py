"""Decoding is torchvision's default loader, and whatever that would get wrong silently is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zooc_runtime.errors import PackageError
from zooc_runtime.preprocessing.decode import decode


def _rgb(width: int = 20, height: int = 14) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def _bytes(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_every_eight_bit_mode_is_converted_as_pillow_does(mode: str) -> None:
    image = _rgb().convert("L").convert(mode) if mode in ("LA", "PA") else _rgb().convert(mode)
    got = decode(image)
    assert got.shape == (14, 20, 3) and got.dtype == np.uint8
    np.testing.assert_array_equal(got, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("form", "mode"), [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("BMP", "1")]
)
def test_files_decode_as_torchvisions_loader_reads_them(tmp_path: Path, form: str, mode: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(_bytes(_rgb().convert(mode), form))
    with path.open("rb") as file:
        wanted = np.asarray(Image.open(file).convert("RGB"))
    np.testing.assert_array_equal(decode(path), wanted)
    np.testing.assert_array_equal(decode(path.read_bytes()), wanted)


def test_a_palette_with_transparent_entries_decodes_without_a_warning() -> None:
    image = _rgb().quantize(8)
    data = _bytes(image, "PNG", transparency=bytes([0, 128, 255, 255, 255, 255, 255, 255]))
    np.testing.assert_array_equal(decode(data), np.asarray(image.convert("RGB")))


def test_the_exif_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(_bytes(_rgb(), "JPEG", exif=exif)).shape == (14, 20, 3)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (5, 4), color) for color in ("red", "blue")]
    data = _bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (20000, 20), (20, 20000)])
def test_extreme_sizes_decode(size: tuple[int, int]) -> None:
    assert decode(_bytes(Image.new("RGB", size), "PNG")).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_modes_are_refused_with_the_remedy(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.tiff"
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(PackageError, match=r"deep\.tiff: pixels of mode .*scale them to 8 bits"):
        decode(path)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.8])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, form: str, share: float) -> None:
    whole = _bytes(_rgb(120, 90), form)
    path = tmp_path / "cut.img"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PackageError, match=r"cut\.img: "):
        decode(path)


def test_what_is_no_image_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    for given, message in (
        (tmp_path / "text.jpg", r"text\.jpg: not an image that Pillow knows; give"),
        (tmp_path / "empty.jpg", r"empty\.jpg: the file is empty"),
        (tmp_path / "none.jpg", r"none\.jpg: no such file"),
        (tmp_path, "is a folder, not an image"),
        ("a\0b", "cannot be read"),
        (b"", "the 0 bytes given: the file is empty"),
        (b"xyz", "the 3 bytes given: not an image"),
        (3, "cannot read an image from a int"),
    ):
        with pytest.raises(PackageError, match=message):
            decode(given)  # type: ignore[arg-type]


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _bytes(Image.new("RGB", (100, 100)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(PackageError, match="too many pixels"):
        decode(data)


@pytest.mark.parametrize(
    ("shape", "dtype", "remedy"),
    [
        ((4, 4, 3), np.float32, "astype"),
        ((4, 4), np.uint8, "repeat the grey channel"),
        ((4, 4, 1), np.uint8, "repeat the grey channel"),
        ((3, 4, 5), np.uint8, "transpose"),
        ((4, 4, 4), np.uint8, "drop the alpha"),
        ((2, 4, 4, 3), np.uint8, "give one image"),
        ((0, 4, 3), np.uint8, "without pixels"),
    ],
)
def test_unfit_arrays_are_refused_with_the_remedy(shape: tuple[int, ...], dtype: Any, remedy: str) -> None:
    with pytest.raises(PackageError, match=remedy):
        decode(np.zeros(shape, dtype))


def test_an_array_that_is_not_contiguous_is_taken() -> None:
    array = np.asarray(_rgb())[::2, ::-1]
    got = decode(array)
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, array)


def test_a_closed_pil_image_is_refused(tmp_path: Path) -> None:
    _rgb().save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    image.close()
    with pytest.raises(PackageError, match="the PIL image"):
        decode(image)
