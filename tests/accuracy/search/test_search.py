"""The search itself, on a network that is a sum of independent noises."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from zooc.accuracy.search.candidates import METHODS
from zooc.accuracy.search.output_noise import HeldBack, hold_back, is_less
from zooc.accuracy.search.search import SearchResult, search_ranges

TENSORS = [f"t{i}" for i in range(16)]
CANDIDATES = {name: dict.fromkeys(TENSORS, (0.0, 1.0 + i)) for i, name in enumerate([*METHODS, "more"])}
GROUPS = {tensor: (tensor,) for tensor in TENSORS}
IMAGES = HeldBack(tuple(np.zeros((1, 1)) for _ in range(6)), tuple(np.ones((1, 1)) for _ in range(6)))


class Sum:
    """Each tensor adds `cost[tensor][candidate]` on every image, a little more or less."""

    def __init__(self, cost: Mapping[str, Mapping[float, float]], chance: float = 0.0) -> None:
        self.cost, self.chance, self.tried = cost, chance, 0

    def noise(self, ranges: Mapping[str, tuple[float, float]], part: str) -> np.ndarray:
        self.tried += 1
        total = sum(self.cost[name][high] for name, (_, high) in ranges.items())
        rng = np.random.default_rng([int(1e6 * total), part == "held"])
        return total * (1 + self.chance * rng.standard_normal(6))


def cost_of(best: Mapping[str, float]) -> dict[str, dict[float, float]]:
    """A cost of 1 for each candidate, and 0.2 for a tensor's best one."""
    highs = [1.0 + i for i in range(len(CANDIDATES))]
    return {t: {high: 0.2 if best.get(t) == high else 1.0 for high in highs} for t in TENSORS}


def search(trials: Sum, budget: int) -> SearchResult:
    return search_ranges(trials, CANDIDATES, GROUPS, budget, IMAGES, lambda _: None)  # type: ignore[arg-type]


def test_the_best_method_is_the_start() -> None:
    found = search(Sum(cost_of(dict.fromkeys(TENSORS, 3.0))), 0)
    assert found.start == list(METHODS)[2]
    assert set(found.ranges.values()) == {(0.0, 3.0)}
    assert found.trials == 0
    assert found.steps == ()


def test_parts_of_the_network_get_what_suits_them() -> None:
    wanted = {t: 2.0 if i < 8 else 7.0 for i, t in enumerate(TENSORS)}
    found = search(Sum(cost_of(wanted)), 400)
    assert {t: high for t, (_, high) in found.ranges.items()} == wanted
    assert found.held_db > max(held for _, held in found.methods.values())


def test_single_tensors_are_found_where_the_budget_lasts() -> None:
    wanted = {"t5": 4.0}
    found = search(Sum(cost_of(wanted)), 400)
    assert found.ranges["t5"] == (0.0, 4.0)


@pytest.mark.parametrize("budget", [0, 1, 5, 30])
def test_the_budget_is_kept_and_nothing_gets_worse(budget: int) -> None:
    trials = Sum(cost_of({t: 2.0 if i % 2 else 5.0 for i, t in enumerate(TENSORS)}), chance=0.3)
    found = search(trials, budget)
    assert trials.tried <= 2 * len(METHODS) + budget
    assert found.trials <= budget
    assert found.held_db >= max(held for _, held in found.methods.values())
    again = search(Sum(trials.cost, trials.chance), budget)
    assert (again.ranges, again.steps) == (found.ranges, found.steps)


def test_chance_is_no_gain() -> None:
    before = np.array([1.0, 9.0, 1.0, 1.0])
    assert is_less(before - 0.1, before)
    assert not is_less(before, before)
    assert not is_less(before + np.array([1.0, -1.1, 1.0, 0.0]), before)


def test_images_are_parted_and_equal_ones_count_once() -> None:
    images = [np.full((1, 2), i) for i in range(10)]
    parts = hold_back([*images, *images])
    assert parts.apart
    assert (len(parts.search), len(parts.held)) == (5, 5)
    few = hold_back([*images[:6], images[0]])
    assert not few.apart
    assert len(few.search) == 6
    assert few.held is few.search
