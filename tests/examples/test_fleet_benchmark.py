"""benchmarks/fleet.py: ratios are to the best peer, promises to the worst network and the mean."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest


def row(label: str, engine: str, *rates: float) -> dict[str, Any]:
    return {"label": label, "engine": engine, "rates": list(rates)}


def rows(static: float = 10.0, nncf: float = 20.0, ours: float = 15.0, ours_too: float = 24.0) -> list[Any]:
    return [
        row("ONNX Runtime float", "onnxruntime", 5.0),
        row("quantize_static", "onnxruntime", static),
        row("NNCF", "openvino", nncf),
        row("zooc on ONNX Runtime", "onnxruntime", ours),
        row("zooc on OpenVINO", "openvino", ours_too),
    ]


def results(**networks: list[Any]) -> dict[str, Any]:
    return {
        "command": "python benchmarks/fleet.py",
        "machine": {"cores": "2"},
        "date": "today",
        "sources": "abc",
        "rounds": 1,
        "clock": "wall",
        "networks": {name: {"latency": each} for name, each in networks.items()},
    }


def test_an_engine_is_compared_with_its_own_best_peer_and_both_with_the_best_of_all(load: Any) -> None:
    found = load("fleet_tables").ratios(rows())
    assert {name: (ratio.median, ratio.peer) for name, ratio in found.items()} == {
        "onnxruntime": (1.5, "quantize_static"),
        "openvino": (1.2, "NNCF"),
        "both": (1.2, "NNCF"),
    }


def test_ratios_are_of_the_same_round_and_their_median_counts(load: Any) -> None:
    measured = [
        row("quantize_static", "onnxruntime", 10.0, 20.0, 10.0),
        row("zooc on ONNX Runtime", "onnxruntime", 20.0, 20.0, 90.0),
    ]
    found = load("fleet_tables").ratios(measured)
    assert found["onnxruntime"].each == (2.0, 1.0, 9.0)
    assert found["onnxruntime"].median == 2.0
    assert "openvino" not in found


def test_promises_are_held_to_every_network_and_to_the_geometric_mean(load: Any) -> None:
    verdicts = load("fleet_tables").verdicts
    assert list(verdicts(results(a=rows(), b=rows(ours=13.0)), "latency")) == [
        "holds: ONNX Runtime, latency, each network at least 1: b 1.30",
        "holds: ONNX Runtime, latency, geometric mean of 2: 1.40 (at least 1.35)",
        "holds: OpenVINO, latency, each network at least 0.97: a 1.20",
        "holds: OpenVINO, latency, geometric mean of 2: 1.20 (at least 1.12)",
    ]
    fails = list(verdicts(results(a=rows(ours=9.0), b=rows(ours=8.0, ours_too=19.0)), "latency"))
    assert fails[0] == "fails: ONNX Runtime, latency, each network at least 1: b 0.80, a 0.90"
    assert fails[1].startswith("fails: ONNX Runtime, latency, geometric mean of 2: 0.85")
    assert fails[2] == "fails: OpenVINO, latency, each network at least 0.97: b 0.95"
    assert fails[3].startswith("fails: OpenVINO, latency, geometric mean of 2: 1.07")
    assert list(verdicts(results(a=rows()), "throughput")) == []


def test_a_page_shows_ratios_times_and_what_failed(load: Any) -> None:
    measured = [
        *rows(),
        {"label": "quantize_static on OpenVINO", "engine": "openvino", "failed": "no memory"},
    ]
    text = load("fleet_tables").render(results(net=measured))
    assert (
        "| net | 1.50 [1.50, 1.50] | 1.20 [1.20, 1.20] | 1.20 [1.20, 1.20] | quantize_static, NNCF |" in text
    )
    assert "| geometric mean | 1.50 | 1.20 | 1.20 | |" in text
    assert "| net | 200.00 | 100.00 | 50.00 | 66.67 | 41.67 | no memory |" in text
    assert "All cores" not in text


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["resnet81"], "there is no network 'resnet81'; did you mean 'resnet18'?"),
        (["xyz"], "there is no network 'xyz'; there are resnet18, "),
        (["--prepare"], "--prepare needs a folder for the models: --keep FOLDER"),
        (["--throughput", "--clock", "cpu"], "leave out --clock cpu"),
        (["--rounds", "0"], "'0' is no int above 0"),
        (["--seconds", "nan"], "'nan' is no float above 0"),
        (["--engines", "onnx"], "invalid choice: 'onnx'"),
    ],
)
def test_mistyped_arguments_are_named(
    load: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["fleet.py", *arguments])
    try:
        code = load("fleet").main()
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert words in capsys.readouterr().err


def test_results_of_other_networks_stay_if_sources_rounds_and_clock_are_the_same(
    load: Any, tmp_path: Path
) -> None:
    earlier = load("fleet").earlier
    file, now = tmp_path / "results.json", results()
    assert earlier(None, now) == earlier(file, now) == {}
    file.write_text(json.dumps(results(net=rows())), "utf-8")
    assert earlier(file, now) == {"net": {"latency": rows()}}
    for change in ({"sources": "def"}, {"rounds": 2}, {"clock": "cpu"}):
        assert earlier(file, {**now, **change}) == {}
    for text in ("[]", "{", '{"networks": 1}'):
        file.write_text(text, "utf-8")
        with pytest.raises(ValueError):
            earlier(file, now)
