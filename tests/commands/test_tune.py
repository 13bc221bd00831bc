"""`zooc tune`, with a clock that counts what is quantized, and once with a real one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zooc.pipeline import tune as pipeline
from zooc.quantization.placement_table import read_placement
from zooc.tuning import bench as tuning

FILE, TABLE = "tiny.zoo", "tiny.placement"
TUNE = ("tune", FILE, "-o", TABLE)
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


class FakeRunner:
    """Takes as long as `cost` says of a body's nodes."""

    made = 0
    cost: Callable[[list[Any]], float]

    def __init__(self, body: Any, engine: str, goal: str, cores: int) -> None:
        type(self).made += 1
        self.seconds = 1e-3 * type(self).cost(list(body.graph.node))


def in_integers(nodes: list[Any], name: str) -> bool:
    return any(n.name == f"{name}/weight/DequantizeLinear" for n in nodes)


def block_is_slow(nodes: list[Any]) -> float:
    """`block/Conv` in integers takes twice the time of everything else in float."""
    gained = sum(in_integers(nodes, name) for name in ("stem/Conv", "fc/Gemm"))
    return 10.0 - 0.5 * gained + 5.0 * in_integers(nodes, "block/Conv")


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[list[Any]], float]], None]:
    """Sets what a body costs in place of running it."""

    def set_cost(cost: Callable[[list[Any]], float]) -> None:
        FakeRunner.cost, FakeRunner.made = staticmethod(cost), 0
        monkeypatch.setattr(tuning, "Runner", FakeRunner)
        monkeypatch.setattr(tuning, "seconds_of", lambda runner, _: runner.seconds)

    return set_cost


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_slow_layer_stays_in_float_and_the_package_says_so(workplace, timed) -> None:
    timed(block_is_slow)
    said = workplace.zooc(*TUNE)
    assert "1 layer in float, 1.56 times as fast in onnxruntime" in said
    assert f"zooc compile {FILE} --placement {TABLE}" in said
    table = read_placement(workplace.folder / TABLE)
    assert "block/Conv" in table.layers and "stem/Conv" not in table.layers
    use = ("compile", FILE, "--placement", TABLE)
    said = workplace.zooc(*use, "-o", "a")
    workplace.zooc(*use, "-o", "b", "--no-cache")
    assert "placement measured for latency: 1 layer in float" in said
    assert files(workplace.folder / "a") == files(workplace.folder / "b")
    manifest = json.loads((workplace.folder / "a" / "tiny" / "manifest.json").read_text("utf-8"))
    assert manifest["quantization"]["placement"]["float"] == list(table.layers)
    assert manifest["quantization"]["placement"]["engines"]["onnxruntime"]["speedup"] > 1.5
    report = (workplace.folder / "a" / "report.html").read_text("utf-8")
    assert "was measured, not decided by rules" in report and "measured to be faster in float" in report


def test_where_the_rules_are_best_the_table_is_empty_and_changes_nothing(workplace, timed) -> None:
    timed(lambda nodes: 10.0 - sum(n.name.endswith("/weight/DequantizeLinear") for n in nodes))
    said = workplace.zooc(*TUNE)
    assert "the rules' is the fastest" in said and "warning" not in said
    workplace.zooc("compile", FILE, "-o", "rules")
    workplace.zooc("compile", FILE, "-o", "measured", "--placement", TABLE)
    model = Path("tiny") / "model.onnx"
    assert workplace.bytes("rules" / model) == workplace.bytes("measured" / model)


def test_float_that_is_faster_still_is_said(workplace, timed) -> None:
    timed(lambda nodes: 10.0 if any(n.op_type == "QuantizeLinear" for n in nodes) else 1.0)
    workplace.zooc(*TUNE)
    assert len(read_placement(workplace.folder / TABLE).layers) > 2
    workplace.zooc("compile", FILE, "-o", "all_float", "--placement", TABLE)
    timed(lambda nodes: 10.0 if len(nodes) > 9 else 1.0)
    said = workplace.zooc(*TUNE, "--force", "--no-cache", "--engine", "onnxruntime")
    assert "Z0439" in said or "1.00 times as fast as float32" in said


def test_a_noisy_machine_keeps_the_rules_and_says_so(workplace, timed) -> None:
    rng = np.random.default_rng(0)
    timed(block_is_slow)
    tuning.seconds_of = lambda runner, _: runner.seconds * np.exp(rng.normal(0, 3))
    said = workplace.zooc(*TUNE)
    assert "warning[Z0437]" in said
    assert read_placement(workplace.folder / TABLE).layers == ()


def test_the_same_command_takes_its_verdicts_from_the_cache(workplace, timed) -> None:
    timed(block_is_slow)
    workplace.zooc(*TUNE)
    first, made = workplace.bytes(TABLE), FakeRunner.made
    assert made > 4
    said = workplace.zooc(*TUNE, "--force")
    assert "known from an earlier run" in said
    assert FakeRunner.made == made and workplace.bytes(TABLE) == first
    workplace.zooc(*TUNE, "--force", "--no-cache")
    assert FakeRunner.made == 2 * made


def test_after_an_interruption_it_goes_on(workplace, timed) -> None:
    timed(block_is_slow)
    runs, before = 0, tuning.seconds_of

    def interrupted(runner: Any, clock: str) -> float:
        nonlocal runs
        runs += 1
        if runs == 300:
            raise KeyboardInterrupt
        return before(runner, clock)

    tuning.seconds_of = interrupted
    said = workplace.zooc(*TUNE, code=130)
    assert "the same command continues from there" in said
    assert not (workplace.folder / TABLE).exists()
    said = workplace.zooc(*TUNE)
    assert "known from an earlier run" in said
    assert "block/Conv" in read_placement(workplace.folder / TABLE).layers


def test_when_the_time_is_up_what_was_found_is_written(workplace, timed) -> None:
    timed(block_is_slow)
    said = workplace.zooc(*TUNE, "--time-limit", "0.000001s")
    assert "the time was up" in said
    assert read_placement(workplace.folder / TABLE).layers == ()


def test_json(workplace, timed) -> None:
    timed(block_is_slow)
    found = json.loads(workplace.zooc(*TUNE, "--format", "json", "--for", "throughput"))
    assert found["ok"] and found["finished"] and found["placement"]["goal"] == "throughput"
    assert found["steps"][0]["to"] == "float" and found["over_float"]["onnxruntime"] > 1


def test_two_engines_are_timed_together(workplace, timed) -> None:
    pytest.importorskip("openvino")
    timed(block_is_slow)
    workplace.zooc(*TUNE, "--engine", "both")
    table = read_placement(workplace.folder / TABLE)
    assert [one.engine for one in table.engines] == ["onnxruntime", "openvino"]


def test_no_table_is_replaced_by_surprise(workplace) -> None:
    (workplace.folder / TABLE).write_text("mine")
    workplace.refused("Z0430", *TUNE)
    workplace.refused("Z0702", *TUNE, "--force")
    assert workplace.bytes(TABLE) == b"mine"


@pytest.mark.parametrize("text", ["10", "10min", "m", "-5m", "0s", "ten", ""])
def test_a_mistyped_time_limit(workplace, text: str) -> None:
    assert "10m" in workplace.refused("Z0440", *TUNE, f"--time-limit={text}")


@pytest.mark.parametrize("arguments", [("--engine", "openvinno"), ("--for", "latancy")])
def test_mistyped_choices(workplace, arguments: tuple[str, str]) -> None:
    assert arguments[1] in workplace.zooc(*TUNE, *arguments, code=2)


def test_an_engine_that_is_not_installed(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "installed_engines", lambda _: {})
    assert "pip install openvino" in workplace.refused("Z0438", *TUNE, "--engine", "openvino")


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_what_has_no_int8(workplace, timed, dtype: str) -> None:
    timed(block_is_slow)
    workplace.refused("Z0436", *TUNE, "--set", f"quantize={dtype}")
    workplace.zooc(*TUNE)
    workplace.refused("Z0436", "compile", FILE, "--placement", TABLE, "--set", f"quantize={dtype}")


def test_bad_tables_stop_the_compile_before_it_works(workplace, timed) -> None:
    use = ("compile", FILE, "--placement", TABLE)
    assert "No such file" in workplace.refused("Z0431", *use)
    timed(block_is_slow)
    workplace.zooc(*TUNE)
    text = (workplace.folder / TABLE).read_text("utf-8")
    (workplace.folder / TABLE).write_text(text.replace("float  ", "flaot  "), "utf-8")
    said = workplace.refused("Z0432", *use)
    assert "did you mean `float`" in said and f"{TABLE}:" in said
    (workplace.folder / TABLE).write_text(text + "float  block/Cov\n", "utf-8")
    assert "block/Conv" in workplace.refused("Z0434", *use)
    (workplace.folder / TABLE).write_text(text.replace("onnxruntime 1", "onnxruntime 0"), "utf-8")
    assert "warning[Z0435]" in workplace.zooc(*use)
    (workplace.folder / TABLE).write_text(text, "utf-8")
    other = ("--set", "model.input=[4, 3, size, size]")
    said = workplace.refused("Z0433", *use, "--force", *other)
    assert "there: tiny" in said


def test_the_digits_example_in_earnest(workplace) -> None:
    shutil.copy(EXAMPLE / "digits_resnest.onnx", workplace.folder / "digits.onnx")
    rng = np.random.default_rng(0)
    for path in (workplace.folder / "images").iterdir():
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    (workplace.folder / "digits.zoo").write_text(
        'model { source onnx("digits.onnx")  input [batch, 3, 64, 64]  classes 10 }\n'
        "preprocess { ECenterCrop(64)  ToTensor()  Normalize(mean=[0.5, 0.5, 0.5], std=[0.2, 0.2, 0.2]) }\n"
        'quantize int8 { calibrate max  warn none  data images("images") }\n'
        "package { name digits }\n",
        "utf-8",
    )
    workplace.zooc("tune", "digits.zoo", "-o", "digits.placement", "--time-limit", "3s")
    table = read_placement(workplace.folder / "digits.placement")
    assert table.engines[0].speedup >= 1.0
    workplace.zooc("compile", "digits.zoo", "--placement", "digits.placement", "-o", "digits")
