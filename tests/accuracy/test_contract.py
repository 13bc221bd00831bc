"""The contract on the trained digits network: it holds, it falls back, it fails."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from zooc.accuracy.contract.trial import Trial, run_trial
from zooc.diagnostics.diagnostic import ZoocError
from zooc.ir.session import open_session
from zooc.quantization.qdq import quantize_body

HELD_BACK = 'require drop <= {} on images("test", count={}{})'


def require(limit: str, count: int, more: str = "") -> str:
    return HELD_BACK.format(limit, count, more)


def failure(digits: Any, file: Path, output: Path | None = None, ranges: Path | None = None) -> Any:
    with pytest.raises(ZoocError) as caught:
        digits.compile(file, output, ranges=ranges)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_it_holds_as_it_is(digits: Any, tmp_path: Path) -> None:
    done = digits.compile(digits.describe(require("2%", 100)), tmp_path / "out")
    contract = done.contract
    assert contract.labels == "class folders"
    assert [trial.verdict for trial in contract.trials] == ["holds"]
    assert contract.returned == ()
    manifest = json.loads((tmp_path / "out" / "digits" / "manifest.json").read_text("utf-8"))
    recorded = manifest["quantization"]["contract"]
    assert recorded["holds"]
    assert recorded["require_drop"] == 0.02
    assert "contract held" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_without_labels_it_is_disagreement_with_float(digits: Any) -> None:
    file = digits.describe(require("5%", 60, ", labels=none"))
    done = digits.compile(file)
    assert done.contract.labels == "none"
    assert done.contract.trials[-1].right is None


@pytest.fixture(scope="module")
def clipped(digits: Any) -> tuple[Path, str]:
    """Ranges in which the result of one layer in the middle is clipped hard, and that layer."""
    prepared = digits.compile(digits.describe()).prepared_body
    name = "layer3.0.conv1/Conv"
    conv = next(node for node in prepared.graph.node if node.name == name)
    relu = next(node for node in prepared.graph.node if conv.output[0] in node.input)
    return digits.clipping_ranges(0.02, {relu.output[0]}), name


@pytest.fixture(scope="module")
def fallen(digits: Any, clipped: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A compile whose contract int8 alone does not hold."""
    out = tmp_path_factory.mktemp("fallen") / "out"
    return digits.compile(digits.describe(require("1%", 100)), out, ranges=clipped[0])


def test_it_falls_back_until_it_holds_and_lists_the_layers(fallen: Any, clipped: tuple[Path, str]) -> None:
    contract = fallen.contract
    assert contract.trials[0].verdict == "fails"
    assert contract.trials[-1].verdict == "holds"
    assert len(contract.trials) == len(contract.front) + 1
    assert [name for point in contract.front for name in point.layers] == [x.name for x in contract.returned]
    names = [layer.name for layer in contract.returned]
    assert clipped[1] in names
    assert 0 < contract.float_share <= 0.5
    float_layers = {layer.name: layer.reason for layer in fallen.quantized.layers if layer.dtype == "float"}
    assert all(float_layers[name] == "returned to float for the accuracy contract" for name in names)
    report = (fallen.package / "report.html").read_text("utf-8")
    manifest = json.loads((fallen.package / "digits" / "manifest.json").read_text("utf-8"))
    recorded = manifest["quantization"]["contract"]["returned_to_float"]
    assert [layer["name"] for layer in recorded] == names
    assert all(layer["harm"] > 0 and layer["cost"] > 0 and layer["name"] in report for layer in recorded)


def test_every_step_takes_noise_away_within_the_time(fallen: Any) -> None:
    front = fallen.contract.front
    times, decibels = [point.time for point in front], [point.sqnr_db for point in front]
    assert decibels == sorted(decibels)
    assert max(times) <= 1.5
    recorded = fallen.contract.to_json()["front"]
    assert [step["time"] for step in recorded] == [round(time, 4) for time in times]


@pytest.mark.slow
def test_the_answer_is_the_same_twice(digits: Any, fallen: Any, clipped: tuple[Path, str]) -> None:
    again = digits.compile(digits.describe(require("1%", 100)), ranges=clipped[0])
    assert again.contract.to_json() == fallen.contract.to_json()
    assert again.body.SerializeToString(deterministic=True) == fallen.body.SerializeToString(
        deterministic=True
    )


def test_a_network_of_unlike_channels_gets_its_first_layers_back_and_really_holds(digits: Any) -> None:
    file = digits.describe(require("1%", 160), network="hard")
    done = digits.compile(file)
    assert {"conv1.0/Conv", "conv1.3/Conv"} <= {layer.name for layer in done.contract.returned}
    assert len(done.contract.returned) <= 4
    assert done.contract.front[-1].time < 1.3
    paths = sorted(digits.folder.glob("test/*/*.jpg"))
    right = {name: count_right(done.prelude, body, paths) for name, body in bodies(done).items()}
    assert (right["float"] - right["shipped"]) / len(paths) <= 0.01 < (right["float"] - right["int8"]) / 160


def bodies(done: Any) -> dict[str, onnx.ModelProto]:
    quantized = quantize_body(done.prepared_body, done.ranges, done.deployment.quantize)
    return {"float": done.float_body, "int8": quantized.model, "shipped": done.body}


def count_right(prelude: onnx.ModelProto, body: onnx.ModelProto, paths: list[Path]) -> int:
    pixels, logits = open_session(prelude), open_session(body)
    right = 0
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB"))
        given = {"pixels": pixels.run(None, {"image": image})[0]}
        right += int(logits.run(None, given)[0].argmax()) == int(path.parent.name)
    return right


def test_an_early_failure_that_all_images_refute_is_none(
    digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hasty(*arguments: Any) -> Trial:
        *_, alpha, _ = arguments
        trial = run_trial(*arguments)
        return trial if alpha is None else replace(trial, verdict="fails")

    module = sys.modules["zooc.accuracy.contract.revert_layers"]  # the package has a function of that name
    monkeypatch.setattr(module, "run_trial", hasty)
    monkeypatch.setattr(module, "climb", lambda *_: iter(()))
    contract = digits.compile(digits.describe(require("10%", 20))).contract
    assert contract.trials[-1].verdict == "holds"
    assert contract.trials[-1].images == 20


def test_labels_are_looked_for_before_the_long_work(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zooc.pipeline.quantize.run_calibration", None)
    problem = failure(digits, digits.describe('require drop <= 0% on images("train/0", labels=folders)'))
    assert problem.code == "Z0491"


def test_what_cannot_hold_fails_and_leaves_no_package(digits: Any, tmp_path: Path) -> None:
    file = digits.describe(require("2%", 50))
    problem = failure(digits, file, tmp_path / "out", digits.clipping_ranges(0.02))
    assert problem.code == "Z0492"
    assert "2% allowed" in problem.message
    assert any("50 images" in note for note in problem.notes)
    assert any("50% more time" in note for note in problem.notes)
    assert not (tmp_path / "out").exists()


def test_keep_auto_holds_the_default_contract(digits: Any) -> None:
    contract = digits.compile(digits.describe("keep fp32 auto")).contract
    assert contract.requirement.drop == pytest.approx(1 / 24)
    assert contract.labels == "none"
    assert contract.trials[-1].verdict == "holds"


def test_patterns_and_contract_go_together(digits: Any, clipped: tuple[Path, str]) -> None:
    file = digits.describe(f'keep fp32 ["fc"]\n  {require("2%", 50)}')
    done = digits.compile(file, ranges=clipped[0])
    reasons = {layer.name: layer.reason for layer in done.quantized.layers}
    assert reasons["fc/Gemm"] == 'kept by "fc"'
    assert done.contract.returned
    assert done.contract.trials[-1].verdict == "holds"


def test_labels_that_are_needed_and_missing(digits: Any, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    for path in sorted(digits.folder.glob("test/*/*.jpg"))[:50]:
        shutil.copy(path, loose)
    statement = f'require drop <= 2% on images("{loose.as_posix()}", labels=folders)'
    problem = failure(digits, digits.describe(statement))
    assert problem.code == "Z0491"
    assert "labels=none" in problem.hint
    (tmp_path / "list.txt").write_text("nothing.jpg 3\n", "utf-8")
    labels = f'labels="{(tmp_path / "list.txt").as_posix()}"'
    statement = f'require drop <= 2% on images("{loose.as_posix()}", {labels})'
    assert failure(digits, digits.describe(statement)).code == "Z0491"


def test_a_label_file_gives_the_classes(digits: Any) -> None:
    paths = sorted(digits.folder.glob("test/*/*.jpg"))
    lines = [f"{path.parent.name}/{path.name} {path.parent.name}" for path in paths]
    (digits.folder / "val_label.txt").write_text("\n".join(lines), "utf-8")
    file = digits.describe(require("2%", 60, ', labels="val_label.txt"'))
    contract = digits.compile(file).contract
    assert contract.labels == "val_label.txt"
    assert contract.trials[-1].right > 50


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ('require drop <= 0.5% on images("train")', "Z0493"),
        ('require drop <= 5% on images("empty")', "Z0495"),
        ('require drop <= 5% on images("test", suffix="png")', "Z0495"),
    ],
)
def test_images_that_do_not_do(statement: str, code: str, digits: Any) -> None:
    (digits.folder / "empty").mkdir(exist_ok=True)
    assert failure(digits, digits.describe(statement)).code == code


def test_damaged_images_are_named_and_do_not_count(digits: Any, tmp_path: Path) -> None:
    place = tmp_path / "val"
    shutil.copytree(digits.folder / "test", place)
    broken = sorted(place.glob("*/*.jpg"))[::20]
    for path in broken:
        path.write_bytes(path.read_bytes()[:50])
    file = digits.describe(f'require drop <= 2% on images("{place.as_posix()}", count=500)')
    done = digits.compile(file)
    warnings = [w for w in done.warnings if w.code == "Z0494"]
    assert "only 160 are there" in warnings[0].message
    seen = done.contract.trials[-1]
    assert seen.drawn == 160
    assert any(path.name in note for note in warnings[1].notes for path in broken)


def test_a_folder_of_damaged_images_is_an_error(digits: Any, tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index}.jpg").write_bytes(b"no image")
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(tmp_path / "sound.jpg")
    file = digits.describe(f'require drop <= 10% on images("{tmp_path.as_posix()}", labels=none)')
    assert failure(digits, file).code in ("Z0495", "Z0493")
