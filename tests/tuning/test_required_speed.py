"""Speeds that are required, by a clock that the tests set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from zooc.deployment import SpeedRequirement
from zooc.tuning.required_speed import Measured, Way, measure_required, open_timed
from zooc_runtime.errors import PackageError

CORES = 4
LATENCY, THROUGHPUT = SpeedRequirement("latency", 8.0), SpeedRequirement("throughput", 120.0)
BOTH = ("onnxruntime", "openvino")


def body(batch: int | str = "n") -> onnx.ModelProto:
    shape = [batch, 3, 4, 4]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["pixels"], ["logits"])],
        "body",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


class Clock:
    """Opens bodies whose runs take these milliseconds, by engine and streams, over and over."""

    def __init__(self, times: Mapping[tuple[str, int], Any]) -> None:
        self.times, self.runs = times, dict.fromkeys(times, 0)

    def __call__(self, _: onnx.ModelProto, way: Way) -> Callable[[], float]:
        found = self.times[way.engine, way.streams]
        if isinstance(found, str):
            raise PackageError(found)
        row = cycle(found if isinstance(found, list) else [found])

        def run() -> float:
            self.runs[way.engine, way.streams] += 1
            return float(next(row)) / 1e3

        return run


def measure(
    clock: Clock, *requirements: SpeedRequirement, engines: tuple[str, ...] = BOTH, batch: int | str = "n"
) -> list[Measured]:
    return measure_required(body(batch), "int8", dict.fromkeys(requirements, engines), CORES, clock, {})


def test_what_is_clear_is_seen_after_few_rounds() -> None:
    clock = Clock({("onnxruntime", 1): 9.0, ("openvino", 1): 5.0})
    found = measure(clock, LATENCY)
    assert [(one.way.engine, one.value, one.verdict) for one in found] == [
        ("onnxruntime", pytest.approx(9.0), "fails"),
        ("openvino", pytest.approx(5.0), "holds"),
    ]
    assert set(clock.runs.values()) == {8}


def test_what_is_near_the_limit_gets_more_rounds() -> None:
    rows = [7.0, 9.0, *[7.5] * 30]
    (found,) = measure(Clock({("onnxruntime", 1): rows}), LATENCY, engines=("onnxruntime",))
    assert (found.verdict, found.rounds) == ("holds", 16)


def test_a_steady_time_at_the_limit_is_decided_by_its_median() -> None:
    clock = Clock({("onnxruntime", 1): [7.9, 7.95, 8.05]})
    (found,) = measure(clock, LATENCY, engines=("onnxruntime",))
    assert (found.verdict, found.rounds) == ("holds", 64)


def test_times_on_both_sides_of_the_limit_are_unclear() -> None:
    (found,) = measure(Clock({("onnxruntime", 1): [5.0, 12.0]}), LATENCY, engines=("onnxruntime",))
    assert (found.verdict, found.low, found.high) == ("unclear", pytest.approx(5.0), pytest.approx(12.0))


def test_a_median_that_fails_beside_a_round_that_holds_may_be_noise() -> None:
    clock = Clock({("onnxruntime", 1): [7.5, *[9.0] * 20]})
    (found,) = measure(clock, LATENCY, engines=("onnxruntime",))
    assert (found.verdict, found.rounds, found.best) == ("unclear", 64, pytest.approx(7.5))
    assert found.low == found.high == pytest.approx(9.0)


def test_rounds_that_spread_near_the_limit_go_on() -> None:
    clock = Clock({("onnxruntime", 1): [*[9.0, 18.0] * 8, *[7.0] * 80]})
    (found,) = measure(clock, LATENCY, engines=("onnxruntime",))
    assert (found.verdict, found.rounds) == ("holds", 64)
    far = Clock({("onnxruntime", 1): [19.0, 38.0]})
    (found,) = measure(far, LATENCY, engines=("onnxruntime",))
    assert (found.verdict, found.rounds) == ("fails", 8)


def test_slow_rounds_among_many_fast_ones_change_nothing() -> None:
    clock = Clock({("onnxruntime", 1): [7.0, 7.0, 7.0, 7.0, 50.0]})
    (found,) = measure(clock, LATENCY, engines=("onnxruntime",))
    assert found.verdict == "holds" and found.rounds < 64


def test_throughput_is_that_of_the_best_number_of_streams() -> None:
    clock = Clock({("onnxruntime", 1): 10.0, ("onnxruntime", 2): 12.5, ("onnxruntime", 4): 50.0})
    (found,) = measure(clock, THROUGHPUT, engines=("onnxruntime",))
    assert (found.way.streams, found.value, found.verdict) == (2, pytest.approx(160.0), "holds")


def test_given_streams_and_threads_are_kept() -> None:
    asked = SpeedRequirement("throughput", 120.0, "onnxruntime", threads=1, streams=3)
    (found,) = measure(Clock({("onnxruntime", 3): 30.0}), asked, engines=("onnxruntime",))
    assert found.way == Way("onnxruntime", 3, 1)
    assert (found.value, found.verdict) == (pytest.approx(100.0), "fails")


def test_a_fixed_batch_counts_all_its_images_but_makes_each_wait() -> None:
    clock = Clock({("onnxruntime", streams): 40.0 for streams in (1, 2, 4)})
    latency, throughput = measure(clock, LATENCY, THROUGHPUT, engines=("onnxruntime",), batch=8)
    assert latency.value == pytest.approx(40.0)
    assert throughput.value == pytest.approx(800.0)


def test_one_stream_serves_both_requirements() -> None:
    clock = Clock({("onnxruntime", streams): 5.0 for streams in (1, 2, 4)})
    assert len(measure(clock, LATENCY, THROUGHPUT, engines=("onnxruntime",))) == 2
    assert clock.runs["onnxruntime", 1] == 8


def test_an_engine_that_refuses_the_body_is_left_out() -> None:
    refused: dict[str, str] = {}
    clock = Clock({("onnxruntime", 1): "cannot load", ("openvino", 1): 5.0})
    found = measure_required(body(), "int8", {LATENCY: BOTH}, CORES, clock, refused)
    assert [one.way.engine for one in found] == ["openvino"]
    assert refused == {"onnxruntime": "cannot load"}
    assert measure_required(body(), "int8", {LATENCY: BOTH[:1]}, CORES, clock, {}) == []


def test_a_body_is_run_as_a_package_runs_it() -> None:
    assert 0.0 < open_timed(body(), Way("onnxruntime", 2, 1))() < 10.0
