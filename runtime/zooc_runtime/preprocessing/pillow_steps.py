"""The reference preprocessing: each step with Pillow, in torchvision's semantics for PIL images.

The compiled prelude is held to this, pixel by pixel; `--vdsp_params` runs execute it in the prelude's place.
The steps are those of `manifest.json` (`"preprocess"`), and three more that only vdsp files give:
`Crop(left, top, height, width)`, `ResizeCv(height, width)` (OpenCV's bilinear), `Letterbox(height, width,
fill, interpolation)`. Their keys are the steps' parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..errors import PackageError
from ..support.arrays import U8Array
from .nv12 import is_nv12, nv12_to_rgb
from .opencv_resize import resize_cv_linear
from .sizes import crop_offset, ecenter_crop_box, letterbox_size, output_size, resized_size

__all__ = ["apply_steps", "reference_pixels"]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}

Step = dict[str, Any]

_MOST_PIXELS = 1 << 29  # 1.5 GiB of RGB; a 20,000 x 20 image resized to 512 stays below it


def reference_pixels(image: U8Array, preprocess: dict[str, Any]) -> U8Array:
    """Runs the pixel steps of `preprocess` (`{"steps": [...], ...}`); the normalization is not applied.

    Args:
        image: `uint8 [H, W, 3]` RGB; an NV12 frame where the source is one.
        preprocess: what `Preprocess.to_json()` gives and `manifest.json` holds.

    Returns:
        `uint8 [3, h, w]`, in the channel order that the steps leave.

    Raises:
        PackageError: the image is too small for a step, or a step is unknown.
    """
    source = preprocess.get("source", "rgb")
    return apply_steps(nv12_to_rgb(image, source) if is_nv12(source) else image, preprocess["steps"])


def apply_steps(image: U8Array, steps: list[Step]) -> U8Array:
    """`reference_pixels` for a bare list of steps."""
    for step in steps:
        if step["op"] not in _STEPS:
            raise PackageError(f"unknown preprocessing step {step['op']}; this package needs a newer runtime")
    output_size(steps, *image.shape[:2], most_pixels=_MOST_PIXELS)
    for step in steps:
        image = _STEPS[step["op"]](image, step)
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _resize(image: U8Array, step: Step) -> U8Array:
    height, width = resized_size(image.shape[0], image.shape[1], step["size"], step.get("max_size"))
    return _pillow_resize(image, height, width, step["interpolation"])


def _pillow_resize(image: U8Array, height: int, width: int, interpolation: str) -> U8Array:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), _FILTERS[interpolation]))


def _center_crop(image: U8Array, step: Step) -> U8Array:
    want_height, want_width = step["height"], step["width"]
    more_height = max(want_height - image.shape[0], 0)
    more_width = max(want_width - image.shape[1], 0)
    if more_height or more_width:
        rows, columns = (more_height // 2, (more_height + 1) // 2), (more_width // 2, (more_width + 1) // 2)
        image = np.pad(image, (rows, columns, (0, 0)))
    top, left = crop_offset(image.shape[0], want_height), crop_offset(image.shape[1], want_width)
    return image[top : top + want_height, left : left + want_width]


def _ecenter_crop(image: U8Array, step: Step) -> U8Array:
    left, top, right, bottom = ecenter_crop_box(image.shape[0], image.shape[1], step["size"])
    cropped = Image.fromarray(image).crop((left, top, right, bottom))
    return np.asarray(cropped.resize((step["size"], step["size"]), Image.Resampling.BICUBIC))


def _pad(image: U8Array, step: Step) -> U8Array:
    sides = [step["left"], step["top"], step["right"], step["bottom"]]
    if step["mode"] == "constant":
        return np.asarray(ImageOps.expand(Image.fromarray(image), tuple(sides), tuple(step["fill"])))
    # A negative side crops, as torchvision has it.
    cut = [max(-side, 0) for side in sides]
    image = image[cut[1] : image.shape[0] - cut[3], cut[0] : image.shape[1] - cut[2]]
    left, top, right, bottom = (max(side, 0) for side in sides)
    padded: U8Array = np.pad(image, ((top, bottom), (left, right), (0, 0)), mode=step["mode"])
    return padded


def _swap_channels(image: U8Array, _step: Step) -> U8Array:
    return image[:, :, ::-1]


def _crop(image: U8Array, step: Step) -> U8Array:
    top, left, height, width = step["top"], step["left"], step["height"], step["width"]
    return image[top : top + height, left : left + width]


def _resize_cv(image: U8Array, step: Step) -> U8Array:
    return resize_cv_linear(image, step["height"], step["width"])


def _letterbox(image: U8Array, step: Step) -> U8Array:
    height, width = letterbox_size(image.shape[0], image.shape[1], (step["height"], step["width"]))
    if step["interpolation"] == "bilinear_cv":
        inner = resize_cv_linear(image, height, width)
    else:
        inner = _pillow_resize(image, height, width, step["interpolation"])
    canvas = np.empty((step["height"], step["width"], 3), np.uint8)
    canvas[:] = np.array(step["fill"], np.uint8)
    top, left = (step["height"] - height) // 2, (step["width"] - width) // 2
    canvas[top : top + height, left : left + width] = inner
    return canvas


_STEPS: dict[str, Callable[[U8Array, Step], U8Array]] = {
    "Resize": _resize,
    "CenterCrop": _center_crop,
    "ECenterCrop": _ecenter_crop,
    "Pad": _pad,
    "SwapChannels": _swap_channels,
    "Crop": _crop,
    "ResizeCv": _resize_cv,
    "Letterbox": _letterbox,
}
