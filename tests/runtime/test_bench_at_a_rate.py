"""The benchmark's open loop: requests at times of their own, latencies from when they were due."""

from __future__ import annotations

import json
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zooc_runtime import PackageError
from zooc_runtime.bench import worker as bench_worker
from zooc_runtime.bench.command import add_arguments, run
from zooc_runtime.bench.job import Job
from zooc_runtime.bench.load import Arrivals, schedule
from zooc_runtime.bench.worker import measure, prepare


def _options(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def _job(package: Path = Path(), **changes: Any) -> Job:
    plain = {
        "directory": package,
        "mode": "images",
        "engine": "auto",
        "threads": 1,
        "instances": 1,
        "batch_size": 1,
        "shape": (3, 9, 9),
        "iterations": 4,
        "warmup": 0,
        "duration": None,
        "queue_size": 0,
        "vdsp_params": None,
        "files": (),
        "rate": 100.0,
        "seed": "0/0",
    }
    return Job(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture
def bench(package: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def call(*arguments: str | Path) -> dict[str, Any]:
        assert run(package, _options("--json", "--warmup", "1", *map(str, arguments))) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return call


def test_times_are_poissons_and_those_of_the_seed() -> None:
    times = list(schedule(_job(duration=100.0, rate=50.0)))
    assert times == list(schedule(_job(duration=100.0, rate=50.0)))
    assert times != list(schedule(_job(duration=100.0, rate=50.0, seed="1/0")))
    assert times == sorted(times) and times[0] > 0 and times[-1] < 100
    # 5000 on average, with a standard deviation of its root; gaps are exponential: mean and deviation agree.
    assert abs(len(times) - 5000) < 4 * 5000**0.5
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.06) == pytest.approx(1 / 50, rel=0.06)


def test_another_rate_stretches_the_same_times() -> None:
    slow, fast = (list(schedule(_job(iterations=20, rate=rate))) for rate in (10.0, 40.0))
    assert slow == pytest.approx([4 * due for due in fast]) and len(slow) == 20


def test_what_finds_no_place_is_refused_and_an_answer_frees_one() -> None:
    load = Arrivals(_job(iterations=5, rate=1e6), threading.Event(), places=2)
    load.fill()
    assert load.refused == 3
    assert [number for number, _ in load.take()] == [0, 1]


def test_what_waits_is_given_up_when_the_run_is_stopped() -> None:
    stop = threading.Event()
    load = Arrivals(_job(iterations=5, rate=1e6), stop, places=9)
    load.fill()
    taken = load.take()
    assert next(taken)[0] == 0
    stop.set()
    assert list(taken) == list(load.take()) == []


@pytest.mark.parametrize("stream", [["-i", "2"], ["-p", "2", "-b", "2"], ["--network-only"]], ids=str)
def test_at_a_rate_that_it_can_hold_nothing_is_refused(
    bench: Callable[..., dict[str, Any]], stream: list[str]
) -> None:
    document = bench(*stream, "--rate", "100", "--duration", "0.5")
    load = document["load"]
    assert load.keys() == {"rate", "answered_rate", "requests", "refused", "expired", "unsent", "errors"}
    assert load["rate"] == 100
    assert load["refused"] == load["expired"] == load["unsent"] == 0 and load["errors"] == {}
    assert load["requests"] == document["iterations"] == pytest.approx(50, abs=25)
    assert document["duration_s"] >= 0.5
    assert load["answered_rate"] == pytest.approx(document["iterations"] / document["duration_s"])


def test_iterations_are_so_many_requests(bench: Callable[..., dict[str, Any]]) -> None:
    load = bench("--rate", "500", "--iterations", "30")["load"]
    assert load["requests"] == 30


def test_beyond_its_speed_requests_are_refused_and_waiting_counts(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> tuple[float, float, float, float]:
        time.sleep(0.01)
        return 0.0, 0.0, 0.01, 0.0

    monkeypatch.setattr(bench_worker, "_answer", slow)
    job = _job(package, rate=1000.0, iterations=200, queue_size=4)
    result = measure(job, *prepare(job))
    assert len(result.latencies) + result.refused == 200 and result.refused > 100
    # Four wait and one is at work: most wait for nearly as long as five answers take.
    assert np.median(result.latencies) > 0.03


def test_a_stall_of_the_model_meets_all_requests_that_were_due_meanwhile(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stalls(_: object, __: object, number: int) -> tuple[float, float, float, float]:
        time.sleep(0.5 if number == 20 else 0)
        return 0.0, 0.0, 0.0, 0.0

    monkeypatch.setattr(bench_worker, "_answer", stalls)
    times = {}
    for rate in (None, 200.0):
        job = _job(package, rate=rate, iterations=200, queue_size=0 if rate is None else 1000)
        times[rate] = np.array(measure(job, *prepare(job)).latencies)
    assert (times[None] > 0.3).sum() == 1
    assert (times[200.0] > 0.1).sum() >= 0.5 * 200 * 0.4


def test_image_files_at_a_rate(bench: Callable[..., dict[str, Any]], photo: Path) -> None:
    document = bench("--end-to-end", photo.parent, "--rate", "100", "--iterations", "20")
    assert document["load"]["requests"] == 20 and document["iterations"] == 20
    assert document["stages_us"]["decode"] > 0 and document["queue_size"] == 128


def test_image_files_beyond_the_queue_are_refused(bench: Callable[..., dict[str, Any]], photo: Path) -> None:
    load = bench(
        "--end-to-end",
        photo.parent,
        "--rate",
        "100000",
        "--iterations",
        "200",
        "--queue-size",
        "1",
        "-i",
        "1",
        "-b",
        "1",
    )["load"]
    assert load["refused"] > 0 and load["requests"] == 200


def test_a_damaged_image_ends_the_run(package: Path, photo: Path) -> None:
    (photo.parent / "a.jpg").write_bytes(b"\xff\xd8no")
    with pytest.raises(PackageError, match=r"a\.jpg"):
        run(package, _options("--end-to-end", str(photo.parent), "--rate", "50", "--duration", "20"))


def test_a_range_of_rates_is_a_table_and_a_list(
    package: Path, bench: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    rates = bench("--rate", "100:300:100", "--iterations", "10")["rates"]
    assert [one["load"]["rate"] for one in rates] == [100, 200, 300]
    run(package, _options("--rate", "[200,400]", "--iterations", "10", "--percentiles", "[50]"))
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split("  ")[-1] == "not answered" and "p50 (ms)" in head and "max (ms)" in head
    assert [row.split()[0] for row in rows] == ["200", "400"] and rows[0].endswith("none")


def test_one_rate_prints_what_arrived_and_what_was_lost(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(package, _options("--rate", "300", "--iterations", "10"))
    out = capsys.readouterr().out
    assert "  requests a second: 300 arrived, " in out and "  not answered: none\n" in out


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("40", [40]),
        ("2.5", [2.5]),
        ("[10, 20,30]", [10, 20, 30]),
        ("10,20", [10, 20]),
        ("10:100:30", [10, 40, 70, 100]),
        ("0.1:0.3:0.1", [0.1, 0.2, 0.3]),
    ],
)
def test_rates_are_read(text: str, rates: list[float]) -> None:
    assert _options("--rate", text).rate == pytest.approx(rates)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-5",
        "ten",
        "10:5:1",
        "10:100",
        "10:100:0",
        "1e3",
        "nan",
        "[10,,20]",
        "1:99999:1",
        "0.00000000000001",
        "9" * 400,
        "1:2:0.0000000000001",
    ],
)
def test_mistyped_rates_are_named(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        _options(f"--rate={text}")
    assert stop.value.code == 2
    assert f"{text!r} " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["2000000", "[10,2000000]"])
def test_a_rate_beyond_any_generator_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _options(f"--rate={text}")
    assert "is more than 1000000 requests a second" in capsys.readouterr().err
