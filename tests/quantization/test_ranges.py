from __future__ import annotations

import numpy as np
import pytest

from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.ranges import choose_ranges, percentile_range, symmetric
from zooc.deployment import CalibrationMethod

METHODS = [
    CalibrationMethod("max"),
    CalibrationMethod("percentile", 99.9),
    CalibrationMethod("kl_divergence"),
    CalibrationMethod("mse"),
    CalibrationMethod("auto"),
]


def range_of(values: np.ndarray, method: CalibrationMethod) -> tuple[float, float]:
    histograms = ActivationHistograms(["x"])
    histograms.update("x", values.astype(np.float32))
    return choose_ranges(histograms, method)["x"]


def percentiles_of(values: np.ndarray, percentile: float) -> tuple[float, float]:
    histograms = ActivationHistograms(["x"])
    histograms.update("x", values.astype(np.float32))
    return percentile_range(histograms["x"], percentile)


def quantization_error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    zero = round(-low / step)
    levels = np.clip(np.rint(values / step) + zero, 0, 255)
    return float(np.square((levels - zero) * step - values).mean())


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, 50_000).astype(np.float32)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_a_constant_tensor_ranges_from_zero_to_it(method: CalibrationMethod, value: float) -> None:
    assert range_of(np.full(10, value), method) == (min(value, 0.0), max(value, 0.0))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_zero_is_always_inside(method: CalibrationMethod, normal: np.ndarray) -> None:
    for values in (normal + 20, normal - 20, np.abs(normal), normal):
        low, high = range_of(values, method)
        assert low <= 0.0 <= high
        assert low >= min(values.min(), 0)
        assert high <= max(values.max(), 0)


def test_max_is_exact(normal: np.ndarray) -> None:
    assert range_of(normal, CalibrationMethod("max")) == (normal.min(), normal.max())
    assert range_of(normal, CalibrationMethod("percentile", 100.0)) == (normal.min(), normal.max())


def test_percentile_clips_both_tails_of_signed_tensors(normal: np.ndarray) -> None:
    low, high = percentiles_of(normal, 99.0)
    width = 8 / 2048
    assert low == pytest.approx(np.percentile(normal, 0.5), abs=width)
    assert high == pytest.approx(np.percentile(normal, 99.5), abs=width)


def test_percentile_clips_only_the_top_after_a_relu(normal: np.ndarray) -> None:
    positive = np.maximum(normal, 0)
    low, high = percentiles_of(positive, 99.0)
    assert low == 0.0
    assert high == pytest.approx(np.percentile(positive, 99.0), abs=8 / 2048)


def test_percentile_clips_only_the_bottom_of_negative_tensors(normal: np.ndarray) -> None:
    low, high = percentiles_of(-np.abs(normal), 99.0)
    assert high == pytest.approx(0.0, abs=1e-3)
    assert low == pytest.approx(-np.percentile(np.abs(normal), 99.0), abs=8 / 2048)


@pytest.mark.parametrize("shape", ["normal", "relu", "laplace", "outlier", "silu"])
def test_mse_is_as_good_as_a_search_over_the_data_itself(shape: str, normal: np.ndarray) -> None:
    random = np.random.default_rng(1)
    values = {
        "normal": normal,
        "relu": np.maximum(normal, 0),
        "laplace": random.laplace(0, 1, 50_000),
        "outlier": np.append(normal, 60.0),
        "silu": 3 * normal / (1 + np.exp(-3 * normal)),
    }[shape]
    low, high = range_of(values, CalibrationMethod("mse"))
    candidates = [
        quantization_error(values, values.min() * a, values.max() * b)
        for a in np.linspace(0.05, 1, 20)
        for b in np.linspace(0.05, 1, 20)
    ]
    assert quantization_error(values, low, high) <= 1.05 * min(candidates)


def test_kl_divergence_cuts_an_outlier_and_keeps_a_full_range(normal: np.ndarray) -> None:
    method = CalibrationMethod("kl_divergence")
    low, high = range_of(np.append(normal, 60.0), method)
    assert -5 < low < -2
    assert 2 < high < 8
    even = np.random.default_rng(2).uniform(-1, 1, 200_000)
    low, high = range_of(even, method)
    assert high - low > 1.9


def test_auto_clips_less_than_mse_and_more_than_max() -> None:
    heavy = np.random.default_rng(3).standard_t(4, 100_000)
    widths = {}
    for name in ("mse", "auto", "max"):
        low, high = range_of(heavy, CalibrationMethod(name))
        widths[name] = high - low
    assert widths["mse"] < widths["auto"] < widths["max"]


def test_a_percentile_clips_whatever_the_error(normal: np.ndarray) -> None:
    low, high = range_of(normal, CalibrationMethod("percentile", 90.0))
    assert np.mean((normal < low) | (normal > high)) == pytest.approx(0.1, abs=0.005)


def test_symmetric_ranges_widen_two_sided_tensors_only() -> None:
    assert symmetric((-1.0, 3.0)) == (-3.0, 3.0)
    assert symmetric((0.0, 3.0)) == (0.0, 3.0)
    assert symmetric((-2.0, 0.0)) == (-2.0, 0.0)


def test_one_value_is_enough() -> None:
    for method in METHODS:
        assert range_of(np.array([2.5]), method) == (0.0, 2.5)
