from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zooc.calibration.histogram import BINS, ActivationHistograms, Histogram
from zooc.diagnostics.diagnostic import ZoocError

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
values = arrays.arrays(np.float32, st.integers(0, 60), elements=finite)


def sketch_of(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        assert histogram.update(part)
    return histogram


def state(histogram: Histogram) -> tuple[bytes, int, str, str]:
    return histogram.counts.tobytes(), histogram.exponent, histogram.low.hex(), histogram.high.hex()


@settings(max_examples=150, deadline=None)
@given(st.lists(values, min_size=1, max_size=5), st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_and_sharding_change_no_bit(parts, random, shards) -> None:
    whole = sketch_of(np.concatenate(parts))
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert state(sketch_of(*shuffled)) == state(whole)
    merged = Histogram()
    for shard in range(shards):
        merged.merge(sketch_of(*shuffled[shard::shards]))
    assert state(merged) == state(whole)


@settings(max_examples=100, deadline=None)
@given(values.filter(len))
def test_every_value_lies_in_its_bin(array) -> None:
    histogram = sketch_of(array)
    assert histogram.seen == array.size
    assert (histogram.low, histogram.high) == (array.min(), array.max())
    width = 2.0 ** (histogram.exponent - 11)
    expected = np.bincount(np.trunc(array.astype(np.float64) / width).astype(int) + 2047, minlength=BINS)
    np.testing.assert_array_equal(histogram.counts, expected)


def test_a_large_array_is_counted_in_chunks_without_loss() -> None:
    array = np.random.default_rng(0).normal(0, 5, 200_001).astype(np.float32)
    assert state(sketch_of(array)) == state(sketch_of(*np.array_split(array[::-1], 7)))


def test_the_smallest_and_largest_floats_fit() -> None:
    limits = np.finfo(np.float32)
    array = np.array(
        [limits.max, limits.min, limits.smallest_subnormal, -limits.smallest_subnormal], np.float32
    )
    histogram = sketch_of(array[2:], array[:2])
    assert histogram.counts[[0, 2047, -1]].tolist() == [1, 2, 1]


def test_all_zeros_and_nothing_at_all_are_sketches_too() -> None:
    histogram = sketch_of(np.zeros((2, 3), np.float32), np.array([-0.0], np.float32))
    assert (histogram.low, histogram.high, histogram.seen) == (0.0, 0.0, 7)
    assert sketch_of(np.zeros(0, np.float32)).seen == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_by_name_and_not_counted(bad: float) -> None:
    histograms = ActivationHistograms(["layer1/Relu"])
    histograms.update("layer1/Relu", np.ones(3, np.float32))
    before = state(histograms["layer1/Relu"])
    with pytest.raises(
        ZoocError, match=r'Z0411: the activation "layer1/Relu" has 1 (NaN|infinite) of 4 values'
    ):
        histograms.update("layer1/Relu", np.array([0, bad, 1, 2], np.float32))
    assert state(histograms["layer1/Relu"]) == before


def filled(names: list[str], seed: int) -> ActivationHistograms:
    histograms = ActivationHistograms(names)
    random = np.random.default_rng(seed)
    for name in names:
        histograms.update(name, random.normal(0, 10**seed, 50).astype(np.float32))
    histograms.images = seed + 1
    return histograms


def test_saving_and_loading_keeps_everything_and_is_reproducible(tmp_path: Path) -> None:
    histograms = filled(["a", "b/ü"], 2)
    histograms.save(tmp_path / "one.npz")
    histograms.save(tmp_path / "two.npz")
    assert ActivationHistograms.load(tmp_path / "one.npz") == histograms
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_loaded_sketches_continue() -> None:
    one, two, both = filled(["a"], 0), filled(["a"], 1), filled(["a"], 0)
    both.merge(two)
    two.merge(one)
    assert both == two
    assert both != one
    assert both.images == 3


def test_sketches_of_other_tensors_do_not_merge() -> None:
    with pytest.raises(ZoocError, match=r'Z0415: .*only one of them has "b"'):
        filled(["a"], 0).merge(filled(["a", "b"], 1))


@pytest.mark.parametrize("damage", ["missing", "text", "truncated", "version"])
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "calibration.npz"
    if damage == "text":
        path.write_text("hello")
    if damage == "truncated":
        filled(["a"], 0).save(path)
        path.write_bytes(path.read_bytes()[:200])
    if damage == "version":
        np.savez(path, format=np.asarray(99))
    with pytest.raises(ZoocError, match=r"Z0412: .*calibration\.npz"):
        ActivationHistograms.load(path)
