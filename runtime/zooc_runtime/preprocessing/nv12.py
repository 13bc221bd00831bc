"""NV12 frames, as cameras and video decoders deliver them, to RGB in OpenCV's fixed point.

A frame of `H x W` pixels (both even) is `uint8 [H * 3 / 2, W]`: `H` rows of luma, then `H / 2` rows of
chroma, Cb and Cr by turns, one pair for each 2 x 2 pixels. Luma lies in 16..235, chroma in 16..240 (video
range). BT.601 equals `cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12)` on every pixel. BT.709, which OpenCV does
not have, goes the same way with that standard's coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import PackageError
from ..support.arrays import AnyArray, U8Array

__all__ = ["BITS", "MATRICES", "Matrix", "check_frame", "frame_size", "is_nv12", "nv12_to_rgb", "rgb_to_nv12"]

BITS = 20
"""Fractional bits of the coefficients."""


@dataclass(frozen=True)
class Matrix:
    """Fixed-point coefficients: of luma above 16, and of Cb and Cr above 128 for red, green and blue."""

    luma: int
    cb: tuple[int, int, int]
    cr: tuple[int, int, int]


def _matrix(red: float, blue: float) -> Matrix:
    """The coefficients that follow from a standard's weights of red and blue in luma, rounded to 20 bits."""
    green = 1 - red - blue
    chroma = (1 << BITS) * 255 / 224
    to_red, to_blue = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    return Matrix(
        luma=round((1 << BITS) * 255 / 219),
        cb=(0, round(-to_blue * blue / green), round(to_blue)),
        cr=(round(to_red), round(-to_red * red / green), 0),
    )


MATRICES = {
    # OpenCV's constants: 1.164, 2.018, -0.391, -0.813 and 1.596 with 20 bits.
    "nv12-bt601": Matrix(luma=1220542, cb=(0, -409993, 2116026), cr=(1673527, -852492, 0)),
    "nv12-bt709": _matrix(0.2126, 0.0722),
}
"""By the manifest's `preprocess.source`."""


def is_nv12(source: str) -> bool:
    """Tell whether a manifest's `preprocess.source` means NV12 frames."""
    return source in MATRICES


def frame_size(frame: AnyArray) -> tuple[int, int]:
    """Return height and width in pixels of the picture that a frame holds."""
    return frame.shape[0] // 3 * 2, frame.shape[1]


def check_frame(frame: object) -> U8Array:
    """Return the frame itself, C-contiguous.

    Raises:
        PackageError: no array, or of a dtype or shape that no NV12 frame has.
    """
    wanted = "a uint8 array [height * 3 / 2, width] with even height and width is expected"
    if not isinstance(frame, np.ndarray):
        raise PackageError(
            f"this package takes NV12 frames, not a {type(frame).__name__}; {wanted}. For image files "
            "compile the .zoo file without its NV12() line"
        )
    if frame.ndim == 3 and frame.shape[2] == 3:
        raise PackageError(
            f"this package takes NV12 frames, not an RGB image {list(frame.shape)}; {wanted}. For images "
            "compile the .zoo file without its NV12() line"
        )
    rows, columns = frame.shape if frame.ndim == 2 else (0, 0)
    if frame.dtype != np.uint8 or not rows or not columns or rows % 3 or columns % 2:
        raise PackageError(
            f"an array of dtype {frame.dtype} and shape {list(frame.shape)} is not an NV12 frame; {wanted}"
        )
    return np.ascontiguousarray(frame)


def nv12_to_rgb(frame: U8Array, source: str) -> U8Array:
    """Return `uint8 [H, W, 3]` RGB of a frame.

    Args:
        frame: `uint8 [H * 3 / 2, W]`.
        source: `nv12-bt601` or `nv12-bt709`.
    """
    matrix = MATRICES[source]
    height, width = frame_size(frame)
    luma = np.maximum(frame[:height].astype(np.int32) - 16, 0) * matrix.luma + (1 << (BITS - 1))
    chroma = frame[height:].reshape(height // 2, width // 2, 2).astype(np.int32) - 128
    colour = chroma[..., :1] * np.array(matrix.cb, np.int32) + chroma[..., 1:] * np.array(matrix.cr, np.int32)
    blocks = luma.reshape(height // 2, 2, width // 2, 2, 1) + colour[:, None, :, None]
    rgb: U8Array = (blocks >> BITS).clip(0, 255).astype(np.uint8)
    return rgb.reshape(height, width, 3)


def rgb_to_nv12(image: U8Array, source: str) -> U8Array:
    """A frame that shows `image`, `uint8 [H, W, 3]` with even sides: chroma is the mean of 2 x 2 pixels.

    For goldens, benchmarks and tests; the inverse of `nv12_to_rgb` only up to rounding and lost chroma.
    """
    red, blue = (0.299, 0.114) if source == "nv12-bt601" else (0.2126, 0.0722)
    rgb = image.astype(np.float64)
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    cb, cr = (rgb[..., 2] - luma) / (2 * (1 - blue)), (rgb[..., 0] - luma) / (2 * (1 - red))
    height, width = luma.shape
    planes = [c.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) * 224 / 255 + 128 for c in (cb, cr)]
    chroma = np.stack(planes, axis=-1).reshape(height // 2, width)
    frame = np.concatenate([luma * 219 / 255 + 16, chroma])
    rounded: U8Array = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    return rounded
