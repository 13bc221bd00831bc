"""The page that benchmarks/peers.py writes: what it says about results, not what it measures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

TABLES = Path(__file__).resolve().parents[2] / "benchmarks" / "peers_tables.py"
STATIC = "ONNX Runtime quantize_static"


def row(label: str, *rates: float) -> dict[str, Any]:
    return {"label": label, "setting": {"streams": 2, "threads": 1, "batch": 4}, "rates": list(rates)}


def page(instructions: str = "avx2", **kinds: list[dict[str, Any]]) -> str:
    spec = importlib.util.spec_from_file_location("peers_tables", TABLES)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    machine = {"instructions": instructions, "cores": "2"}
    results = {"machine": machine, "date": "today", "sources": "abc", "networks": {"resnest50d": kinds}}
    return str(module.render(results))


@pytest.mark.parametrize("ours, verdict", [(16.0, "holds"), (15.9, "fails")])
def test_a_promise_is_held_to_the_best_peer(ours: float, verdict: str) -> None:
    rows = [row(STATIC, 5.0), row("NNCF on OpenVINO", 10.0), row("zooc on OpenVINO", ours)]
    text = page(throughput=rows)
    assert f"- {verdict}: resnest50d, OpenVINO, throughput: {ours / 10:.2f}" in text
    assert "(at least 1.6; NNCF on OpenVINO)" in text


def test_ratios_are_of_the_same_round_and_their_median_counts() -> None:
    rows = [row("NNCF on OpenVINO", 10.0, 20.0, 10.0), row("zooc on OpenVINO", 20.0, 20.0, 90.0)]
    assert "throughput: 2.00 [1.00, 9.00] (at least 1.6" in page(throughput=rows)


def test_from_images_the_faster_of_our_engines_is_promised() -> None:
    rows = [row(STATIC, 10.0), row("zooc on OpenVINO", 11.0), row("zooc on ONNX Runtime", 16.0)]
    assert "- holds: resnest50d, from JPEG files, zooc on ONNX Runtime: 1.60" in page(images=rows)


def test_what_was_not_measured_is_not_promised() -> None:
    text = page(latency=[row(STATIC, 10.0), row("zooc on ONNX Runtime", 20.0)])
    assert "one image at a time: 2.00" in text
    assert "JPEG" not in text.split("## What was promised")[1]
    assert "Throughput" not in text


def test_a_cpu_without_amx_is_named() -> None:
    rows = [row(STATIC, 10.0)]
    assert "no AMX" in page(latency=rows)
    assert "no AMX" not in page("avx2, amx_int8", latency=rows)


def test_the_limit_of_the_integer_units_stands_beside_the_promise_and_is_no_peer() -> None:
    rows = [
        row(STATIC, 10.0),
        row("zooc on OpenVINO", 12.0),
        row("as many products in plain convolutions", 14.0),
    ]
    text = page(throughput=rows)
    assert f"1.20 [1.20, 1.20] (at least 1.6; {STATIC}; products alone 1.40)" in text
