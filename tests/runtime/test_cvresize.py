"""OpenCV's bilinear resize, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zooc_runtime.preprocessing.opencv_resize import resize_cv_linear

side = st.integers(1, 70)


@given(side, side, side, side, st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_it_equals_opencv(height: int, width: int, new_height: int, new_width: int, seed: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    wanted = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_cv_linear(image, new_height, new_width), wanted)


@pytest.mark.parametrize(
    "sizes", [(375, 500, 256, 256), (64, 48, 32, 24), (64, 48, 32, 48), (3, 4, 300, 400), (20, 2000, 56, 56)]
)
def test_it_equals_opencv_at_telling_sizes(sizes: tuple[int, int, int, int]) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    height, width, new_height, new_width = sizes
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    wanted = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_cv_linear(image, new_height, new_width), wanted)


def test_halving_is_the_mean_of_four() -> None:
    image = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    assert resize_cv_linear(image, 1, 1).ravel().tolist() == [5, 6, 7]  # 4.5 rounds up
