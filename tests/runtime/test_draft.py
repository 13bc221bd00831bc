"""Why images are decoded at full scale by default: with `Image.draft` the network would see other pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from zooc_runtime.preprocessing.pillow_steps import apply_steps
from zooc_runtime.preprocessing.steps import ECenterCrop

STEPS = [ECenterCrop(32)]


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    """640 x 480, smooth like a photograph: waves of several lengths in each channel."""
    y, x = np.mgrid[0:480, 0:640].astype(np.float64)
    waves = [
        128 + 60 * np.sin(x / a + y / b) + 50 * np.cos(y / c)
        for a, b, c in ((31, 57, 23), (17, 90, 41), (60, 13, 77))
    ]
    buffer = io.BytesIO()
    Image.fromarray(np.stack(waves, axis=2).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _seen(jpeg: bytes, scale: int) -> tuple[np.ndarray, tuple[int, int]]:
    """What the network would see, the image decoded at one `scale`-th."""
    with Image.open(io.BytesIO(jpeg)) as image:
        width, height = image.size
        image.draft("RGB", (width // scale, height // scale))
        return apply_steps(np.asarray(image.convert("RGB")), STEPS), image.size


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_draft_decoding_never_gives_the_pixels_of_training(jpeg: bytes, scale: int) -> None:
    full, _ = _seen(jpeg, 1)
    reduced, size = _seen(jpeg, scale)
    assert size == (640 // scale, 480 // scale)  # it was decoded at that scale indeed
    assert (reduced != full).mean() > 0.1


def test_at_scale_one_draft_is_no_draft(jpeg: bytes) -> None:
    with Image.open(io.BytesIO(jpeg)) as image:
        plain = apply_steps(np.asarray(image.convert("RGB")), STEPS)
    seen, size = _seen(jpeg, 1)
    assert size == (640, 480) and np.array_equal(seen, plain)
