"""The package's command line: results, messages, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc_runtime.commands import main as cli
from zooc_runtime.support import error_boundary as edge

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Seven class folders of two images, one of them damaged."""
    root = tmp_path / "birds"
    for i in range(7):
        (root / f"n{i:02d}").mkdir(parents=True)
        for j in range(2):
            pixels = np.random.default_rng(10 * i + j).integers(0, 256, (9 + j, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"n{i:02d}" / f"{i}{j}.png")
    damaged = root / "n03" / "30.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    return root


def test_classify_names_the_best_classes(run: Run, photo: Path) -> None:
    code, out, err = run("classify", photo, "--topk", "3")
    lines = out.splitlines()
    assert (code, err, lines[0], len(lines)) == (0, "", str(photo), 4)
    probabilities = [float(line.split()[0]) for line in lines[1:]]
    assert probabilities == sorted(probabilities, reverse=True)


def test_classify_json_holds_every_image(run: Run, photo: Path, tmp_path: Path) -> None:
    shutil.copy(photo, tmp_path / "second.jpg")
    code, out, _ = run("classify", tmp_path, "--json", "--batch-size", "1")
    documents = json.loads(out)
    assert code == 0 and len(documents) == 2
    assert set(documents[0]["topk"][0]) == {"index", "label", "probability"}


def test_classify_stops_at_a_bad_image_or_keeps_going(run: Run, birds: Path) -> None:
    code, _, err = run("classify", birds)
    assert code == 1
    assert "30.png: damaged or truncated" in err and err.startswith("error: ") and err.count("\n") == 1
    code, out, err = run("classify", birds, "--keep-going", "--json")
    assert code == 1 and "1 of 14 images skipped" in err
    documents = json.loads(out)
    assert len(documents) == 14
    assert [d["path"] for d in documents if "error" in d] == [str(birds / "n03" / "30.png")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "missing.jpg"], "error: missing.jpg: no such file"),
        (["classify", "EMPTY"], "no images below this folder"),
        (["classify", "PHOTO", "--engine", "tpu"], 'error: unknown engine "tpu"'),
        (["classify", "PHOTO", "--topk", "0"], "topk is 0"),
        (["classify", "PHOTO", "--batch-size", "0"], "batch_size is 0"),
        (["classify", "PHOTO", "--threads", "-1"], "threads is -1"),
        (["classify", "PHOTO", "--vdsp-params", "none.json"], "none.json: cannot be read"),
        (["eval", "nowhere"], "nowhere: no such folder"),
        (["eval", "EMPTY"], "no images below this folder"),
        (["bench", "-m", "EMPTY"], "not a package of zooc"),
        (["bench", "--path-output", "x"], "--path-output needs --datalist"),
        (["bench", "--datalist", "none.txt"], "none.txt: cannot be read"),
        (["bench", "-p", "2", "--iterations", "1"], "--iterations 1 is less than --processes 2"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_1(
    run: Run, photo: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"PHOTO": str(photo), "EMPTY": str(tmp_path / "empty")}
    code, out, err = run(*[places.get(a, a) for a in arguments])
    assert (code, out) == (1, "")
    assert message in err and err.rstrip().count("\n") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["clasify", "x"],
        ["classify"],
        ["classify", "x", "--topk", "many"],
        ["bench", "-i", "0"],
        ["bench", "-s", "[1,2]"],
        ["bench", "-s", "[3,0,5]"],
        ["bench", "-d", "1"],
        ["bench", "--percentiles", "[101]"],
        ["bench", "--duration", "-1"],
        ["eval", "x", "--synsets", "a", "--labels-file", "b"],
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "usage: python -m tinybird" in err


@pytest.mark.parametrize("command", [[], ["classify"], ["bench"], ["tune"], ["eval"], ["verify"], ["info"]])
def test_help_is_there(run: Run, command: list[str]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0 and "usage: python -m tinybird" in out


def test_eval_takes_sorted_class_folders_and_skips_damaged_images(run: Run, birds: Path) -> None:
    code, out, err = run("eval", birds)
    assert code == 0
    assert "13 images, 1 skipped" in out and "30.png" in err
    assert out.splitlines()[0].startswith("top1_rate: ") and " top5_rate: " in out.splitlines()[0]


def test_eval_counts_by_class_id(run: Run, birds: Path, tmp_path: Path) -> None:
    _, out, _ = run("classify", birds, "--json", "--keep-going")
    answers = {d["path"]: [p["index"] for p in d["topk"]] for d in json.loads(out) if "topk" in d}
    truth = tmp_path / "val_label.txt"
    truth.write_text("".join(f"{Path(p).name} {ids[1]}\n" for p, ids in answers.items()) + "30.png 0\n")
    code, out, _ = run("eval", birds, "--labels-file", truth, "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["top1_rate"], document["top5_rate"], document["images"]) == (0, 100, 13)
    assert len(document["skipped"]) == 1


def test_eval_takes_synsets_in_the_order_of_class_ids(run: Run, birds: Path, tmp_path: Path) -> None:
    synsets = tmp_path / "synsets.txt"
    names = [f"n{i:02d}" for i in range(7)]
    synsets.write_text("".join(f"{name} a bird\n" for name in names))
    (birds / "n03" / "30.png").unlink()
    forward = json.loads(run("eval", birds, "--synsets", synsets, "--json")[1])
    assert forward == json.loads(run("eval", birds, "--json")[1])
    synsets.write_text("n00\n")
    assert "1 synsets for 7 classes" in run("eval", birds, "--synsets", synsets)[2]


def test_eval_takes_folders_named_as_labels(pristine: Callable[..., Path], run: Run, birds: Path) -> None:
    labels = tuple(f"n{i:02d}" for i in (6, 5, 4, 3, 2, 1, 0))
    shutil.rmtree(birds / "n00")
    code, out, _ = run("eval", birds, "--json", directory=pristine(labels=labels))
    assert code == 0 and json.loads(out)["images"] == 11
    code, _, err = run("eval", birds)
    assert code == 1 and "6 class folders for 7 classes; give --synsets" in err


def test_eval_says_which_image_has_no_truth(run: Run, birds: Path, tmp_path: Path) -> None:
    truth = tmp_path / "val_label.txt"
    truth.write_text("00.png 3\n")
    assert "01.png: not in" in run("eval", birds, "--labels-file", truth)[2]
    truth.write_text("00.png 7\n")
    assert f"{truth}:1: a file name and a class id below 7" in run("eval", birds, "--labels-file", truth)[2]
    shutil.copy(birds / "n00" / "00.png", birds / "loose.png")
    assert "loose.png: is not in a class folder" in run("eval", birds)[2]


def test_verify_is_silent_about_nothing(run: Run, copied: Path) -> None:
    code, out, _ = run("verify", directory=copied)
    assert code == 0 and "every file is as compiled" in out
    assert json.loads(run("verify", "--json", directory=copied)[1]) == {"ok": True, "complaints": []}
    (copied / "labels.txt").write_text("x")
    code, out, err = run("verify", directory=copied)
    assert code == 1 and "labels.txt: 1 bytes instead of" in out and "not as compiled" in err


def test_info_tells_what_was_compiled(run: Run) -> None:
    code, out, _ = run("info")
    assert code == 0 and "tinybird 1.2.3, compiled by zooc 0.1.0" in out
    assert "uint8 [N, 3, 8, 8]" in out
    document = json.loads(run("info", "--json")[1])
    assert document["model"]["classes"] == 7 and "files" not in document


def test_a_changed_package_is_refused_with_exit_code_1(run: Run, copied: Path, photo: Path) -> None:
    (copied / "labels.txt").write_text("x")
    code, _, err = run("classify", photo, directory=copied)
    assert code == 1 and "labels.txt: 1 bytes instead of" in err and "reinstall" in err


def test_ctrl_c_is_one_line_and_130(run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli._COMMANDS, "classify", interrupted)
    assert run("classify", photo) == (130, "", "interrupted\n")


def test_our_bug_is_70_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        return 1 // 0

    assert edge.guarded(broken) == 70
    assert "internal error: ZeroDivisionError" in (err := capsys.readouterr().err)
    assert "test_cli.py" in err


def _environment(package: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(package.parent)}


def test_a_closed_pipe_is_no_error(package: Path, birds: Path) -> None:
    command = f"'{sys.executable}' -m tinybird classify '{birds}' --keep-going 2>err.txt; echo $? >code.txt"
    subprocess.run(
        ["sh", "-c", f"({command}) | head -n 1"],
        cwd=birds.parent,
        env=_environment(package),
        check=True,
        capture_output=True,
    )
    assert (birds.parent / "code.txt").read_text().strip() in ("0", "1")
    assert "Traceback" not in (birds.parent / "err.txt").read_text()
    assert "BrokenPipe" not in (birds.parent / "err.txt").read_text()


def test_labels_and_paths_that_the_terminal_cannot_show_are_escaped(package: Path, photo: Path) -> None:
    odd = photo.rename(photo.with_name("naïve \U0001f426.jpg"))
    command = [sys.executable, "-m", "tinybird", "classify", str(odd), "--topk", "7"]
    environment = {**_environment(package), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\U0001f426.jpg" in done.stdout and rb"na\xefve gull" in done.stdout


def test_python_dash_m_works(package: Path, photo: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "tinybird", "classify", str(photo), "--json"]
    done = subprocess.run(command, env=_environment(package), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)[0]["topk"]) == 5
