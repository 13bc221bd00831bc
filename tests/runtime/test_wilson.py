"""The interval around a rate."""

from __future__ import annotations

import pytest

from zooc_runtime.evaluation.wilson import wilson_interval


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_it_equals_newcombes_published_intervals(hits: int, count: int, low: float, high: float) -> None:
    assert wilson_interval(hits, count) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_certainty_reaches_the_ends_and_nothing_is_known_without_trials() -> None:
    assert wilson_interval(0, 7)[0] == 0 and wilson_interval(7, 7)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)
