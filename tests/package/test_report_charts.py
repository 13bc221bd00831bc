"""The report's charts and figures by themselves: bounded, sound with odd values, and true."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from zooc.calibration.histogram import ActivationHistograms, Histogram
from zooc.calibration.mse import estimated_sqnr_db
from zooc.package.report.charts import Dot, bars, dots, hbar, scatter, strip, ticks
from zooc.package.report.data import scatter_points
from zooc.package.report.layers import DIGITS, layer_entries, short_histogram
from zooc.package.report.page import render_report
from zooc.package.report.read import StoredReport
from zooc.package.report.verdict import verdicts
from zooc.package.report.view import json_block
from zooc.quantization.layers import LayerRecord
from zooc.quantization.scales import activation_scale

EVIL = "</script><img src=x onerror=alert(1)>"


def histogram(values: np.ndarray) -> Histogram:
    found = Histogram()
    assert found.update(values.astype(np.float32))
    return found


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("signed", [True, False])
def test_the_estimate_is_the_noise_of_rounding_and_clipping(share: float, signed: bool) -> None:
    values = np.random.default_rng(3).normal(0, 2, 200_000).astype(np.float32)
    values = values if signed else np.maximum(values, 0)
    low, high = float(values.min()) * share, float(values.max()) * share
    levels = activation_scale((low, high))
    scale, zero = float(levels.scale), levels.zero_point
    rounded = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    true = 10 * math.log10(float(np.square(values).sum() / np.square(rounded - values).sum()))
    assert estimated_sqnr_db(histogram(values), scale, zero) == pytest.approx(true, abs=0.3)


def test_of_nothing_but_zeros_no_ratio_is_known() -> None:
    assert estimated_sqnr_db(histogram(np.zeros(9)), 0.1, 0) is None
    assert short_histogram(histogram(np.zeros(9))) == DIGITS[-1]


def test_a_short_histogram_has_the_form_of_the_long_one() -> None:
    short = short_histogram(histogram(np.repeat([-1.0, 0.0, 3.0], [10, 1000, 100])))
    heights = [DIGITS.index(digit) for digit in short]
    assert len(heights) == 64
    assert max(heights) == heights[16] == 63
    assert 0 < heights[0] < heights[-1] < 63
    assert sum(height > 0 for height in heights) == 3


def test_layers_of_one_tensor_show_its_noise_once() -> None:
    histograms = ActivationHistograms(["t"])
    histograms.update("t", np.linspace(0, 1, 500, dtype=np.float32))
    ranged = {"low": 0.0, "high": 1.0, "scale": 1 / 255, "zero_point": 0, "tensor": "t"}
    records = [
        LayerRecord("conv", "Conv", "int8", **ranged),  # type: ignore[arg-type]
        LayerRecord("relu", "Relu", "int8", **ranged),  # type: ignore[arg-type]
        LayerRecord("soft", "Softmax", "float", "left exact"),
    ]
    first, second, third = layer_entries(records, histograms, {"soft": math.inf})
    assert 50 < first["db"] < 60 and first["seen_high"] == 1.0
    assert "db" not in second and second["high"] == 1.0
    assert third == {"name": "soft", "op": "Softmax", "dtype": "float", "note": "left exact", "alone": 999.0}


@pytest.mark.parametrize(
    "low, high", [(0, 60), (-0.001, 0.0013), (1.0, 1.004), (-3e7, 8e8), (5, 5), (0, math.inf)]
)
def test_ticks_are_round_few_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 8
    assert len(found) == len(set(found))
    assert all(low <= tick <= high or math.isclose(tick, low) for tick in found)


def test_charts_are_xml_also_of_odd_values() -> None:
    made = [
        bars([None, -5.0, 0.0, 19.9, 20.0, 999.0], 20.0, "chart"),
        bars([], 20.0, "none"),
        scatter([], "a", "b"),
        scatter([[1, 1]], "a", "b"),
        dots([], "a", "b"),
        dots([Dot(1, 1, "1"), Dot(1, 1, "2", best=True, joined=True)], "a", "b"),
        strip([]),
        strip([("int8", 3), ("float", 1), ("<b>", 1)]),
        hbar(7.0),
    ]
    trees = [ET.fromstring(chart) for chart in made]
    rects = trees[0].findall("rect")
    assert [rect.get("data-layer") for rect in rects] == ["1", "2", "3", "4", "5"]
    assert [rect.get("class") for rect in rects] == ["poor", "poor", "poor", None, None]
    assert [dot.get("class") for dot in trees[5].findall("circle")] == ["best", None]
    assert len(trees[5].findall("text[@x]")) > 0
    assert [rect.get("class") for rect in trees[7]] == ["int8", "float", "float"]


def test_the_scatter_of_very_many_logits_is_small_and_has_the_worst() -> None:
    rng = np.random.default_rng(0)
    expected = rng.normal(0, 4, (60, 10_000)).astype(np.float32)
    got = expected + rng.normal(0, 0.01, expected.shape).astype(np.float32)
    got[3, 77] = 100.0
    found = scatter_points(expected, got)
    assert found["of"] == 600_000
    assert len(found["points"]) <= 1200
    assert max(y for _, y in found["points"]) == 100.0
    assert len(scatter(found["points"], "a", "b")) < 30_000
    assert len(scatter_points(expected[:1, :3], got[:1, :3])["points"]) == 3


def test_json_cannot_end_its_element() -> None:
    text = json_block([{"name": f"{EVIL}<!--\u2028"}])
    assert "<" not in text and ">" not in text and "&" not in text and text.isascii()
    assert json.loads(text)[0]["name"].startswith(EVIL)


def test_of_thousands_of_layers_the_report_stays_below_a_megabyte() -> None:
    count = 5000
    layers = [
        {
            "name": f"layer{i % 4}.{i}.conv2.conv/a_long_name_of_a_Conv_{i}",
            "op": "Conv",
            "dtype": "float" if i % 9 == 0 else "int8",
            "low": -1.2345,
            "high": 2.3456,
            "scale": 0.012345,
            "zero_point": 128,
            "seen_low": -1.5,
            "seen_high": 3.5,
            "histogram": DIGITS,
            "db": 30.0 + i % 20,
            "note": "its neighbours compute in float",
        }
        for i in range(count)
    ]
    page = render_report(StoredReport(manifest(), data(layers)))
    assert 300_000 < len(page.encode()) < 1_000_000
    assert page.count("data-layer=") == 1200 + 1  # one is in the script
    assert "3800 more layers are not drawn" in page


@pytest.mark.parametrize(
    "dtype, ours, state, headline",
    [
        ("int8", 4.0, "good", "2.00 x float32"),
        ("int8", 10.0, "bad", "0.80 x float32"),
        ("fp32", 9.0, "good", "9.00 ms"),
    ],
)
def test_slow_int8_is_said_to_be_slow(dtype: str, ours: float, state: str, headline: str) -> None:
    row = {"what": "network, batch 1", "baseline": "float32", "baseline_ms": 8.0, "ours_ms": ours}
    measured = {"machine": "a processor", "comparisons": [row]}
    about = {**manifest(), "quantization": {"dtype": dtype}}
    _, speed, _ = verdicts(about, {**data([]), "speed": measured})
    assert (speed.state, speed.headline) == (state, headline)
    assert speed.command == ("zooc tune big.zoo" if state == "bad" else "")
    _, untimed, _ = verdicts(about, data([]))
    assert (untimed.state, untimed.command) == ("open", "python -m big bench")


def manifest() -> dict[str, object]:
    """What the view reads of a manifest."""
    return {
        "name": "big",
        "version": "1",
        "zooc": "0",
        "preprocess": None,
        "source": {"file": "big.zoo", "text": "", "sha256": "0", "variant": None, "overrides": []},
        "model": {
            "source": "s",
            "weights": "w",
            "weights_sha256": None,
            "parameters": 1,
            "macs": 1,
            "input": {"name": "input", "dtype": "float32", "shape": [None, 3, 8, 8]},
        },
        "stages": {"prelude": None, "body": {"input": "input", "output": "logits"}, "postlude": None},
        "postprocess": {"activation": "none"},
        "quantization": {
            "dtype": "int8",
            "saturation": {"at_risk": {}},
            "corrections": {"asked_for": [], "equalized": [], "found_by_auto": None},
        },
        "engines": ["onnxruntime"],
        "tools": {},
    }


def data(layers: list[dict[str, object]]) -> dict[str, object]:
    """What a compile without images writes to `report.json`."""
    words = dict.fromkeys(("decoding", "kept", "search", "placement", "contract"))
    return {
        "schema": 1,
        "model": {"bytes": 1, "sha256": "0", "float_bytes": 1},
        "heads": [],
        "steps": [],
        "normalize": None,
        "folded": None,
        "words": {**words, "speed": []},
        "images_compared": 0,
        "layers": layers,
        "float_kinds": [],
        "float_nodes": [],
        "refusals": {"count": 0, "first": []},
        "skipped": {"count": 0, "first": {}},
        "parted": [],
        "pairs": [],
        "scatter": None,
        "picture": {"missing": "no calibration image was at hand"},
        "speed": None,
    }
