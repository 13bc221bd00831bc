from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zooc.quantization.scales import activation_scale, quantize_weight

limit = st.floats(0, 1e30)


@given(limit, limit)
def test_zero_is_a_level_and_the_range_is_covered_to_half_a_step(low: float, high: float) -> None:
    found = activation_scale((-low, high))
    scale = float(found.scale)
    assert 0 <= found.zero_point <= 255
    assert scale > 0
    assert -found.zero_point * scale <= -low + 0.51 * scale
    assert (255 - found.zero_point) * scale >= high - 0.51 * scale


def test_ranges_from_zero_have_zero_point_zero() -> None:
    assert activation_scale((0.0, 5.1)).zero_point == 0
    assert activation_scale((-5.1, 0.0)).zero_point == 255
    assert activation_scale((0.0, 0.0)) == activation_scale((0.0, 1.0))


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_off_by_at_most_half_a_level_per_channel(axis: int) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (6, 6)).astype(np.float32)
    weight[2] *= 100
    found = quantize_weight(weight, None, axis, np.float32(0.1), per_channel=True)
    steps = found.scale.reshape([-1 if a == axis else 1 for a in range(2)])
    assert found.bias is None
    assert (np.abs(found.dequantized() - weight) <= 0.5001 * steps).all()


def test_a_bias_beyond_int32_raises_its_channels_scale_only() -> None:
    weight = np.full((2, 1), 1e-9, np.float32)
    found = quantize_weight(weight, np.array([0.0, 10.0]), 0, np.float32(1e-3), per_channel=True)
    assert found.bias is not None
    assert found.scale[0] == pytest.approx(1e-9 / 127)
    assert found.bias[1] * float(found.scale[1]) * 1e-3 == pytest.approx(10.0, rel=1e-6)


def test_a_dead_channel_has_an_ordinary_scale() -> None:
    weight = np.array([[0.0, 0.0], [2.54, 1.0]], np.float32)
    found = quantize_weight(weight, np.array([0.5, 0.5]), 0, np.float32(0.1), per_channel=True)
    assert found.scale.tolist() == pytest.approx([0.02, 0.02])
    assert found.bias is not None
    assert found.bias.tolist() == [250, 250]


def test_a_layer_of_nothing_but_biases_keeps_them() -> None:
    found = quantize_weight(
        np.zeros((2, 2), np.float32), np.array([2.5, -0.3]), 0, np.float32(1), per_channel=True
    )
    assert found.bias is not None
    np.testing.assert_allclose(found.bias * found.scale, [2.5, -0.3], rtol=1e-4)
