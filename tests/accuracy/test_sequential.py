from __future__ import annotations

import numpy as np
import pytest

from zooc.accuracy.contract.sequential_test import SequentialTest


def verdict(
    values: list[float | None], limit: float, *, least: float = -1.0, alpha: float = 0.01
) -> SequentialTest:
    test = SequentialTest(limit, len(values), least=least, alpha=alpha)
    for value in values:
        if test.add(value) is not None:
            break
    return test


def shuffled(lost: int, won: int, total: int, seed: int) -> list[float | None]:
    values = np.zeros(total)
    values[:lost], values[lost : lost + won] = 1.0, -1.0
    return np.random.default_rng(seed).permutation(values).tolist()


def share(lost: int, won: int, total: int, limit: float, wanted: str, runs: int, alpha: float) -> float:
    found = [verdict(shuffled(lost, won, total, seed), limit, alpha=alpha).verdict for seed in range(runs)]
    return found.count(wanted) / runs


@pytest.mark.parametrize(("lost", "won"), [(5, 0), (20, 15), (60, 55)])
def test_a_set_just_over_the_limit_passes_no_oftener_than_alpha(lost: int, won: int) -> None:
    # 200 runs at alpha 0.2: more than 60 wrong ones would come once in 10^4 times if the bound just held.
    assert share(lost, won, 200, 0.02, "holds", 200, alpha=0.2) <= 0.3


@pytest.mark.parametrize(("lost", "won"), [(4, 0), (20, 16), (60, 56)])
def test_a_set_just_at_the_limit_fails_no_oftener_than_alpha(lost: int, won: int) -> None:
    assert share(lost, won, 200, 0.02, "fails", 200, alpha=0.2) <= 0.3


def test_the_whole_set_decides_exactly() -> None:
    for lost in (0, 1, 2, 3):
        test = verdict(shuffled(lost, 0, 100, 1), 0.02, alpha=1e-12)
        assert test.verdict == ("holds" if lost <= 2 else "fails")


def test_clear_cases_stop_early() -> None:
    good = verdict(shuffled(50, 50, 20_000, 0), 0.01)
    assert (good.verdict, good.early) == ("holds", True)
    assert good.seen < 2000
    bad = verdict(shuffled(200, 10, 1000, 0), 0.005)
    assert (bad.verdict, bad.early) == ("fails", True)
    assert bad.seen < 150


def test_a_certain_answer_needs_no_more_images() -> None:
    test = verdict([1.0, 1.0, *[0.0] * 98], 0.01, least=0.0, alpha=1e-12)
    assert (test.verdict, test.seen) == ("fails", 2)


def test_images_that_do_not_count_do_not_dilute_the_drop() -> None:
    values: list[float | None] = [None] * 50 + [1.0] + [0.0] * 49
    assert verdict(values, 0.02, least=0.0, alpha=1e-12).verdict == "holds"
    assert verdict(values, 0.019, least=0.0, alpha=1e-12).verdict == "fails"


def test_no_loss_allowed_means_no_loss() -> None:
    assert verdict([0.0] * 50, 0.0, least=0.0).verdict == "holds"
    assert verdict([0.0] * 20 + [1.0] + [0.0] * 29, 0.0, least=0.0).seen == 21
    assert verdict([1.0, -1.0], 0.0).verdict == "holds"
