"""How much smaller a JPEG file may be decoded: libjpeg computes each block's inverse DCT at 1/2, 1/4 or 1/8.

The result is another low-pass filter than a resize of the full picture, so it is only asked for
(`Decode("scaled")`) and keeps a margin: the resize that follows must still shrink it to a half or less.
"""

from __future__ import annotations

from collections.abc import Sequence

from .sizes import Size, ecenter_crop_box, letterbox_size, resized_size
from .steps import (
    Decode,
    ECenterCrop,
    Grayscale,
    Letterbox,
    Resize,
    ResizeTorch,
    Step,
    SwapChannels,
    decodes_scaled,
)

__all__ = ["first_in_space", "reduced_size", "reduction"]

_REDUCTIONS = (8, 4, 2)
_MARGIN = 2


def reduction(steps: Sequence[Step], height: int, width: int) -> int:
    """Return by how much a `height x width` JPEG file may be decoded smaller: 8, 4 or 2, or 1 for not at all.

    Args:
        steps: the preprocessing, whose first step says whether at all.
        height: of the full picture, in pixels.
        width: of the full picture, in pixels.
    """
    step = first_in_space(steps) if decodes_scaled(steps) else None
    full = None if step is None else _resampled(step, height, width)
    if step is None or full is None:
        return 1
    for by in _REDUCTIONS:
        # The same result's size: by one pixel more or less, a crop of its centre would begin elsewhere.
        small = _resampled(step, *reduced_size(height, width, by))
        if small and small[1] == full[1] and all(a >= _MARGIN * b for a, b in zip(*small, strict=True)):
            return by
    return 1


def reduced_size(height: int, width: int, by: int) -> Size:
    """Return the size that comes nearest to the picture's reduced; libjpeg rounds up."""
    return max(1, round(height / by)), max(1, round(width / by))


def first_in_space(steps: Sequence[Step]) -> Step | None:
    """Return the first step that does not look at each pixel alone."""
    return next((step for step in steps if not isinstance(step, Decode | SwapChannels | Grayscale)), None)


def _resampled(step: Step, height: int, width: int) -> tuple[Size, Size] | None:
    """The size that the step resizes of such a picture, and to which; `None` if it does not resize."""
    match step:
        case Resize() | ResizeTorch():
            return (height, width), resized_size(height, width, step.size, step.max_size)
        case Letterbox():
            return (height, width), letterbox_size(height, width, (step.height, step.width))
        case ECenterCrop():
            left, top, right, bottom = ecenter_crop_box(height, width, step.size)
            return (bottom - top, right - left), (step.size, step.size)
    return None
