from __future__ import annotations

from collections.abc import Mapping

from zooc.support.progress import Progress
from zooc.tuning.race import Verdict
from zooc.tuning.regions import Region
from zooc.tuning.search import Trials, climb_by_time

Layers = frozenset[str]
ALL = Region("the whole network", ("a", "b", "c", "d"))
EACH = [Region(name, (name,)) for name in "abcd"]


class Bench:
    """A network whose time is a sum over layers, and a clock without noise."""

    def __init__(self, gains: Mapping[str, float], noise: Mapping[str, float] = {}, trials: int = 99) -> None:
        self.gains, self.noise, self.left, self.compared = gains, noise, trials, 0

    def integers(self, layers: Layers) -> Layers:
        return frozenset("abcd") - layers

    def time(self, layers: Layers) -> float:
        return 10.0 - sum(self.gains.get(name, 0.0) for name in layers)

    def compare(self, before: Layers, after: Layers) -> Verdict:
        self.left, self.compared = self.left - 1, self.compared + 1
        ratio = self.time(before) / self.time(after)
        return Verdict(ratio, ratio, ratio, 8, (ratio,))

    def sqnr_db(self, layers: Layers) -> float:
        return 30.0 - sum(self.noise.get(name, 0.0) for name in layers)

    def is_over(self) -> bool:
        return self.left <= 0


def climb(bench: Bench, trials: Trials | None = None):
    return climb_by_time([ALL, *EACH], bench, trials or Trials({}), 0.005, Progress())


def test_only_what_is_faster_goes_to_float() -> None:
    found = climb(Bench({"a": 1.0, "b": -3.0, "c": 0.5, "d": -0.5}))
    assert found.layers == {"a", "c"} and found.finished
    assert [(step.region, step.to_float) for step in found.steps] == [("a", True), ("c", True)]


def test_of_a_network_in_float_layers_go_back_to_integers() -> None:
    found = climb(Bench({"a": 2.0, "b": 2.0, "c": -1.0, "d": 0.0}))
    assert found.layers == {"a", "b", "d"}
    assert [(step.region, step.to_float) for step in found.steps] == [(ALL.what, True), ("c", False)]


def test_a_gain_below_the_margin_is_passed_over() -> None:
    assert climb(Bench({"a": 0.04})).layers == frozenset()


def test_logits_that_get_worse_are_not_taken() -> None:
    found = climb(Bench({"a": 1.0, "b": 1.0, "c": -9.0}, noise={"a": 0.4, "b": 0.6}))
    assert found.layers == {"a"}


def test_a_search_that_was_cut_off_goes_on_and_ends_the_same() -> None:
    gains = {"a": 1.0, "b": -3.0, "c": 0.5, "d": -0.5}
    whole, trials = Bench(gains), Trials({})
    wanted = climb(whole)
    part = climb(Bench(gains, trials=2), trials)
    assert not part.finished and part.layers == {"a"}
    rest = Bench(gains)
    assert climb(rest, Trials(dict(trials.done))) == wanted
    assert rest.compared == whole.compared - 2


def test_what_was_done_is_not_done_again() -> None:
    trials = Trials({})
    found = climb(Bench({"a": 1.0, "d": -1.0}), trials)
    again = Bench({"a": 1.0, "d": -1.0}, trials=0)
    assert climb(again, trials) == found and again.compared == 0
