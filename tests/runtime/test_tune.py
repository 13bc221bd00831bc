"""The `tune` command: what it measures, keeps and prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from zooc_runtime import open_package
from zooc_runtime.commands.main import main
from zooc_runtime.commands.tune import candidates
from zooc_runtime.inference.cpu import available_cores
from zooc_runtime.inference.settings import Settings

QUICK = ("--duration", "0.01", "--engine", "onnxruntime")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_latency_is_one_image_and_throughput_streams_and_batches() -> None:
    assert candidates("latency", ["x"], 8, None) == [Settings("x", 1, 4, 1), Settings("x", 1, 8, 1)]
    found = candidates("throughput", ["x"], 8, None)
    assert {(one.streams, one.threads) for one in found} == {(1, 8), (2, 4), (8, 1)}
    assert {one.batch for one in found} == {1, 2, 4, 8}
    assert candidates("throughput", ["x", "y"], 1, 3) == [Settings("x", 1, 1, 3), Settings("y", 1, 1, 3)]


def test_the_fastest_setting_is_marked_and_load_then_takes_it(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(package, ["tune", *QUICK]) == 0
    best = [line.split()[1:5] for line in capsys.readouterr().out.splitlines() if line.startswith("*")]
    for hint, (engine, *numbers) in zip(("latency", "throughput"), best, strict=True):
        loaded = open_package(package, "onnxruntime", hint=hint).settings
        assert loaded == Settings(engine, *map(int, numbers))


def test_tuning_for_one_hint_keeps_what_is_known_for_the_other(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for hint in ("latency", "throughput"):
        assert main(package, ["tune", *QUICK, "--hint", hint, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert {row["hint"] for row in document["measured"]} == {hint}
    kept = json.loads(Path(document["kept"]).read_text(encoding="utf-8"))
    assert kept["cores"] == available_cores() and kept["package"] == "tinybird 1.2.3"
    assert {row["hint"] for row in kept["measured"]} == {"latency", "throughput"}
    assert all(row["latency_ms"] > 0 and row["images_per_s"] > 0 for row in kept["measured"])


@pytest.mark.parametrize("form", [{"tensor": True}, {"batch": 3}])
def test_every_form_of_package_can_be_tuned(
    pristine: Callable[..., Path], form: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(pristine(**form), ["tune", *QUICK, "--hint", "throughput", "--json"]) == 0
    batches = {row["settings"]["batch"] for row in json.loads(capsys.readouterr().out)["measured"]}
    assert batches == ({3} if "batch" in form else {1, 2, 4, 8})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "tpu"], 'unknown engine "tpu"'),
        (["--engine", "openvino"], "openvino cannot be imported"),
    ],
)
def test_an_engine_that_is_not_there_is_an_error(
    package: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    assert main(package, ["tune", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_result_that_cannot_be_kept_is_an_error(
    package: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.write_text("a file")
    assert main(package, ["tune", *QUICK, "--hint", "latency"]) == 1
    assert "cannot be created" in capsys.readouterr().err


@pytest.mark.parametrize("duration", ["0", "-1", "nan", "inf", "soon"])
def test_a_duration_is_a_positive_number(package: Path, duration: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(package, ["tune", "--duration", duration])
