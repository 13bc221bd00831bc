"""The quantizer's benchmark: what it says about itself and about results, not what it measures."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(label: str, sqnr_db: float, top1: float = 0.98) -> dict[str, Any]:
    return {"label": label, "engine": "e", "top1": top1, "agreement": 1.0, "sqnr_db": sqnr_db}


def timed(label: str, seconds: list[float], peak_mb: float, images: int = 50) -> dict[str, Any]:
    stages = {"calibrate_ranges": 2.0, "max": 0.1, "kl_divergence": 0.3, "mse": 0.1}
    runs = [{"seconds": s, "cpu_seconds": s, "peak_mb": peak_mb, "stages": stages} for s in seconds]
    return {"label": label, "images": images, "runs": runs}


ABOUT = {
    "machine": {"cores": "2"},
    "rounds": 3,
    "calibrate_on": 200,
    "date": "today",
    "sources": "abc",
    "sources_after": "abc",
}


def page_of_calibration(*rows: dict[str, Any]) -> str:
    return str(load("quantizer_tables").render({"calibration": {**ABOUT, "rows": rows}}))


def page_of_accuracy(*rows: dict[str, Any]) -> str:
    return str(load("quantizer_tables").render({"accuracy": {**ABOUT, "networks": {"resnest": rows}}}))


def test_help_names_the_peers_and_how_to_install_them() -> None:
    command = [sys.executable, str(BENCHMARKS / "quantizer.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "pip install nncf openvino" in " ".join(done.stdout.split())
    assert "--rounds" in done.stdout and "--format" in done.stdout


def test_medians_and_not_means_are_compared() -> None:
    rows = [
        timed("zooc, all four methods", [5.0, 6.0, 90.0], 900),
        timed("NNCF default", [8.0, 3.0, 7.0], 500),
        timed("onnxruntime Percentile", [29.0, 29.0, 29.0], 9500),
    ]
    text = page_of_calibration(*rows)
    assert "- holds: from file to int8 with 50 images in 0.86 of the time of NNCF default" in text
    assert "- **does not hold**: from file to int8 with 50 images in 0.21 of the time of onnxruntime" in text
    assert "the ranges of all methods alone in 0.36" in text
    assert "- holds: peak memory 900 MB" in text


def test_the_search_is_held_to_three_times_the_time_of_nncf() -> None:
    rows = [timed("zooc, all four methods", [5.0], 900), timed("NNCF default", [8.0], 500)]
    for seconds, verdict in ((24.0, "holds"), (24.2, "**does not hold**")):
        text = page_of_calibration(*rows, timed("zooc auto", [seconds], 900))
        assert f"- {verdict}: with `calibrate auto` in 3.0" in text


def test_memory_that_grows_with_the_images_is_told() -> None:
    rows = [timed("zooc, all four methods", [5.0], 900), timed("zooc, all four methods", [50.0], 1100, 500)]
    assert "- **does not hold**: +22.2% of it for 500 images" in page_of_calibration(*rows)


def test_a_peer_that_did_not_run_is_named_with_the_reason_and_not_compared() -> None:
    missing = {"label": "NNCF default", "missing": "not installed here; pip install nncf openvino"}
    rows = [{**row("float32", 0.0)}, row("zooc percentile(99.99)", 30.0), missing]
    text = page_of_accuracy(*rows)
    assert "| NNCF default | not installed here; pip install nncf openvino |" in text
    assert "best peer" not in text


@pytest.mark.parametrize(("ours", "verdict"), [(33.0, "holds"), (32.9, "**does not hold**")])
def test_the_best_peer_is_the_one_to_reach(ours: float, verdict: str) -> None:
    peers = [row("NNCF default", 27.0), row("onnxruntime MinMax", 33.0)]
    text = page_of_accuracy(row("float32", 0.0), row("zooc auto", ours), *peers)
    assert f"- {verdict}: resnest, auto: SQNR {ours:.2f} dB (best peer: onnxruntime MinMax, 33.00 dB)" in text


def test_top1_may_be_three_tenths_of_a_point_away() -> None:
    for top1, verdict in ((0.977, "holds"), (0.983, "holds"), (0.976, "**does not hold**")):
        text = page_of_accuracy(row("float32", 0.0), row("zooc auto", 30.0, top1))
        assert f"- {verdict}: resnest, auto: top-1" in text


def test_sources_that_change_under_a_run_are_told() -> None:
    render = load("quantizer_tables").render
    section = {**ABOUT, "rows": [timed("zooc, all four methods", [5.0], 900)]}
    assert "mixed" not in render({"calibration": section})
    assert "the sources changed during the run, to def" in render(
        {"calibration": {**section, "sources_after": "def"}}
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is watched through /proc")
def test_a_contestant_that_takes_too_much_memory_is_stopped() -> None:
    hungry = "import time; x = bytearray(b'1' * 200_000_000); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", hungry])
    assert load("machine").watch(process, 0.1)
    assert process.returncode is not None
    modest = subprocess.Popen([sys.executable, "-c", "pass"])
    assert not load("machine").watch(modest, 0.1)
    assert modest.returncode == 0
