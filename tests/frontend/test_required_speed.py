from __future__ import annotations

from pathlib import Path

import pytest

from zooc.deployment import Quantize, SpeedRequirement
from zooc.diagnostics.diagnostic import SourceFile
from zooc.frontend.semantics.analyze import analyze
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.parser import parse

TEXT = """
let limit = 8
model {{ source onnx("net.onnx")  input [batch, 3, 64, 64]  classes 10 }}
preprocess {{ ECenterCrop(64)  ToTensor() }}
quantize {} {{ {} }}
package {{ engines [onnxruntime, openvino] }}
variant elsewhere {{ quantize.require.latency = false }}
variant float {{ quantize = fp32 }}
"""
BOTH = "require latency <= limit ms  require throughput >= 120/s"
HEADER = 'data images("val")  '


def quantize(
    statements: str, folder: Path, variant: str | None = None, *overrides: str, header: str = "int8"
) -> Quantize:
    (folder / "val").mkdir(exist_ok=True)
    (folder / "net.onnx").touch()
    data = HEADER if header == "int8" and "ranges" not in statements else ""
    tree, diagnostics = parse(SourceFile("a.zoo", TEXT.format(header, data + statements)))
    assert tree is not None, diagnostics
    deployment, diagnostics = analyze(tree, path=folder / "a.zoo", variant=variant, overrides=overrides)
    assert deployment is not None, diagnostics
    return deployment.quantize


def test_latency_comes_first_whatever_the_order(tmp_path: Path) -> None:
    wanted = (SpeedRequirement("latency", 8.0), SpeedRequirement("throughput", 120.0))
    assert quantize(BOTH, tmp_path).speed == wanted
    assert quantize("require throughput >= 120/s  require latency <= limit ms", tmp_path).speed == wanted


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("latency <= 0.5 ms on this_machine", SpeedRequirement("latency", 0.5)),
        (
            "latency <= 8 ms on this_machine(engine=openvino, threads=1)",
            SpeedRequirement("latency", 8.0, "openvino", 1),
        ),
        ("throughput >= 240/2/s", SpeedRequirement("throughput", 120.0)),
        ("throughput >= limit/s", SpeedRequirement("throughput", 8.0)),
        (
            "throughput >= 120/s on this_machine(streams=2)",
            SpeedRequirement("throughput", 120.0, None, None, 2),
        ),
    ],
)
def test_a_speed_is_limit_unit_and_machine(written: str, meant: SpeedRequirement, tmp_path: Path) -> None:
    assert quantize(f"require {written}", tmp_path).speed == (meant,)


def test_it_stands_beside_an_accuracy_contract_float_and_ranges_of_the_source(tmp_path: Path) -> None:
    beside = quantize(f'require drop <= 1% on images("val")  {BOTH}', tmp_path)
    assert beside.require is not None and len(beside.speed) == 2
    assert len(quantize(BOTH, tmp_path, header="fp32").speed) == 2
    assert len(quantize(f"ranges source  {BOTH}", tmp_path).speed) == 2


def test_overrides_change_the_let_or_drop_the_speed(tmp_path: Path) -> None:
    assert quantize(BOTH, tmp_path, None, "limit=20").speed[0].limit == 20.0
    assert [one.quantity for one in quantize(BOTH, tmp_path, "elsewhere").speed] == ["throughput"]
    dropped = quantize(BOTH, tmp_path, "elsewhere", "quantize.require.throughput=false")
    assert dropped.speed == ()
    assert len(quantize(BOTH, tmp_path, "float").speed) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "latency <= 8 ms",
        "throughput >= 120/s",
        "throughput >= 120/s on this_machine(engine=openvino, streams=2)",
    ],
)
def test_it_keeps_its_layout(statement: str) -> None:
    text = f"quantize fp32 {{\n  require {statement}\n}}\n"
    assert format_source(text) == text
    assert format_source(text.replace("/s", " / s").replace(" >= ", ">=").replace(" <= ", "<=")) == text


def test_a_division_elsewhere_keeps_its_blanks() -> None:
    text = "let s = 2\nlet size = 448 / s\n"
    assert format_source(text) == text


def test_what_holds() -> None:
    latency, throughput = SpeedRequirement("latency", 8.0), SpeedRequirement("throughput", 120.0)
    assert latency.allows(8.0) and latency.allows(7.0) and not latency.allows(8.1)
    assert throughput.allows(120.0) and throughput.allows(121.0) and not throughput.allows(119.0)
    assert (str(latency), str(throughput)) == ("latency <= 8 ms", "throughput >= 120/s")
    assert throughput.with_unit(123456.7) == "123457/s"
