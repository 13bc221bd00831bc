"""`eval` in shards that merge, and continued after an interruption."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc_runtime.evaluation.measurement import Measurement, measured
from zooc_runtime.evaluation.multi_label import MultiLabelEvaluation
from zooc_runtime.evaluation.part import Part, merge
from zooc_runtime.evaluation.retrieval import RetrievalEvaluation
from zooc_runtime.inference.model import Model
from zooc_runtime.package.heads import Head
from zooc_runtime.support.lock import locked
from zooc_runtime.support.shards import Shard

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Seven class folders of three images, one of them no image."""
    root = tmp_path / "birds"
    for i in range(7):
        (root / f"n{i:02d}").mkdir(parents=True)
        for j in range(3):
            pixels = np.random.default_rng(10 * i + j).integers(0, 256, (9 + j, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"n{i:02d}" / f"{i}{j}.png")
    (root / "n03" / "30.png").write_bytes(b"nothing")
    return root


def parts(run: Run, birds: Path, folder: Path, *shards: str) -> list[Path]:
    files = []
    for shard in shards:
        files.append(folder / f"part{shard.replace('/', 'of')}")
        code, out, err = run("eval", birds, "--shard", shard, "-o", files[-1])
        assert code == 0 and (shard == "1/1" or f"(shard {shard})" in out), err
    return files


def test_shards_merge_to_the_single_evaluation_in_any_order(run: Run, birds: Path, tmp_path: Path) -> None:
    files = parts(run, birds, tmp_path, "1/2", "2/4", "4/4")
    whole = json.loads(run("eval", birds, "--json")[1])
    assert whole["images"] == 20 and len(whole["skipped"]) == 1
    for order in (files, files[::-1]):
        code, out, err = run("eval", "merge", *order, "--json")
        assert code == 0 and json.loads(out) == whole
        assert err.count("skipped: ") == 1


@pytest.mark.parametrize(
    ("measurement", "truth"),
    [
        (lambda: MultiLabelEvaluation(Head(classes=3, activation="sigmoid")), [[0], [], [1, 2], [2]]),
        (RetrievalEvaluation, ["a", "b", "a", "b"]),
    ],
)
def test_labels_and_embeddings_merge_too(
    tmp_path: Path, measurement: Callable[[], Measurement], truth: list[object]
) -> None:
    rows = np.random.default_rng(0).random((4, 3), np.float32)
    whole = measurement()
    for one, row in zip(truth, rows, strict=True):
        whole.add("", one, row)
    parts = []
    for number in (2, 1):
        places = Shard(2, number).take(4)
        part = Part({"package": "x"}, 4, (Shard(2, number),))
        part.names, part.truth = {p: f"{p}.png" for p in places}, {p: truth[p] for p in places}
        part.rows = {p: rows[p] for p in places}
        part.save(tmp_path / str(number))
        parts.append((tmp_path / str(number), Part.load(tmp_path / str(number))))
    assert measured(merge(parts), measurement()).to_json() == whole.to_json()


def test_parts_that_make_no_whole_are_refused_by_name(
    run: Run, birds: Path, tmp_path: Path, pristine: Callable[..., Path]
) -> None:
    first, second, half = parts(run, birds, tmp_path, "1/3", "2/3", "1/2")
    assert "shard 3/3 missing" in run("eval", "merge", first, second)[2]
    said = run("eval", "merge", first, second, half)[2]
    assert f"shard 1/2 of {half} and shard 1/3 of {first} share images" in said
    said = run("eval", "merge", first, second, directory=pristine(softmax=False))[2]
    assert f"{first}: a part of another package's evaluation" in said
    (birds / "n00" / "03.png").write_bytes((birds / "n00" / "00.png").read_bytes())
    (third,) = parts(run, birds, tmp_path, "3/3")
    said = run("eval", "merge", first, second, third)[2]
    assert f"{third} and {first} are parts of different evaluations: another set of images" in said
    third.write_bytes(first.read_bytes()[:100])
    assert f"{third}: not a part of an evaluation (damaged)" in run("eval", "merge", first, third)[2]
    assert "no such file" in run("eval", "merge", tmp_path / "nowhere")[2].lower()


def test_merged_parts_are_held_to_limits_and_reported(run: Run, birds: Path, tmp_path: Path) -> None:
    files, report = parts(run, birds, tmp_path, "1/2", "2/2"), tmp_path / "eval.xml"
    code, out, err = run("eval", "merge", *files, "--at-least", "top1_rate=99", "--junit", report, "--json")
    rate = json.loads(out)["top1_rate"]
    assert code == 1 and f"top1_rate is {rate:.3f}, below the 99 of --at-least" in err
    text = report.read_text("utf-8")
    assert 'failures="1"' in text and text.count("<skipped") == 1
    assert run("eval", "merge", *files, "--at-least", "top5_rate=0")[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": 7}, "the class id 7, which the package does not have; run that part's eval again"),
        ({"truth": "n00"}, "the class id 'n00'"),
        ({"row": np.zeros(0, np.int64)}, "an answer without a class"),
        ({"row": np.array([3, 99])}, "the class id 99"),
        ({"row": np.zeros((2, 2))}, "not a part of an evaluation (damaged)"),
        ({"shard": Shard(2, 1)}, "not a part of an evaluation (damaged)"),
    ],
)
def test_a_part_that_contradicts_itself_or_the_package_is_refused(
    run: Run, birds: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    (file,) = parts(run, birds, tmp_path, "1/1")
    part = Part.load(file)
    if "truth" in change:
        part.truth[0] = change["truth"]
    if "row" in change:
        part.rows = dict.fromkeys(part.rows, change["row"])
    if "shard" in change:
        part.shards = (change["shard"],)
    part.save(file)
    code, _, err = run("eval", "merge", file)
    assert code == 1 and message in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--shard", "3/8"], 2, "name its file with -o"),
        (["--shard", "1/2", "-o", "PART", "--at-least", "top1_rate=5"], 2, "give them to eval merge"),
        (["--shard", "1/2", "-o", "PART", "--junit", "x.xml"], 2, "give them to eval merge"),
        (["-o", "PART", "--vdsp-params", "nowhere.json"], 1, "nowhere.json: cannot be read"),
        (["--shard", "three", "-o", "PART"], 1, "'three' is not a shard; write --shard 3/8"),
        (["--shard", "9/8", "-o", "PART"], 1, "there is not a shard 9/8"),
        (["-o", "TAKEN"], 1, "exists already; name another file, or replace it with --force"),
        (["-o", "."], 1, "is a folder; name a file"),
        (["--ray", "lokal"], 1, """--ray 'lokal': not the address of a Ray cluster; did you mean "local"?"""),
        (["--ray", "10.0.0.1"], 1, "give local, auto or HOST:PORT"),
        (["--ray", "host:70000"], 1, "give local, auto or HOST:PORT"),
        (["--ray"], 2, "expected one argument"),
    ],
)
def test_what_can_be_mistyped(
    run: Run, birds: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    places = {"PART": str(tmp_path / "part"), "TAKEN": str(tmp_path / "taken"), ".": str(tmp_path)}
    got, _, err = run("eval", birds, *(places.get(a, a) for a in arguments))
    assert got == code and message in err
    assert (tmp_path / "taken").read_text() == "mine" and not (tmp_path / "part").exists()


def test_options_of_folders_are_refused_for_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "result.txt").write_text("x")
    code, _, err = run("eval", tmp_path / "result.txt", "--ray", "local")
    assert code == 2 and "--ray is for images" in err
    code, _, err = run("eval", "merge", "a", "--shard", "1/2")
    assert code == 2 and "--shard is for images" in err
    code, _, err = run("eval", "merge")
    assert code == 2 and "name the parts" in err


def test_ray_that_is_not_installed_is_said(run: Run, birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    code, _, err = run("eval", birds, "--ray", "local")
    assert code == 1 and "Ray is not installed; pip install 'ray>=" in err


def test_an_interrupted_evaluation_continues(
    run: Run, birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, progress = tmp_path / "all.part", tmp_path / "all.part.progress"
    whole = json.loads(run("eval", birds, "--json")[1])
    stream, asked = Model.stream, []

    def counted(images: Iterable[str]) -> Iterator[str]:
        asked.append(0)
        for image in images:
            asked[-1] += 1
            yield image

    def interrupted(self: Model, images: Iterable[str], *rest: object, **named: object) -> Iterator[object]:
        answers = stream(self, counted(images), *rest, **named)  # type: ignore[arg-type]
        for number, answer in enumerate(answers):
            if number == 9 and len(asked) == 1:
                raise KeyboardInterrupt
            yield answer

    monkeypatch.setattr(Model, "stream", interrupted)
    code, _, err = run("eval", birds, "-o", file)
    assert code == 130 and "9 of 21 images are kept; the same command continues" in err
    assert not file.exists() and Part.load(progress).done == 9
    code, _, err = run("eval", birds, "-o", file, "--shard", "1/2")
    assert code == 1 and f"{progress}: progress of another evaluation (another shard)" in err
    code, out, err = run("eval", birds, "-o", file, "--json")
    assert code == 0 and "9 of 21 images done" in err and asked[1:] == [12]
    assert json.loads(out) == whole and not progress.exists()
    assert json.loads(run("eval", "merge", file, "--json")[1]) == whole


def test_a_second_run_into_one_file_is_refused(run: Run, birds: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.part"
    with locked(file):
        code, _, err = run("eval", birds, "-o", file)
        assert code == 1 and f"{file}: another run is writing it" in err
    assert run("eval", birds, "-o", file)[0] == 0
    shutil.rmtree(birds)
    assert not list(tmp_path.glob(".*lock"))
