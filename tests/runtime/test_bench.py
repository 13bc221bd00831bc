"""The benchmark: its document, its words, its processes. Nothing here depends on how fast the machine is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zooc_runtime import PackageError, open_package
from zooc_runtime.bench import worker as bench_worker
from zooc_runtime.bench.command import add_arguments, run
from zooc_runtime.bench.job import Job
from zooc_runtime.bench.processes import run_jobs
from zooc_runtime.bench.report import bottleneck
from zooc_runtime.bench.worker import measure, prepare
from zooc_runtime.evaluation.npz import output_name, read_datalist, read_input

KEYS = {
    "throughput_qps",
    "latency_us",
    "engine",
    "instances",
    "processes",
    "batch_size",
    "iterations",
    "stages_us",
    "load_ms",
    "peak_memory_mb",
}
LATENCIES = ("min", "p50", "p90", "p95", "p99", "max")


def _options(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def bench(package: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def call(*arguments: str | Path, directory: Path = package) -> dict[str, Any]:
        assert run(directory, _options("--json", "--warmup", "1", *map(str, arguments))) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return call


def _check(document: dict[str, Any]) -> None:
    assert document.keys() >= KEYS
    latency = document["latency_us"]
    assert latency.keys() >= {"avg", *LATENCIES}
    ordered = [latency[name] for name in LATENCIES]
    assert ordered == sorted(ordered) and ordered[0] > 0
    assert latency["min"] <= latency["avg"] <= latency["max"]
    assert document["stages_us"].keys() == {"decode", "prelude", "body", "postlude"}
    # The stages are parts of the latency, both being means over the same requests.
    assert sum(document["stages_us"].values()) <= latency["avg"] * 1.0001
    images = document["iterations"] * document["batch_size"]
    assert document["throughput_qps"] == pytest.approx(images / document["duration_s"])
    assert document["peak_memory_mb"] > 1 and document["load_ms"] > 0


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--iterations", "7"], {"iterations": 7, "instances": 1, "batch_size": 1, "queue_size": 0}),
        (["-i", "3", "-b", "2", "--iterations", "20"], {"iterations": 20, "instances": 3, "batch_size": 2}),
        (["-i", "2", "--queue-size", "4", "--iterations", "30"], {"iterations": 30, "queue_size": 4}),
        (["-i", "8", "--iterations", "3"], {"iterations": 3}),
        (
            ["-s", "[3,20,30]", "-d", "[0]", "--threads", "1"],
            {"shape": [3, 20, 30], "device": "0", "threads": 1},
        ),
    ],
)
def test_the_document_keeps_its_promises(
    bench: Callable[..., dict[str, Any]], arguments: list[str], wanted: dict[str, Any]
) -> None:
    document = bench(*arguments)
    _check(document)
    assert {key: document[key] for key in wanted} == wanted


def test_throughput_cannot_exceed_what_the_streams_latencies_allow(
    bench: Callable[..., dict[str, Any]],
) -> None:
    document = bench("-i", "2", "-b", "3", "--iterations", "40")
    busy = document["iterations"] * document["latency_us"]["avg"] / 1e6
    assert busy <= 2 * document["duration_s"] * 1.001


def test_duration_ends_the_run(bench: Callable[..., dict[str, Any]]) -> None:
    document = bench("--duration", "0.2")
    assert document["duration_s"] >= 0.2 and document["iterations"] >= 1


@pytest.mark.parametrize("options", [{"batch": 3}, {"softmax": False}, {"tensor": True}], ids=str)
def test_every_form_of_package_is_measured(
    bench: Callable[..., dict[str, Any]], pristine: Callable[..., Path], options: dict[str, Any]
) -> None:
    document = bench("--iterations", "5", "-b", "2", directory=pristine(**options))
    _check(document)
    assert (document["stages_us"]["prelude"] == 0) == bool(options.get("tensor"))


def test_extra_percentiles_are_added(bench: Callable[..., dict[str, Any]]) -> None:
    assert bench("--iterations", "5", "--percentiles", "[10,99.9]")["latency_us"].keys() >= {
        "p10",
        "p99.9",
        "p50",
    }


def test_it_prints_vamps_lines(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(package, _options("-i", "2", "-b", "2", "-s", "[3,9,9]", "--iterations", "6", "--warmup", "0"))
    out, err = capsys.readouterr()
    for line in (
        "- number of instances: 2",
        "  devices: [ 0 ]",
        "  queue size: 0",
        "  batch size: 2",
        "  throughput (qps): ",
        "  latency (us):",
        "    avg latency: ",
        "    p99 latency: ",
        "  load time (ms): ",
        "    prelude: ",
        "    body: ",
        "    postlude: ",
        "  peak memory (MiB): ",
        "  bottleneck: ",
    ):
        assert any(one.startswith(line) for one in out.splitlines()), line
    assert "loading and warming up" in err


def test_the_bottleneck_is_the_greatest_part() -> None:
    stages = {"decode": 1.0, "prelude": 2.0, "body": 5.0, "postlude": 1.0}
    assert bottleneck(10, stages).startswith("body (50 %")
    assert bottleneck(100, stages).startswith("queue (91 %")


def test_two_processes_are_merged(bench: Callable[..., dict[str, Any]]) -> None:
    document = bench("-p", "2", "-i", "2", "--iterations", "11")
    _check(document)
    assert (document["processes"], document["iterations"]) == (2, 11)
    # Two interpreters with ONNX Runtime in each; this process, where one would run alone, is no measure.
    assert document["peak_memory_mb"] > 60


def _job(package: Path, **changes: Any) -> Job:
    plain = {
        "directory": package,
        "mode": "images",
        "engine": "auto",
        "threads": 1,
        "instances": 2,
        "batch_size": 1,
        "shape": (3, 9, 9),
        "iterations": 4,
        "warmup": 0,
        "duration": None,
        "queue_size": 0,
        "vdsp_params": None,
        "files": (),
    }
    return Job(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_failing_process_tells_why_and_nothing_hangs(package: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"benchmark process 1: .*not a package of zooc"):
        run_jobs([_job(package), _job(tmp_path)])


def test_a_stream_that_fails_ends_the_run(package: Path) -> None:
    for queue_size in (0, 2):
        job = _job(package, shape=(3, 2, 2), queue_size=queue_size, iterations=50)
        model, result = prepare(job)
        with pytest.raises(PackageError, match="too small for Crop"):
            measure(job, model, result)


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    lines = []
    for i in range(5):
        path = tmp_path / "npz" / f"n{i}" / "x.npz"
        path.parent.mkdir(parents=True)
        pixels = np.random.default_rng(i).integers(0, 256, (3, 9 + i, 10), dtype=np.uint8)
        np.savez(path, input_0=pixels)
        lines.append(f"{path}\n")
    (tmp_path / "list.txt").write_text("".join(reversed(lines)))
    return tmp_path / "list.txt"


def test_a_datalist_is_run_and_its_outputs_sort_in_its_order(
    bench: Callable[..., dict[str, Any]], package: Path, datalist: Path, tmp_path: Path
) -> None:
    document = bench("--datalist", datalist, "--path-output", tmp_path / "out", "-b", "2")
    _check(document)
    assert document["iterations"] == 3
    assert document["stages_us"]["decode"] > 0
    outputs = sorted((tmp_path / "out").iterdir())
    inputs = read_datalist(datalist)
    model = open_package(package)
    for given, made in zip(inputs, outputs, strict=True):
        with np.load(made, allow_pickle=False) as archive:
            assert archive["output_0"].dtype == np.float32
            np.testing.assert_allclose(archive["output_0"], model.scores(read_input(given)), rtol=1e-5)


def test_output_names_sort_whatever_their_number() -> None:
    names = [output_name(i, 12_345_678) for i in (0, 9, 10, 12_345_677)]
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"input": np.zeros((3, 4, 4), np.uint8)}, "has no input_0"),
        ({"input_0": np.zeros((4, 4, 3), np.uint8)}, r"input_0 is uint8 \[4, 4, 3\]"),
        ({"input_0": np.zeros((3, 4, 4), np.float32)}, "input_0 is float32"),
        ({"input_0": np.array([{"a": 1}])}, "input_0 is a pickled object, which could run code"),
    ],
)
def test_an_unfit_npz_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(PackageError, match=rf"a\.npz: {message}"):
        read_input(str(tmp_path / "a.npz"))


def test_a_damaged_npz_and_a_bad_list_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04nonsense")
    with pytest.raises(PackageError, match=r"a\.npz: not an npz file"):
        read_input(str(tmp_path / "a.npz"))
    (tmp_path / "list.txt").write_text("a.npz\n\nb.npz\n")
    with pytest.raises(PackageError, match=r"list\.txt:3: no such file"):
        read_datalist(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(PackageError, match="names no files"):
        read_datalist(tmp_path / "list.txt")


@pytest.mark.parametrize("way", ["file", "module"])
def test_bench_runs_as_a_file_and_as_a_module_in_two_processes(
    package: Path, tmp_path: Path, way: str
) -> None:
    options = ["-p", "2", "--iterations", "4", "--json"]
    start = [str(package / "bench.py")] if way == "file" else ["-m", "tinybird", "bench"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if way == "module":
        environment["PYTHONPATH"] = str(package.parent)
    command = [sys.executable, "-W", "error", *start, *options]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["processes"] == 2


@pytest.mark.slow
def test_ctrl_c_ends_the_children(package: Path) -> None:
    command = [sys.executable, str(package / "bench.py"), "-p", "2", "--duration", "60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("this system does not list a process's children")
    deadline = time.monotonic() + 30
    while (
        len(children.read_text().split()) < 3 and time.monotonic() < deadline
    ):  # two, and multiprocessing's own
        time.sleep(0.1)
    started = [int(pid) for pid in children.read_text().split()]
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_waiting_in_the_queue_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> tuple[float, float, float, float]:
        time.sleep(0.005)
        return 0.0, 0.0, 0.005, 0.0

    monkeypatch.setattr(bench_worker, "_answer", slow)
    job = _job(package, instances=1, iterations=20, queue_size=4)
    model, result = prepare(job)
    latencies = measure(job, model, result).latencies
    # In the middle of the run four requests wait, so that each sees at least three others answered first.
    assert len(latencies) == 20 and float(np.median(latencies)) > 3 * 0.005


def test_too_many_streams_are_an_error(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started = []

    def limited(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    job = _job(package, instances=9, iterations=50)
    model, result = prepare(job)
    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(PackageError, match="lower --instance"):
        measure(job, model, result)


@pytest.mark.slow
@pytest.mark.parametrize("end_to_end", [False, True])
def test_ctrl_c_in_one_process_is_130(package: Path, photo: Path, end_to_end: bool) -> None:
    options = ["--end-to-end", str(photo.parent)] if end_to_end else ["-i", "2"]
    command = [sys.executable, str(package / "bench.py"), *options, "--duration", "60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()  # "loading and warming up"
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")
