"""Rates, intervals and tables of an evaluation, and how `eval` shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc_runtime.commands.main import main
from zooc_runtime.evaluation.evaluation import Answer, Evaluation
from zooc_runtime.evaluation.ground_truth import Classes
from zooc_runtime.evaluation.result_file import RankedClass, result_lines

Run = Callable[..., tuple[int, str, str]]
CLASSES = Classes(7, ("crane", "crane", "owl", "gull", "heron", "ibis", "rail"))


@pytest.fixture
def run(package: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        try:
            code = main(package, [str(a) for a in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return code, *capsys.readouterr()

    return call


def _evaluation() -> Evaluation:
    answers = [
        Answer("a", 0, (0, 1, 2, 3, 4)),
        Answer("b", 0, (1, 0, 2, 3, 4)),  # a crane, but the other one
        Answer("c", 0, (1, 2, 3, 4, 5)),
        Answer("d", 2, (4, 5, 6, 0, 1)),
        Answer("e", 2, (2, 5, 6, 0, 1)),
    ]
    return Evaluation(CLASSES, answers, ["f.jpg: damaged"])


def test_hits_count_by_class_id_though_names_repeat() -> None:
    result = _evaluation()
    assert (result.top1, result.top5) == (2, 3)
    document = result.to_json()
    assert (document["top1_rate"], document["top5_rate"], document["images"]) == (40, 60, 5)
    assert document["top1_interval"] == [pytest.approx(11.76, abs=0.01), pytest.approx(76.93, abs=0.01)]
    assert document["skipped"] == ["f.jpg: damaged"]


def test_each_class_has_a_row_and_each_mistake_its_pair() -> None:
    result = _evaluation()
    assert [(row["id"], row["images"], row["top1_rate"]) for row in result.per_class()] == [
        (0, 3, pytest.approx(100 / 3)),
        (2, 2, 50),
    ]
    assert [(c["truth"], c["answer"], c["images"]) for c in result.confusions(5)] == [(0, 1, 2), (2, 4, 1)]
    lines = list(result.lines(table=True))
    assert lines[0] == "top1_rate: 40.000 top5_rate: 60.000"
    assert lines[1] == "5 images, 1 skipped"
    assert any("2  crane (0) taken for crane (1)" in line for line in lines)
    assert lines[-1].split() == ["2", "2", "50.00", "50.00", "owl"]


def _results(tmp_path: Path, depth: int = 5) -> Path:
    file = tmp_path / "result.txt"
    text = "".join(
        result_lines(
            f"/val/n{i:02d}/{i}.JPEG", [RankedClass((i + k) % 7, 0.5**k, "crane") for k in range(depth)]
        )
        for i in range(7)
    )
    file.write_text(text)
    return file


def test_the_first_line_is_eval_topks(run: Run, tmp_path: Path) -> None:
    code, out, err = run("eval", _results(tmp_path))
    assert (code, err) == (0, "")
    assert out.startswith("top1_rate: 100.000 top5_rate: 100.000\n7 images, 0 skipped\n")
    assert run("eval", _results(tmp_path), "--quiet")[1] == "top1_rate: 100.000 top5_rate: 100.000\n"


def test_fewer_than_five_classes_an_image_are_said(run: Run, tmp_path: Path) -> None:
    code, out, err = run("eval", _results(tmp_path, depth=3))
    assert code == 0 and "among the first 3" in out
    assert "top5_rate considers only these" in err


def test_a_class_id_beyond_the_package_is_refused(run: Run, tmp_path: Path) -> None:
    file = _results(tmp_path)
    file.write_text(file.read_text().replace("id: 6,", "id: 9,"))
    code, _, err = run("eval", file)
    assert code == 1 and "class id 9 for /val/n02/2.JPEG, but there are 7 classes" in err


def test_a_truncated_class_list_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("crane\n" * 5)
    code, _, err = run("eval", _results(tmp_path), "--label", tmp_path / "names.txt")
    assert code == 1 and "names.txt: 5 labels, but the package has 7 classes" in err
    (tmp_path / "names.txt").write_text("")
    assert "0 labels" in run("eval", _results(tmp_path), "--label", tmp_path / "names.txt")[2]


def test_skipped_images_are_named_and_counted(run: Run, tmp_path: Path) -> None:
    for index in range(7):
        folder = tmp_path / "val" / f"n{index}"
        folder.mkdir(parents=True)
        Image.fromarray(np.full((9, 9, 3), 30 * index, np.uint8)).save(folder / "good.png")
    (tmp_path / "val" / "n3" / "bad.png").write_bytes(b"no image")
    Image.new("RGB", (3, 3)).save(tmp_path / "val" / "n4" / "small.png")
    code, out, err = run("eval", tmp_path / "val")
    assert code == 0 and "7 images, 2 skipped" in out
    assert "skipped: " in err and "bad.png: not an image" in err and "small.png: " in err
    assert len(json.loads(run("eval", tmp_path / "val", "--json")[1])["skipped"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["eval"], 2, "give WHAT to evaluate, exactly once"),
        (["eval", "x", "--result-path", "y"], 2, "give WHAT to evaluate, exactly once"),
        (["eval", "missing.txt"], 1, "missing.txt: no such folder or file"),
        (["eval", "OUTPUTS"], 1, "no images below this folder; for a folder of outputs give --datalist"),
        (["eval", "x", "--synsets", "a", "--truth", "b"], 2, "not allowed with"),
        (["decode", "a", "b", "c", "d", "--label", "e"], 2, "are two lists"),
        (["npz", "--dataset-path", "x"], 2, "--target-path"),
        (["npz", "--dataset-path", "nowhere", "--target-path", "x"], 1, "nowhere: no such folder"),
    ],
)
def test_mistakes_say_what_to_do(
    run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "out").mkdir()
    np.savez(tmp_path / "out" / "output_000000.npz", output_0=np.zeros(7))
    found, out, err = run(*[str(tmp_path / "out") if a == "OUTPUTS" else a for a in arguments])
    assert (found, out) == (code, "") and message in err


def test_a_package_with_imagenets_labels_brings_the_synsets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], package: Path
) -> None:
    import dataclasses
    import importlib.util

    from zooc.deployment import Labels
    from zooc.package.emit import emit_package

    spec = importlib.util.find_spec("tiny_package") or importlib.util.spec_from_file_location(
        "tiny_package", Path(__file__).with_name("tiny_package.py")
    )
    assert spec and spec.loader
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    contents = tiny.tiny_contents()
    post = dataclasses.replace(contents.deployment.heads[0], labels=Labels("imagenet1k", tiny.NAMES))
    deployment = dataclasses.replace(contents.deployment, heads=(post,))
    made = emit_package(dataclasses.replace(contents, deployment=deployment), tmp_path / "b", force=False)
    inner = made / "tinybird"
    assert "synsets.txt" in json.loads((inner / "manifest.json").read_text())["files"]
    assert len((inner / "synsets.txt").read_text().split()) == 1000
    assert not (package / "synsets.txt").exists()
    # Two folders of seven would decide nothing without the synsets.
    for name, index in (("n01440764", 0), ("n01484850", 2)):
        (tmp_path / "val" / name).mkdir(parents=True)
        pixels = np.random.default_rng(index).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "val" / name / "x.png")
    assert main(inner, ["eval", str(tmp_path / "val"), "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)["per_class"]] == [0, 2]
