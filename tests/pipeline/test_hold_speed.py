"""Required speed, by a clock that the tests set: what is taken, what it says, what fails."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest

from zooc.compilation import Request
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError
from zooc.package.manifest import build_manifest
from zooc.pipeline import hold_speed
from zooc.pipeline.compile import WrittenPackage, compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.tuning.required_speed import Way
from zooc_runtime import open_package
from zooc_runtime.errors import PackageError

LATENCY = "require latency <= 8 ms"
BOTH = f"{LATENCY}  require throughput >= 120/s"

Times = Mapping[tuple[str, str], Any]
SetTimes = Callable[[Times], None]
SLOW: Times = {
    ("int8", "onnxruntime"): 9.0,
    ("int8", "openvino"): 10.0,
    ("fp32", "onnxruntime"): 30.0,
    ("fp32", "openvino"): 20.0,
}


@pytest.fixture
def set_times(monkeypatch: pytest.MonkeyPatch) -> SetTimes:
    """Both engines seem to be installed; sets the milliseconds of a run by data type and engine."""
    monkeypatch.setattr(hold_speed, "installed_engines", lambda names: dict.fromkeys(sorted(names), "1.0"))
    monkeypatch.setattr(hold_speed, "available_cores", lambda: 1)

    def set_them(times: Times) -> None:
        def open_timed(body: onnx.ModelProto, way: Way) -> Callable[[], float]:
            quantized = any(node.op_type == "QuantizeLinear" for node in body.graph.node)
            found = times["int8" if quantized else "fp32", way.engine]
            row = iter((found if isinstance(found, list) else [found]) * 64)
            return lambda: float(next(row)) / 1e3

        monkeypatch.setattr(hold_speed, "open_timed", open_timed)

    return set_them


def describe(project: Path, statements: str, engines: str = "onnxruntime, openvino") -> Path:
    text = (project / "tiny.zoo").read_text("utf-8")
    text = text.replace("seed=1) }", f"seed=1)\n  warn none  {statements} }}")
    text = text.replace('version "1.2.3"', f'version "1.2.3"  engines [{engines}]')
    path = project / "speed.zoo"
    path.write_text(text, "utf-8")
    return path


def compile_it(
    file: Path, output: Path, **options: Any
) -> tuple[WrittenPackage, dict[str, Any], dict[str, Any]]:
    """Returns the package, its manifest and the JSON of the compile."""
    context = Context(Cache(None), Progress())
    done = compile_package(Request(file, output, **options), context)
    return done, json.loads((output / "tiny" / "manifest.json").read_text("utf-8")), context.facts


def failure(file: Path, output: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(ZoocError) as caught:
        compile_it(file, output)
    assert not output.exists()
    return tuple(caught.value.diagnostics)


def test_the_first_engine_is_taken_where_it_holds(project: Path, tmp_path: Path, set_times: SetTimes) -> None:
    set_times(SLOW | {("int8", "onnxruntime"): 7.0})
    done, manifest, facts = compile_it(describe(project, BOTH), tmp_path / "out")
    assert done.compiled.speed is not None
    assert done.compiled.speed.in_words() == [
        "latency <= 8 ms held by int8 in onnxruntime (1 stream): 7 ms",
        "throughput >= 120/s held by int8 in onnxruntime (1 stream): 142.9/s",
    ]
    assert manifest["speed"] == {
        "asked_for": "int8",
        "dtype": "int8",
        "latency": {"limit": 8.0, "engine": "onnxruntime", "threads": None, "streams": None},
        "throughput": {"limit": 120.0, "engine": "onnxruntime", "threads": None, "streams": None},
    }
    assert [row["value"] for row in facts["speed"]["held"]] == [7.0, 142.9]
    assert len(facts["speed"]["measured"]) == 4
    assert "latency &lt;= 8 ms held by int8 in onnxruntime" in (tmp_path / "out" / "report.html").read_text(
        "utf-8"
    )


def test_else_the_other_engine_and_the_package_takes_it(
    project: Path, tmp_path: Path, set_times: SetTimes
) -> None:
    pytest.importorskip("openvino")
    set_times(SLOW | {("int8", "openvino"): 5.0})
    done, manifest, _ = compile_it(describe(project, LATENCY), tmp_path / "out")
    assert done.compiled.quantized is not None
    assert manifest["speed"]["latency"]["engine"] == "openvino"
    assert open_package(tmp_path / "out" / "tiny").settings.engine == "openvino"


def test_else_float_which_holds_any_accuracy_contract(
    project: Path, tmp_path: Path, set_times: SetTimes
) -> None:
    set_times(SLOW | {("fp32", "openvino"): 6.0})
    statements = f'require drop <= 100% on images("images", labels=none)  keep fp32 ["stem/*"]  {LATENCY}'
    done, manifest, facts = compile_it(describe(project, statements), tmp_path / "out")
    assert done.compiled.quantized is None and done.compiled.contract is None
    assert manifest["quantization"] == {"dtype": "fp32", "keep": []}
    assert (manifest["speed"]["asked_for"], manifest["speed"]["dtype"]) == ("int8", "fp32")
    assert facts["dtype"] == "fp32" and "contract" not in facts and "layers" not in facts
    assert done.compiled.speed is not None
    (line,) = done.compiled.speed.in_words()
    assert line == "latency <= 8 ms held by fp32 in openvino (1 stream): 6 ms; int8 does not hold it"
    assert open_package(tmp_path / "out" / "tiny")(project / "images" / "0.jpg").topk
    plain = compile_it(describe(project, ""), tmp_path / "plain", overrides=("quantize=fp32",))[0]
    assert done.compiled.model == plain.compiled.model


def test_what_holds_alone_does_not_hold_together(project: Path, tmp_path: Path, set_times: SetTimes) -> None:
    asked = "require latency <= 8 ms  require throughput >= 150/s"
    set_times(SLOW | {("fp32", "openvino"): 7.0})
    problems = failure(describe(project, asked), tmp_path / "out")
    assert [problem.code for problem in problems] == ["Z0441", "Z0441"]
    assert any(note.endswith("which holds it alone") for note in problems[0].notes)
    assert "the nearest is 9 ms" in problems[0].message


def test_else_it_fails_with_the_nearest(project: Path, tmp_path: Path, set_times: SetTimes) -> None:
    set_times(SLOW)
    (problem,) = failure(describe(project, LATENCY), tmp_path / "out")
    assert problem.code == "Z0441"
    assert problem.message == (
        "`latency <= 8 ms` does not hold on this machine: "
        "the nearest is 9 ms with int8 in onnxruntime (1 stream)"
    )
    assert [note.split(" (")[0] for note in problem.notes[:4]] == [
        "int8 in onnxruntime",
        "int8 in openvino",
        "fp32 in onnxruntime",
        "fp32 in openvino",
    ]


def test_a_failure_says_that_the_machine_is_busy(project: Path, tmp_path: Path, set_times: SetTimes) -> None:
    set_times(SLOW | {("int8", "onnxruntime"): [9.0, 18.0]})
    (problem,) = failure(
        describe(project, f"{LATENCY} on this_machine(engine=onnxruntime)"), tmp_path / "out"
    )
    assert problem.code == "Z0441"
    assert "the rounds spread by 100%" in problem.notes[-1]


def test_an_engine_that_the_package_lacks_is_a_remedy(
    project: Path, tmp_path: Path, set_times: SetTimes
) -> None:
    set_times(SLOW | {("int8", "openvino"): 5.0})
    (problem,) = failure(describe(project, LATENCY, "onnxruntime"), tmp_path / "out")
    assert problem.code == "Z0441" and problem.hint is not None
    assert "add openvino to `engines`" in problem.hint
    assert problem.notes[-1].endswith("for which the package is not compiled")


def test_a_named_engine_is_the_only_one_that_counts(
    project: Path, tmp_path: Path, set_times: SetTimes
) -> None:
    set_times(SLOW | {("int8", "onnxruntime"): 5.0})
    named = f"{LATENCY} on this_machine(engine=openvino)"
    (problem,) = failure(describe(project, named), tmp_path / "out")
    assert problem.code == "Z0441"
    assert "with int8 in openvino" in problem.message
    assert not any("onnxruntime" in note for note in problem.notes)


def test_noise_decides_nothing(project: Path, tmp_path: Path, set_times: SetTimes) -> None:
    set_times(SLOW | {("int8", "onnxruntime"): [5.0, 12.0], ("fp32", "onnxruntime"): 1.0})
    (problem,) = failure(describe(project, LATENCY), tmp_path / "out")
    assert problem.code == "Z0442"
    assert "too noisy" in problem.message and "140%" in problem.message


def test_an_engine_that_is_not_installed_is_said_before_the_work(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_speed, "installed_engines", lambda _: {})
    monkeypatch.setattr("zooc.pipeline.compile.lower", None)
    (problem,) = failure(describe(project, LATENCY), tmp_path / "out")
    assert problem.code == "Z0443"
    assert problem.hint == "pip install onnxruntime openvino"


def test_a_network_that_no_engine_takes_is_refused(
    project: Path, tmp_path: Path, set_times: SetTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_times(SLOW)

    def refuse(_: onnx.ModelProto, way: Way) -> Callable[[], float]:
        raise PackageError(f"{way.engine} cannot load the model")

    monkeypatch.setattr(hold_speed, "open_timed", refuse)
    (problem,) = failure(describe(project, LATENCY), tmp_path / "out")
    assert problem.code == "Z0443"
    assert problem.message.endswith("onnxruntime cannot load the model")


def test_equal_choices_make_equal_packages(project: Path, tmp_path: Path, set_times: SetTimes) -> None:
    file, packages = describe(project, BOTH), []
    for name, took in (("one", 7.0), ("two", 6.0)):
        set_times(SLOW | {("int8", "onnxruntime"): took})
        compile_it(file, tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        packages.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert packages[0] == packages[1]


def test_nothing_is_timed_without_a_requirement(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_speed, "open_timed", None)
    done, manifest, facts = compile_it(describe(project, ""), tmp_path / "out")
    assert done.compiled.speed is None
    assert "speed" not in manifest and "speed" not in facts
    assert "speed" not in build_manifest(done.compiled, done.verified)


def test_it_is_measured_on_a_real_machine(project: Path, tmp_path: Path) -> None:
    file = describe(project, "require latency <= 5000 ms  require throughput >= 0.01/s", "onnxruntime")
    _, _, facts = compile_it(file, tmp_path / "out")
    assert all(row["value"] > 0.0 for row in facts["speed"]["held"])
