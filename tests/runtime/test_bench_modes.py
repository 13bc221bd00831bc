"""The benchmark from image files to answers, and of the network alone."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zooc_runtime import PackageError
from zooc_runtime.bench import plan as bench_plan
from zooc_runtime.bench.command import add_arguments, run
from zooc_runtime.bench.report import bottleneck

Bench = Callable[..., dict[str, Any]]


@pytest.fixture
def bench(pristine: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> Bench:
    def call(*arguments: str | Path, **package: Any) -> dict[str, Any]:
        parser = ArgumentParser()
        add_arguments(parser)
        assert run(pristine(**package), parser.parse_args(["--json", *map(str, arguments)])) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for i in range(5):
        path = root / f"class{i % 2}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (30 + i, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return root


@pytest.mark.parametrize("options", [[], ["-i", "2", "-b", "4"], ["-b", "3", "--queue-size", "0"]], ids=str)
@pytest.mark.parametrize("package", [{}, {"batch": 3}, {"softmax": False}], ids=str)
def test_end_to_end_counts_one_image_a_request(
    bench: Bench, folder: Path, options: list[str], package: dict[str, Any]
) -> None:
    document = bench("--end-to-end", folder, "--iterations", "40", *options, **package)
    assert (document["mode"], document["iterations"], document["shape"]) == ("end_to_end", 40, None)
    assert document["throughput_qps"] == pytest.approx(40 / document["duration_s"])
    stages = document["stages_us"]
    assert stages["decode"] > 0 and stages["prelude"] > 0 and stages["body"] > 0
    assert document["latency_us"]["max"] <= document["duration_s"] * 1e6
    assert "of the work" in document["bottleneck"]


def test_one_on_its_way_at_a_time_gives_latencies_that_add_up(bench: Bench, folder: Path) -> None:
    document = bench("--end-to-end", folder, "--iterations", "30", "--hint", "latency")
    assert 30 * document["latency_us"]["avg"] <= document["duration_s"] * 1e6
    assert sum(document["stages_us"].values()) <= document["latency_us"]["avg"]


def test_the_hint_chooses_what_is_not_given(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_plan, "available_cores", lambda: 6)
    keys = ("instances", "threads", "batch_size", "queue_size")

    def chosen(*options: str) -> list[int]:
        document = bench("--iterations", "8", "--warmup", "0", *options)
        return [document[key] for key in keys]

    assert chosen("--network-only") == [1, 6, 1, 0]
    assert chosen("--network-only", "--hint", "latency") == [1, 6, 1, 0]
    assert chosen("--network-only", "--hint", "throughput", "-p", "2") == [3, 1, 1, 0]
    assert chosen("--hint", "throughput", "-i", "2", "-b", "4") == [2, 3, 4, 0]
    assert chosen("--end-to-end", str(folder)) == [6, 1, 1, 24]
    assert chosen("--end-to-end", str(folder), "--hint", "latency") == [1, 6, 1, 0]


def test_a_folder_is_run_through_at_least_once(bench: Bench, folder: Path) -> None:
    assert bench("--end-to-end", folder)["iterations"] == 200
    assert bench("--end-to-end", folder, "--duration", "0.2")["duration_s"] >= 0.2


def test_processes_share_the_files(bench: Bench, folder: Path) -> None:
    document = bench("--end-to-end", folder, "-p", "2", "--iterations", "12")
    assert (document["processes"], document["iterations"]) == (2, 12)


@pytest.mark.parametrize("package", [{}, {"batch": 3}, {"tensor": True}], ids=str)
def test_network_only_spends_its_time_in_the_body(bench: Bench, package: dict[str, Any]) -> None:
    document = bench("--network-only", "-b", "2", "-i", "2", "--iterations", "20", **package)
    assert (document["mode"], document["iterations"]) == ("network_only", 20)
    assert document["throughput_qps"] == pytest.approx(40 / document["duration_s"])
    assert [name for name, spent in document["stages_us"].items() if spent] == ["body"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--end-to-end", "nowhere"], "nowhere: no such folder; check the path"),
        (["--end-to-end", "EMPTY"], "no images below this folder"),
        (["--end-to-end", "a.jpg"], "not a folder"),
        (
            ["--end-to-end", "PHOTOS", "-s", "[3,8,8]"],
            "--shape is for random images; with --end-to-end files",
        ),
        (["--network-only", "-s", "[3,8,8]"], "with --network-only the network has one size"),
        (["--network-only", "--vdsp-params", "x.json"], "which --network-only leaves out"),
        (["--end-to-end", "PHOTOS", "--path-output", "out"], "--path-output needs --datalist"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    bench: Bench, folder: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.jpg").touch()
    places = {"EMPTY": tmp_path / "empty", "a.jpg": tmp_path / "a.jpg", "PHOTOS": folder}
    with pytest.raises(PackageError, match=message.replace("(", r"\(")):
        bench(*(places.get(option, option) for option in options))


def test_a_package_of_tensors_takes_no_files(bench: Bench, folder: Path) -> None:
    with pytest.raises(PackageError, match="contains images, but this package was compiled to take tensors"):
        bench("--end-to-end", folder, tensor=True)


@pytest.mark.parametrize(
    "pair", [["--network-only", "--end-to-end"], ["--end-to-end", "--datalist"]], ids=str
)
def test_one_kind_of_request_at_a_time(
    bench: Bench, pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        word for option in pair for word in ([option] if option == "--network-only" else [option, "x"])
    ]
    with pytest.raises(SystemExit) as end:
        bench(*arguments)
    assert end.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize("warmup", ["0", "5"])
def test_a_corrupt_image_is_named_and_ends_the_run(bench: Bench, folder: Path, warmup: str) -> None:
    (folder / "zero.jpg").write_bytes((folder / "class0" / "0.jpg").read_bytes()[:200])
    with pytest.raises(PackageError, match=r"zero\.jpg: damaged or truncated"):
        bench("--end-to-end", folder, "--warmup", warmup)


def test_the_bottleneck_of_overlapping_requests_is_a_stage() -> None:
    stages = {"decode": 6.0, "prelude": 2.0, "body": 1.0, "postlude": 1.0}
    assert bottleneck(None, stages) == (
        "decode (60 % of the work; send smaller files, read from a faster disk, "
        "or compile with `Decode(scaled)`)"
    )
