from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from zooc.diagnostics.diagnostic import ZoocError
from zooc.ir.structure import structure_sha256
from zooc.quantization.placement_table import (
    MeasuredIn,
    MeasuredPlacement,
    format_placement,
    read_placement,
)
from zooc_runtime.inference.cpu import cpu_name

Network = Callable[..., onnx.ModelProto]

TABLE = MeasuredPlacement(
    "net",
    "0" * 64,
    "1.2.3",
    "Intel(R) Xeon(R)  # 1",
    2,
    "latency",
    "wall",
    (MeasuredIn("onnxruntime", "1.32.0", 1.207), MeasuredIn("openvino", "2026.4.1-a b", 1.0)),
    ("stem/Conv", "a name", '"quoted" #0', "stem/Conv#0"),
    {"stem/Conv": "stage 1 in float: 1.2 times as fast"},
)


def refused(path: Path, *codes: str) -> str:
    with pytest.raises(ZoocError) as caught:
        read_placement(path)
    assert tuple(found.code for found in caught.value.diagnostics) == codes
    return " ".join(f"{found.message} {found.hint}" for found in caught.value.diagnostics)


def test_every_table_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "net.placement"
    for text in (format_placement(TABLE), format_placement(TABLE).replace("\n", "\r\n")):
        path.write_bytes(text.encode())
        assert read_placement(path) == TABLE


def test_its_lines_say_what_was_measured() -> None:
    lines = format_placement(TABLE).splitlines()
    assert lines[0] == "zooc-placement 1"
    assert "engine   onnxruntime 1.32.0 1.207" in lines
    assert lines[lines.index("float    stem/Conv") - 1] == "# stage 1 in float: 1.2 times as fast"


@pytest.mark.parametrize(
    "line, wrong, words",
    [
        ("float    stem/Conv", "flaot    stem/Conv", "`float`"),
        ("float    stem/Conv", "float", "0 values, 1 expected"),
        ("float    stem/Conv", "float stem Conv", "double quotes"),
        ("float    stem/Conv", 'float "stem/Conv', "no quoted name"),
        ("float    stem/Conv", 'float    "a name"', "given twice"),
        ("goal     latency", "goal latnecy", "latency or throughput"),
        ("goal     latency", "goal latency\ngoal latency", "given twice"),
        ("clock    wall", "clock wal", "wall or cpu"),
        ("cores    2", "cores two", "whole number"),
        ("cores    2", "cores 0", "whole number"),
        ("onnxruntime 1.32.0 1.207", "onxruntime 1.32.0 1.207", "onnxruntime, openvino"),
        ("onnxruntime 1.32.0 1.207", "onnxruntime 1.32.0 nan", "positive number"),
        ("onnxruntime 1.32.0 1.207", "onnxruntime 1.32.0 fast", "positive number"),
        ("network  net 0000", "network  net g000", "digits"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, wrong: str, words: str) -> None:
    path = tmp_path / "net.placement"
    text = format_placement(TABLE)
    assert line in text
    path.write_text(text.replace(line, wrong, 1), "utf-8")
    assert words in refused(path, "Z0432")


def test_every_bad_line_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "net.placement"
    path.write_text(format_placement(TABLE) + "flat x\nfloat\n", "utf-8")
    refused(path, "Z0432", "Z0432")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "begin"),
        (b"\x00\xff\xfe", "no text"),
        (b"layer1 2.5 0 2.5\n", "begin"),
        (b"zooc-placement 2\n", "version 2"),
        (b"zooc-placement\n", "version none"),
        (b"zooc-placement 1\nfloat a\n", "`network`, `zooc`"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "net.placement"
    path.write_bytes(content)
    assert words in refused(path, "Z0431")


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "net.placement", "Z0431")
    assert "directory" in refused(tmp_path, "Z0431")


@pytest.fixture
def network(net: Callable[..., Any]) -> Network:
    """Makes a body of one convolution and a head."""

    def make(width: int = 4, seed: int = 0) -> onnx.ModelProto:
        made = net(seed)
        made.head(made.conv(made.begin(), 3, width), width)
        return made.model()

    return make


def placement(body: onnx.ModelProto, **changes: object) -> MeasuredPlacement:
    facts = {"cpu": cpu_name(), "engines": (), "layers": (), "network": structure_sha256(body), **changes}
    names = ("name", "zooc", "cores", "goal", "clock")
    return MeasuredPlacement(**{**{name: getattr(TABLE, name) for name in names}, **facts})


def test_other_weights_are_the_same_network_and_other_shapes_another(network: Network) -> None:
    path = Path("net.placement")
    table = placement(network())
    assert table.check(path, "here", network(seed=1)) == []
    with pytest.raises(ZoocError) as caught:
        table.check(path, "here", network(width=5))
    (found,) = caught.value.diagnostics
    assert found.code == "Z0433"
    assert "there: net" in found.notes[0] and "here: here" in found.notes[1]


def test_a_node_that_the_network_does_not_have(network: Network) -> None:
    body = network()
    name = body.graph.node[-1].name
    with pytest.raises(ZoocError) as caught:
        placement(body, layers=(name, f"{name}x")).check(Path("net.placement"), "here", body)
    (found,) = caught.value.diagnostics
    assert found.code == "Z0434" and name in (found.hint or "")


def test_another_machine_is_a_warning(network: Network) -> None:
    body = network()
    elsewhere = placement(body, cpu="Z80", engines=(MeasuredIn("onnxruntime", "0.1", 1.1),))
    (found,) = elsewhere.check(Path("net.placement"), "here", body)
    assert found.code == "Z0435" and len(found.notes) == 2
