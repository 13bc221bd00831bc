"""The reference preprocessing: each step with Pillow, in torchvision's semantics for PIL images, but for the
resizes of OpenCV and torch.

The compiled prelude is held to this, pixel by pixel; `--vdsp-params` runs execute it in the prelude's place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageOps

from ..support.arrays import U8Array
from .nv12 import is_nv12, nv12_to_rgb
from .opencv_resize import resize_cv_linear
from .sizes import crop_offset, ecenter_crop_box, letterbox_size, output_size, resized_size
from .steps import (
    CenterCrop,
    Crop,
    Decode,
    ECenterCrop,
    Grayscale,
    Letterbox,
    Pad,
    Resize,
    ResizeCv,
    ResizeTorch,
    Step,
    SwapChannels,
)
from .torch_resize import resize_torch

__all__ = ["apply_steps", "reference_pixels"]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}

_RGB = 3

_MOST_PIXELS = 1 << 29  # 1.5 GiB of RGB; a 20,000 x 20 image resized to 512 stays below it


def reference_pixels(image: U8Array, source: str, steps: Sequence[Step]) -> U8Array:
    """Run the steps on an image; the normalization is not applied.

    Args:
        image: `uint8 [H, W, 3]` RGB; an NV12 frame where `source` is one.
        source: as `Preprocess.source` has it.
        steps: in order.

    Returns:
        `uint8 [channels, h, w]`, in the channel order that the steps leave.

    Raises:
        PackageError: the image is too small for a step.
    """
    return apply_steps(nv12_to_rgb(image, source) if is_nv12(source) else image, steps)


def apply_steps(image: U8Array, steps: Sequence[Step]) -> U8Array:
    """Run the steps on an RGB image, as `reference_pixels` does."""
    output_size(steps, *image.shape[:2], most_pixels=_MOST_PIXELS)
    for step in steps:
        image = _apply(image, step)
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _apply(image: U8Array, step: Step) -> U8Array:  # noqa: PLR0911 - one return a case
    height, width = image.shape[:2]
    match step:
        case Decode():
            return image  # it has been
        case Resize():
            size = resized_size(height, width, step.size, step.max_size)
            return _pillow_resize(image, *size, step.interpolation)
        case CenterCrop():
            return _center_crop(image, step)
        case ECenterCrop():
            box, size = ecenter_crop_box(height, width, step.size), (step.size, step.size)
            return _by_pillow(image, lambda whole: whole.crop(box).resize(size, Image.Resampling.BICUBIC))
        case Pad():
            return _pad(image, step)
        case SwapChannels():
            return image[:, :, ::-1]
        case Grayscale():
            grey = np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L"))
            return np.stack([grey] * step.channels, axis=2)
        case Crop():
            return image[step.top : step.top + step.height, step.left : step.left + step.width]
        case ResizeCv():
            return resize_cv_linear(image, step.height, step.width)
        case ResizeTorch():
            size = resized_size(height, width, step.size, step.max_size)
            return resize_torch(image, *size, step.interpolation, antialias=step.antialias)
        case Letterbox():
            return _letterbox(image, step)


def _by_pillow(image: U8Array, change: Callable[[Image.Image], Image.Image]) -> U8Array:
    """Change an RGB image; of another one each channel by itself, as an image of mode `L`."""
    if image.shape[2] == _RGB:
        return np.asarray(change(Image.fromarray(np.ascontiguousarray(image))))
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in image.transpose(2, 0, 1))
    return np.stack([np.asarray(change(plane)) for plane in planes], axis=2)


def _fill(image: U8Array, fill: tuple[int, int, int]) -> tuple[int, int, int] | int:
    return fill if image.shape[2] == _RGB else fill[0]


def _pillow_resize(image: U8Array, height: int, width: int, interpolation: str) -> U8Array:
    if image.shape[:2] == (height, width):
        return image
    return _by_pillow(image, lambda whole: whole.resize((width, height), _FILTERS[interpolation]))


def _center_crop(image: U8Array, step: CenterCrop) -> U8Array:
    more_height = max(step.height - image.shape[0], 0)
    more_width = max(step.width - image.shape[1], 0)
    if more_height or more_width:
        rows, columns = (more_height // 2, (more_height + 1) // 2), (more_width // 2, (more_width + 1) // 2)
        image = np.pad(image, (rows, columns, (0, 0)))
    top, left = crop_offset(image.shape[0], step.height), crop_offset(image.shape[1], step.width)
    return image[top : top + step.height, left : left + step.width]


def _pad(image: U8Array, step: Pad) -> U8Array:
    sides = (step.left, step.top, step.right, step.bottom)
    if step.mode == "constant":
        fill = _fill(image, step.fill)
        return _by_pillow(image, lambda whole: ImageOps.expand(whole, sides, fill))
    # A negative side crops, as torchvision has it.
    cut = [max(-side, 0) for side in sides]
    image = image[cut[1] : image.shape[0] - cut[3], cut[0] : image.shape[1] - cut[2]]
    left, top, right, bottom = (max(side, 0) for side in sides)
    padded: U8Array = np.pad(image, ((top, bottom), (left, right), (0, 0)), mode=step.mode)
    return padded


def _letterbox(image: U8Array, step: Letterbox) -> U8Array:
    height, width = letterbox_size(image.shape[0], image.shape[1], (step.height, step.width))
    if step.interpolation == "bilinear_cv":
        inner = resize_cv_linear(image, height, width)
    else:
        inner = _pillow_resize(image, height, width, step.interpolation)
    canvas = np.empty((step.height, step.width, image.shape[2]), np.uint8)
    canvas[:] = np.array(_fill(image, step.fill), np.uint8)
    top, left = (step.height - height) // 2, (step.width - width) // 2
    canvas[top : top + height, left : left + width] = inner
    return canvas
