"""Decoding: from whatever the caller has to `uint8 [H, W, 3]` RGB, as torchvision's default loader does it.

That loader is `Image.open(file).convert("RGB")`. The EXIF orientation is *not* applied, because networks are
trained and evaluated without it; rotate such images beforehand if you want it. Of an animation the first
frame counts; an alpha channel is dropped, not blended. What a network of other than three colours takes is in
`bands`. A `.npy` file is the array that it holds.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Union

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from ..data.source import NamedImage
from ..errors import ImageTooLarge, PackageError
from ..support.arrays import AnyArray, U8Array
from ..support.files import refuse_special
from .bands import NPY_MAGIC, bands_of_array, bands_of_image, read_npy
from .nv12 import check_frame, is_nv12
from .reduced_decoding import reduced_size, reduction
from .sources import bands_of
from .steps import Step

__all__ = ["ImageLike", "decode", "describe"]

ImageLike = Union[str, "os.PathLike[str]", bytes, Image.Image, AnyArray, NamedImage]
"""One image: a path, the bytes of an image file, a PIL image, `uint8 [H, W, 3]` RGB, or one of a source."""


def decode(
    image: ImageLike, source: str = "rgb", steps: Sequence[Step] = (), most_pixels: int | None = None
) -> U8Array:
    """Read one image.

    Args:
        image: a path, the bytes of an image file, a PIL image, an image of a source, or a `uint8 [H, W, 3]`
            RGB array; for NV12 a `uint8 [H * 3 / 2, W]` frame and nothing else.
        source: `rgb`, one of `nv12.MATRICES`, or `bands-4`: images of so many channels.
        steps: the preprocessing to come. Where it begins with `Decode("scaled")`, a JPEG file (a path or
            bytes) is decoded at 1/2, 1/4 or 1/8 of its size if that is enough (`reduced_decoding`).
        most_pixels: an image file with more of them, as its header says, is refused before it is decoded.

    Returns:
        `uint8 [H, W, 3]`, RGB, C-contiguous; of NV12 the frame as it is; of `bands-4` `[H, W, 4]`.

    Raises:
        SourceError: the image is of a source that fails as a whole.
        PackageError: not an image, damaged, of a mode that Pillow would clip silently, or an unfit array.
        ImageTooLarge: a file with more than `most_pixels`, or so many that Pillow suspects an attack.
    """
    if is_nv12(source):
        return check_frame(image)
    bands = bands_of(source)
    if isinstance(image, np.ndarray):
        return _checked_array(image, bands)
    if isinstance(image, Image.Image):
        if bands is not None:
            return bands_of_image(image, "the PIL image", bands)
        return _to_rgb(image, "the PIL image", ours=False)
    if isinstance(image, (bytes, bytearray, memoryview, NamedImage)):
        content, name = (
            (image.read(), image.title)
            if isinstance(image, NamedImage)
            else (bytes(image), f"the {len(image)} bytes given")
        )
        return _decode_bytes(content, name, bands, steps, most_pixels)
    if isinstance(image, (str, os.PathLike)):
        return _decode_file(image, bands, steps, most_pixels)
    raise PackageError(
        f"cannot read an image from a {type(image).__name__}; give a path, the bytes of an image file, "
        f"a PIL image or a uint8 array [H, W, {bands or 3}]"
    )


def describe(image: ImageLike) -> str:
    """Return a name for the image in messages: its path, or what it is."""
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    if isinstance(image, NamedImage):
        return image.title
    return f"array {list(image.shape)}" if isinstance(image, np.ndarray) else f"{type(image).__name__} image"


def _decode_file(
    path: str | os.PathLike[str], bands: int | None, steps: Sequence[Step], most_pixels: int | None
) -> U8Array:
    name = os.fspath(path)
    try:
        if Path(path).is_dir():
            raise PackageError(f"{name}: is a folder, not an image; give the files in it")
        refuse_special(Path(path), pipes=True)
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise PackageError(f"{name}: no such file; check the path") from None
    except PermissionError:
        raise PackageError(f"{name}: permission denied; make the file readable") from None
    except (OSError, ValueError) as error:
        raise PackageError(f"{name}: cannot be read ({error}); check the path and the disk") from None
    return _decode_bytes(data, name, bands, steps, most_pixels)


def _decode_bytes(
    data: bytes, name: str, bands: int | None, steps: Sequence[Step], most_pixels: int | None
) -> U8Array:
    if not data:
        raise PackageError(f"{name}: the file is empty; fetch or export the image again")
    if data.startswith(NPY_MAGIC):
        return _checked_array(read_npy(data, name), bands, f"{name}: ")
    convert: Callable[[Image.Image, str], U8Array] = partial(_to_rgb, ours=True)
    if bands is not None:
        convert = partial(bands_of_image, count=bands)
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if most_pixels is not None and opened.width * opened.height > most_pixels:
                raise ImageTooLarge(
                    f"{name}: {opened.width} x {opened.height} pixels are more than the {most_pixels} "
                    "allowed; scale it down first"
                )
            kept = _reduce(opened, steps)
            pixels = convert(opened, name)
            return pixels if kept is None else np.ascontiguousarray(pixels[: kept[0], : kept[1]])
    except PackageError:
        raise
    except UnidentifiedImageError:
        raise PackageError(
            f"{name}: not an image that Pillow knows; give a JPEG, PNG, BMP, GIF, WebP or TIFF file"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(
            f"{name}: too many pixels, which may be a decompression bomb ({error}); scale it down first"
        ) from None
    except Exception as error:  # Pillow's decoders raise whatever they meet in a damaged file
        raise _damaged(name, error) from None


def _reduce(image: Image.Image, steps: Sequence[Step]) -> tuple[int, int] | None:
    """Has a JPEG file decoded smaller where the steps allow; returns the height and width to keep of it."""
    width, height = image.size
    by = reduction(steps, height, width) if isinstance(image, JpegImageFile) else 1
    if by == 1 or image.draft(None, (width // by, height // by)) is None:
        return None
    return reduced_size(height, width, by)


def _to_rgb(image: Image.Image, name: str, *, ours: bool) -> U8Array:
    if image.mode.startswith("I") or image.mode == "F":
        raise PackageError(
            f"{name}: pixels of mode {image.mode} (16 or 32 bits, or float), which a conversion to 8 "
            f"bits would clip; "
            "scale them to 8 bits yourself, e.g. (array / 257).round().astype('uint8') for 16 bits"
        )
    if isinstance(image.info.get("transparency"), bytes):
        # Pillow would warn that RGB drops the palette's alpha; dropping it is what training does.
        image = image if ours else image.copy()
        del image.info["transparency"]
    try:
        image.load()
        pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # which would copy
    except Exception as error:  # as above
        raise _damaged(name, error) from None
    if pixels.size == 0:
        raise PackageError(f"{name}: an image without pixels ({image.width} x {image.height}); leave it out")
    return pixels


def _damaged(name: str, error: Exception) -> PackageError:
    return PackageError(f"{name}: damaged or truncated image ({error}); fetch or export it again")


def _checked_array(array: AnyArray, bands: int | None, of_file: str = "") -> U8Array:
    if bands is not None:
        return bands_of_array(array, f"{of_file}an array", bands)
    shape = list(array.shape)
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        if array.size == 0:
            raise PackageError(f"{of_file}an array {shape} without pixels; leave it out")
        return np.ascontiguousarray(array)
    problem = f"{of_file}an array of dtype {array.dtype} and shape {shape} is not an image; "
    if array.dtype != np.uint8:
        remedy = "scale it to 0..255 and convert it with astype('uint8')"
    elif array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        remedy = "repeat the grey channel three times"
    elif array.ndim == 3 and array.shape[0] == 3:
        remedy = "move the channels to the end with transpose(1, 2, 0)"
    elif array.ndim == 3 and array.shape[2] == 4:
        remedy = "drop the alpha channel with [..., :3]"
    else:
        remedy = "give one image"
    raise PackageError(problem + remedy + " (uint8 [H, W, 3], RGB is expected)")
