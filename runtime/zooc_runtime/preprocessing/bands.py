"""Images of any number of channels: arrays, `.npy` files, and the image files that hold so many.

Of image files these are gray with alpha (2 channels), RGBA and CMYK (4), and TIFF files whose pages are gray
images of one size, a channel each. Nothing is converted: an alpha channel is a channel.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ..errors import PackageError
from ..support.arrays import AnyArray, U8Array

__all__ = ["NPY_MAGIC", "bands_of_array", "bands_of_image", "read_npy"]

NPY_MAGIC = b"\x93NUMPY"
_MODES = {2: ("LA",), 4: ("RGBA", "CMYK")}


def read_npy(data: bytes, name: str) -> AnyArray:
    """Return the array of a `.npy` file.

    Raises:
        PackageError: damaged, or of Python objects.
    """
    try:
        array: AnyArray = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError, SyntaxError) as error:
        raise PackageError(
            f"{name}: not a plain array, truncated or damaged ({error}); make it again"
        ) from None
    return array


def bands_of_array(array: AnyArray, name: str, count: int) -> U8Array:
    """Return `uint8 [H, W, count]`, C-contiguous.

    Raises:
        PackageError: another dtype or shape.
    """
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == count and array.size:
        return np.ascontiguousarray(array)
    remedy = "give one image, its channels last"
    if array.dtype != np.uint8:
        remedy = "scale it to 0..255 and convert it with astype('uint8')"
    elif array.ndim == 3 and array.shape[0] == count:
        remedy = "move the channels to the end with transpose(1, 2, 0)"
    raise PackageError(
        f"{name} of dtype {array.dtype} and shape {list(array.shape)} is not an image; {remedy} "
        f"(uint8 [H, W, {count}] is expected)"
    )


def bands_of_image(image: Image.Image, name: str, count: int) -> U8Array:
    """Return `uint8 [H, W, count]` of an image that has so many channels, or pages.

    Raises:
        PackageError: it has another number of them.
    """
    pages = getattr(image, "n_frames", 1)
    if pages == count and image.mode == "L":
        return _stacked(image, name, count)
    if pages == 1 and image.mode in _MODES.get(count, ()):
        image.load()
        return np.asarray(image)
    what = f"{pages} pages of mode {image.mode}" if pages > 1 else f"mode {image.mode}"
    raise PackageError(
        f"{name}: an image of {what}, but {count} channels are expected; give a .npy file of uint8 "
        f"[H, W, {count}], or a TIFF file of {count} gray pages"
    )


def _stacked(image: Image.Image, name: str, count: int) -> U8Array:
    planes = []
    for page in range(count):
        image.seek(page)
        image.load()
        planes.append(np.asarray(image))
        if image.mode != "L" or planes[-1].shape != planes[0].shape:
            raise PackageError(
                f"{name}: its page {page + 1} is unlike the first; give gray pages of one size"
            )
    return np.stack(planes, axis=2)
