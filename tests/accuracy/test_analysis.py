"""The analysis on the trained digits network, as it is and made hard on purpose."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from zooc.accuracy.dequantized_reference import dequantized_reference
from zooc.accuracy.integer_graph import IntegerGraph
from zooc.accuracy.layer_statistics import compare_layers
from zooc.accuracy.sensitivity import quantize_alone
from zooc.calibration.images import pixel_batches
from zooc.cli.app import app
from zooc.diagnostics.diagnostic import ZoocError
from zooc.ir.graph import read_graph
from zooc.ir.session import open_session
from zooc.pipeline.analyze import AnalysisRequest, analyze_path
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import compare_logits

HARD = {"conv1.0/Conv", "conv1.3/Conv"}


def analyze(path: Path, **more: Any) -> Any:
    return analyze_path(AnalysisRequest(path, **more), Cache(None), Progress())


@pytest.fixture(scope="module")
def quantized(digits: Any) -> Any:
    return digits.compile(digits.describe(file="plain.zoo"))


@pytest.fixture(scope="module")
def package(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("package") / "digits"
    digits.compile(digits.describe(file="plain.zoo"), out)
    return out


def batches(compilation: Any, count: int) -> list[Any]:
    compilation.images.paths = compilation.images.paths[:count]
    return list(pixel_batches(compilation.prelude, compilation.images, 1))


@pytest.mark.parametrize("sort", ["logits", "channels"])
def test_it_names_the_layer_that_was_made_hard(sort: str, digits: Any) -> None:
    file = digits.describe(network="hard", file="hard.zoo")
    rows = analyze(file, count=6, alone=4, sort=sort).rows
    assert rows[0].name in HARD
    assert rows[0].module in {"conv1.0", "conv1.3"}
    if sort == "logits":
        assert {row.name for row in rows[:2]} == HARD
        assert rows[0].logits_sqnr_db < rows[2].logits_sqnr_db - 6


def test_a_layer_alone_harms_no_more_than_all_together(quantized: Any) -> None:
    graph = IntegerGraph(quantized.body)
    images = batches(quantized, 4)
    reference = quantized.prepared_body
    _, together, _ = compare_layers(reference, graph, graph.layers, images)
    session, source = open_session(reference), reference.graph.input[0].name
    expected = np.concatenate([session.run(None, {source: batch})[0] for batch in images])
    for layer in [layer for layer in graph.layers if layer.int8][::9]:
        alone = open_session(quantize_alone(read_graph(reference), graph, layer))
        got = np.concatenate([alone.run(None, {source: batch})[0] for batch in images])
        sqnr = compare_logits(expected, got).sqnr_db
        assert together.sqnr_db - 3 < sqnr < math.inf


def test_statistics_are_those_of_the_tensors(quantized: Any) -> None:
    graph = IntegerGraph(quantized.body)
    layer = next(layer for layer in graph.layers if layer.output is not None)
    images = batches(quantized, 3)
    (found,), _, count = compare_layers(quantized.prepared_body, graph, [layer], images)
    assert count == 3
    model = type(quantized.prepared_body)()
    model.CopyFrom(quantized.prepared_body)
    model.graph.output.add().name = layer.tensor
    session = open_session(model)
    values = np.concatenate([session.run([layer.tensor], {"pixels": batch})[0] for batch in images])
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.seen == values.size
    half = layer.output.scale / 2
    beyond = np.mean((values > layer.output.high + half) | (values < layer.output.low - half))
    assert found.saturated == pytest.approx(float(beyond))
    assert found.signal.sum() == pytest.approx(float(np.square(values, dtype=np.float64).sum()), rel=1e-5)


def test_clipped_ranges_show_as_saturated(digits: Any, quantized: Any) -> None:
    ranges = digits.clipping_ranges(0.5)
    clipped = digits.compile(digits.describe(file="plain.zoo"), ranges=ranges)
    graph = IntegerGraph(clipped.body)
    layers = [layer for layer in graph.layers if layer.output is not None]
    found, _, _ = compare_layers(clipped.prepared_body, graph, layers, batches(quantized, 3))
    assert all(one.saturated > 0 for one in found[:5])


def test_a_package_is_held_against_its_own_integer_weights(package: Path, digits: Any) -> None:
    found = analyze(package, images=digits.folder / "test", count=6, alone=2)
    assert not found.float_weights
    assert found.rows[0].weight_sqnr_db is None
    assert found.rows[0].logits_sqnr_db < math.inf
    file = analyze(digits.describe(file="plain.zoo"), images=digits.folder / "test", count=6, alone=0)
    assert {row.name for row in found.rows} == {row.name for row in file.rows}
    assert found.logits.sqnr_db > file.logits.sqnr_db - 1


def test_without_rounding_the_reference_is_float(quantized: Any) -> None:
    stripped = dequantized_reference(IntegerGraph(quantized.body))
    operators = {node.op_type for node in stripped.graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear"}
    image = batches(quantized, 1)[0]
    first, second = (
        open_session(model).run(None, {"pixels": image})[0] for model in (quantized.float_body, stripped)
    )
    assert compare_logits(first, second).sqnr_db > 25


def test_what_cannot_be_analyzed_says_why(digits: Any, package: Path, tmp_path: Path) -> None:
    with pytest.raises(ZoocError, match="Z0496") as caught:
        analyze(digits.describe(file="plain.zoo"), overrides=("quantize=fp32",))
    assert "fp32" in caught.value.diagnostics[0].message
    with pytest.raises(ZoocError, match="Z0496"):
        analyze(package)
    with pytest.raises(ZoocError, match="Z0496"):
        analyze(package, images=digits.folder / "test", variant="big")
    with pytest.raises(ZoocError, match="Z0497"):
        analyze(tmp_path, images=digits.folder / "test")
    with pytest.raises(ZoocError, match="Z0451"):
        analyze(package, images=tmp_path)


def test_the_command_prints_the_worst_first_and_json(package: Path, digits: Any) -> None:
    words = ["analyze", str(package), "--on", str(digits.folder / "test"), "--count", "4", "--alone", "1"]
    human = CliRunner().invoke(app, [*words, "--top", "3", "-q"])
    assert human.exit_code == 0, human.output
    assert "more layers (--top" in human.output
    machine = CliRunner().invoke(app, [*words, "--top", "5", "--format", "json", "--sort", "sqnr"])
    document = json.loads(machine.stdout)
    assert document["ok"]
    values = [layer["sqnr_db"] for layer in document["layers"]]
    assert len(values) == 5
    assert values == sorted(values)
    wrong = CliRunner().invoke(app, [*words, "--sort", "size"])
    assert wrong.exit_code == 2
