from __future__ import annotations

import numpy as np
import pytest

from zooc.networks.torch.random_weights import draw_weight, norm_factor


def test_weights_depend_on_name_and_seed_only():
    first = draw_weight("layer1.0.conv1.weight", (8, 4, 3, 3), 0)
    assert np.array_equal(first, draw_weight("layer1.0.conv1.weight", (8, 4, 3, 3), 0))
    assert not np.array_equal(first, draw_weight("layer1.0.conv1.weight", (8, 4, 3, 3), 1))
    assert not np.array_equal(first, draw_weight("layer1.0.conv2.weight", (8, 4, 3, 3), 0))


def test_the_draw_never_changes():
    assert draw_weight("fc.bias", (3,), 7).tolist() == pytest.approx(
        [0.0524166, 0.0149063, -0.0905326], rel=1e-5
    )


def test_convolutions_keep_the_variance_of_their_input():
    drawn = draw_weight("conv.weight", (64, 32, 3, 3), 0)
    assert drawn.dtype == np.float32
    assert drawn.std() == pytest.approx(np.sqrt(2 / (32 * 9)), rel=0.05)


def test_no_branch_is_dead_and_no_variance_is_negative():
    factors = draw_weight("bn3.weight", (500,), 0)
    assert factors.min() >= 0.5
    assert factors.max() <= 1.0
    assert draw_weight("bn3.running_var", (500,), 0).min() >= 1.0


def test_biases_and_matrices_are_small():
    assert np.abs(draw_weight("bn3.bias", (500,), 0)).max() < 0.5
    assert draw_weight("fc.weight", (100, 50), 0).std() == pytest.approx(0.02, rel=0.1)


def test_only_the_deepest_networks_get_smaller_factors():
    assert norm_factor(0) == norm_factor(53) == norm_factor(150) == 0.75
    assert 0.5 < norm_factor(363) < norm_factor(271) < 0.75
    assert draw_weight("bn.weight", (500,), 0, 0.5).mean() == pytest.approx(0.5, abs=0.02)
