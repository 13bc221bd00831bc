from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zooc.deployment import CalibrationMethod, Quantize
from zooc.quantization.saturation import (
    LARGEST_PAIR,
    accumulation_order,
    limit_adjacent_pairs,
    packed_layers,
    saturation_json,
    worst_pairs,
)
from zooc.verification.agreement import sqnr_db

INT8 = Quantize(dtype="int8", calibrate=CalibrationMethod("max"))


def added_in_16_bits(pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What `vpmaddubsw` and `vpmaddwd` make of `[n, k] @ [m, k].T`: pairs clipped to int16."""
    products = pixels[:, None].astype(np.int64) * weights[None].astype(np.int64)
    pairs = products.reshape(*products.shape[:2], -1, 2).sum(axis=-1)
    return np.asarray(np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=-1))


def test_the_limit_is_where_pairs_begin_to_overflow() -> None:
    assert 255 * LARGEST_PAIR <= 2**15 - 1 < 255 * (LARGEST_PAIR + 1)


def test_filters_are_walked_along_with_channels_innermost() -> None:
    weights = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    assert accumulation_order(weights, "Conv")[0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    matrix = np.arange(6).reshape(2, 3)
    assert accumulation_order(matrix, "Gemm", 1).tolist() == matrix.tolist()
    assert (
        accumulation_order(matrix, "Gemm").tolist()
        == accumulation_order(matrix, "MatMul").tolist()
        == matrix.T.tolist()
    )


def test_every_two_neighbours_are_a_pair() -> None:
    rows = np.array([[100, 20, -109, 3], [127, 0, 127, 1], [64, 64, -64, 64]], np.int8)
    assert worst_pairs(rows).tolist() == [129, 128, 128]
    assert worst_pairs(np.array([[-127]], np.int8)).tolist() == [127]
    assert worst_pairs(np.zeros((2, 0), np.int8)).tolist() == [0, 0]


@pytest.mark.parametrize("alone", [True, False])
def test_scales_grow_only_where_needed_and_only_as_far(alone: bool) -> None:
    rows = np.random.default_rng(0).normal(0, 1, (64, 36))
    rows[5, 1:] = 0  # one weight alone cannot overflow
    largest = np.abs(rows).max(axis=1)
    scale = largest / 127 if alone else largest.max(keepdims=True) / 127
    fitted = limit_adjacent_pairs(rows, scale)
    assert worst_pairs(np.rint(rows / fitted[:, None])).max() <= LARGEST_PAIR
    assert (fitted <= 1.99 * scale).all()
    if alone:
        assert fitted[5] == scale[5]
        worst = worst_pairs(np.rint(rows / fitted[:, None]))
        assert (worst[fitted > scale] >= LARGEST_PAIR - 3).all()


def network(net: Callable[..., Any]) -> Any:
    n = net()
    x = n.add("Relu", n.conv(n.begin(), 3, 16, name="first"))
    x = n.add("Relu", n.conv(x, 16, 16, name="depthwise", groups=16))
    n.head(n.add("Relu", n.conv(x, 16, 16, k=1, name="pointwise")), 16)
    return n.model()


@pytest.mark.parametrize("target", ["avx2", "any"])
@pytest.mark.parametrize("weights", ["per_channel", "per_tensor"])
@pytest.mark.parametrize("clip", ["max", "mse"])
def test_a_network_for_any_cpu_is_proven_and_little_worse(
    target: Any,
    weights: Any,
    clip: Any,
    net: Callable[..., Any],
    run: Callable[..., np.ndarray],
    quantized: Callable[..., Any],
) -> None:
    body, images = network(net), net().images()
    usual = quantized(body, images, replace(INT8, weights=weights, clip=clip)).model
    safe = quantized(body, images, replace(INT8, weights=weights, clip=clip, target=target)).model
    assert saturation_json(usual, "vnni")["proven"] == ["vnni"]
    assert saturation_json(safe, target) == {
        "target": target,
        "proven": ["vnni", "avx2", "any"],
        "at_risk": {},
    }
    assert len(packed_layers(safe)) == 4
    exact = run(body, images)
    assert sqnr_db(exact, run(safe, images)) > sqnr_db(exact, run(usual, images)) - 7


def test_the_proof_holds_for_the_worst_pixels_and_the_usual_weights_fail_on_them() -> None:
    weights = np.random.default_rng(1).integers(-127, 128, (32, 64))
    pixels = np.where(weights > 0, 255, 0)
    exact = pixels @ weights.T
    assert not np.array_equal(added_in_16_bits(pixels, weights), exact)
    scale = limit_adjacent_pairs(weights.astype(np.float64), np.ones(32))
    safe = np.rint(weights / scale[:, None]).astype(np.int64)
    for extreme in (np.where(safe > 0, 255, 0), np.where(safe < 0, 255, 0), np.full_like(safe, 255)):
        assert np.array_equal(added_in_16_bits(extreme, safe), extreme @ safe.T)
