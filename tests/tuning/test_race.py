from __future__ import annotations

import random

import pytest

from zooc.tuning.race import Verdict, compare_openings, confidence_interval, race


class Noisy:
    """A clock that takes what a competitor costs, times noise."""

    def __init__(self, spread: float, seed: int = 0) -> None:
        self.random, self.spread, self.runs = random.Random(seed), spread, 0

    def __call__(self, cost: float) -> float:
        self.runs += 1
        return cost * (1.0 + self.spread * self.random.random())


def test_what_is_clearly_faster_is_seen_after_few_rounds() -> None:
    verdict = race([1.2], [1.0], Noisy(0.05))
    assert verdict.is_faster() and verdict.rounds == 8
    assert 1.1 < verdict.low <= verdict.ratio <= verdict.high < 1.3


def test_equals_are_not_called_faster() -> None:
    verdicts = [race([1.0], [1.0], Noisy(0.3, seed)) for seed in range(200)]
    assert sum(verdict.is_faster() for verdict in verdicts) <= 4


def test_a_gain_below_the_margin_does_not_count() -> None:
    assert race([1.02], [1.0], Noisy(0.001)).is_faster(0.01)
    assert not race([1.02], [1.0], Noisy(0.001)).is_faster(0.05)


def test_noise_makes_it_undecided_and_not_wrong() -> None:
    verdict = race([1.03], [1.0], Noisy(3.0))
    assert not verdict.is_faster() and verdict.low < 1.0 < verdict.high


def test_drift_of_the_machine_cancels_out() -> None:
    elapsed = 0

    def slowing(cost: float) -> float:
        nonlocal elapsed
        elapsed += 1
        return cost * 1.05**elapsed

    verdict = race([1e-4], [1e-4], slowing)
    assert not verdict.is_faster()
    assert verdict.ratio == pytest.approx(1.0, abs=0.06)


def test_of_two_engines_neither_may_lose() -> None:
    clock = Noisy(0.001)
    assert race([1.2, 1.0], [1.0, 1.0], clock).is_faster(0.01)
    both = race([1.4, 1.0], [1.0, 1.1], clock)
    assert race([1.2, 0.995], [1.0, 1.0], clock).is_faster()
    assert both.low > 1.0 and not both.is_faster(0.01)
    assert both.by_engine == pytest.approx((1.4, 1 / 1.1), rel=0.01)


def test_a_race_that_lasts_too_long_ends_at_the_next_look() -> None:
    assert race([10.3], [10.0], Noisy(0.5)).rounds == 8
    assert compare_openings(lambda: ([10.0], [10.0]), Noisy(0.5)).rounds == 8


def test_what_two_sessions_of_a_network_differ_by_is_seen() -> None:
    costs = iter([1e-3, 1.1e-3, 1.1e-3, 1e-3] * 2)
    verdict = compare_openings(lambda: ([next(costs)], [next(costs)]), Noisy(0.001))
    assert verdict.rounds == 64 and not verdict.is_faster()
    assert verdict.spread == pytest.approx(0.095, abs=0.005)
    assert Verdict.from_json(verdict.to_json()) == verdict


@pytest.mark.parametrize("count, ends", [(1, (0, 0)), (8, (0, 7)), (16, (2, 13)), (64, (21, 42))])
def test_the_interval_is_that_of_the_sign_test(count: int, ends: tuple[int, int]) -> None:
    assert confidence_interval(range(count)) == ends
