"""Sizes through the preprocessing steps, computed without touching a pixel.

The rounding is torchvision's: the long side is `int(size * long / short)`, crop offsets are
`int(round((have - want) / 2.0))`, half to even as Python rounds.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PackageError
from .steps import Crop, Decode, ECenterCrop, Grayscale, Pad, Resize, ResizeTorch, Step, SwapChannels

__all__ = [
    "ECENTER_CROP_MARGIN",
    "Size",
    "crop_offset",
    "ecenter_crop_box",
    "letterbox_size",
    "output_size",
    "resized_size",
]

Size = tuple[int, int]
"""Height, width."""

ECENTER_CROP_MARGIN = 32


def resized_size(height: int, width: int, size: int | Sequence[int], max_size: int | None = None) -> Size:
    """Return what torchvision's `Resize(size, max_size=max_size)` makes of a `height x width` image."""
    if not isinstance(size, int):
        return size[0], size[1]
    short, long = min(height, width), max(height, width)
    new_short, new_long = size, int(size * long / short)
    if max_size is not None and new_long > max_size:
        new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def crop_offset(have: int, want: int) -> int:
    """Return the first row or column that torchvision's `CenterCrop` keeps."""
    return round((have - want) / 2.0)


def ecenter_crop_box(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Return ResNeSt's centred square as Pillow's `crop` rounds it: left, top, right, bottom."""
    side = size / (size + ECENTER_CROP_MARGIN) * min(height, width)
    top, left = round((height - side) / 2.0), round((width - side) / 2.0)
    return left, top, round(left + side), round(top + side)


def letterbox_size(height: int, width: int, into: Size) -> Size:
    """Return the size that fits into `into` with the sides' ratio kept; no side falls below one pixel."""
    scale = min(into[0] / height, into[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def output_size(steps: Sequence[Step], height: int, width: int, *, most_pixels: int | None = None) -> Size:
    """Return the size that `steps` leave of a `height x width` image.

    Raises:
        PackageError: a step leaves nothing of so small an image, or makes more than `most_pixels` of it.
    """
    now = (height, width)
    for step in steps:
        now = _after(step, now)
        if min(now) < 1:
            raise PackageError(
                f"an image of {width} x {height} pixels is too small for {type(step).__name__}; "
                "leave it out or enlarge it first"
            )
        if most_pixels is not None and now[0] * now[1] > most_pixels:
            raise PackageError(
                f"an image of {width} x {height} pixels is too elongated for {type(step).__name__}: it would "
                f"become {now[1]} x {now[0]}; crop the image first"
            )
    return now


def _after(step: Step, now: Size) -> Size:
    height, width = now
    match step:
        case Resize() | ResizeTorch():
            return resized_size(height, width, step.size, step.max_size)
        case ECenterCrop():
            left, top, right, bottom = ecenter_crop_box(height, width, step.size)
            return (0, 0) if right <= left or bottom <= top else (step.size, step.size)
        case Pad():
            return height + step.top + step.bottom, width + step.left + step.right
        case Decode() | SwapChannels() | Grayscale():
            return now
        case Crop() if step.top + step.height > height or step.left + step.width > width:
            return 0, 0
    return step.height, step.width
