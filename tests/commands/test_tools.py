"""`zooc npz`, `zooc decode`, `zooc eval`: the packages' tools, with ImageNet's lists built in."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.package.emit import emit_package
from zooc.resources import resource
from zooc_runtime.commands.main import main as package_main
from zooc_runtime.evaluation.npz import write_npz

SYNSETS = resource("data/imagenet1k_synsets.txt").read_text().split()
CRANES = (134, 517)


def _zooc(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def tiny_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The import package of the runtime's tests; see `tests/runtime/tiny_package.py`."""
    path = Path(__file__).parent.parent / "runtime" / "tiny_package.py"
    spec = importlib.util.spec_from_file_location("tiny_package", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("tiny_package", module)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("tiny") / "build"
    return emit_package(module.tiny_contents(), folder, force=False) / "tinybird"


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """A datalist of a crane bird, a crane machine and a tench, and outputs that call both cranes the bird."""
    (tmp_path / "out").mkdir()
    lines = []
    for number, truth in enumerate((*CRANES, 0)):
        logits = np.zeros((1, 1000), np.float32)
        logits[0, [CRANES[0] if truth in CRANES else 0, CRANES[1]]] = 9, 8
        write_npz(tmp_path / "out" / f"o{number}.npz", {"output_0": logits})
        lines.append(f"/npz/{SYNSETS[truth]}/ILSVRC2012_val_{number:08d}.npz\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path


def test_decode_and_eval_know_imagenet_and_tell_the_cranes_apart(imagenet: Path) -> None:
    result = imagenet / "result.txt"
    code, out, err = _zooc("decode", imagenet / "list.txt", imagenet / "out", result, "imagenet1k")
    assert (code, err) == (0, "") and "3 images" in out
    lines = result.read_text().splitlines()
    assert (
        len(lines) == 15
        and ": Relay top-0 id: 134, prob: 0.67" in lines[0]
        and "class name: crane" in lines[0]
    )
    code, out, _ = _zooc("eval", result, "--json")
    document = json.loads(out)
    assert (code, document["top1"], document["top5"], document["images"]) == (0, 2, 3, 3)
    assert document["confusions"][0]["truth"] == 517 and document["confusions"][0]["answer"] == 134
    arguments = (
        "--result-path",
        imagenet / "out",
        "--datalist",
        imagenet / "list.txt",
        "--label",
        "imagenet1k",
    )
    assert json.loads(_zooc("eval", *arguments, "--json")[1])["top1"] == 2


def test_softmax_is_applied_unless_the_outputs_are_probabilities(imagenet: Path) -> None:
    arguments = ["decode", imagenet / "list.txt", imagenet / "out", imagenet / "r.txt", "imagenet1k"]
    assert _zooc(*arguments)[0] == 0
    guessed = (imagenet / "r.txt").read_text()
    assert _zooc(*arguments, "--softmax")[0] == 0
    assert (imagenet / "r.txt").read_text() == guessed
    assert _zooc(*arguments, "--no-softmax")[0] == 0
    assert "id: 134, prob: 9.00000000" in (imagenet / "r.txt").read_text()
    for path in (imagenet / "out").iterdir():
        with np.load(path) as archive:
            wide = np.exp(archive["output_0"].astype(np.float64))
        write_npz(path, {"output_0": (wide / wide.sum()).astype(np.float32)})
    assert _zooc(*arguments)[0] == 0
    assert (imagenet / "r.txt").read_text() == guessed


def test_outputs_of_both_kinds_in_one_folder_are_refused(imagenet: Path) -> None:
    write_npz(imagenet / "out" / "o1.npz", {"output_0": np.full((1, 1000), 1e-3, np.float32)})
    code, _, err = _zooc("decode", imagenet / "list.txt", imagenet / "out", imagenet / "r.txt", "imagenet1k")
    assert code == 1 and "some outputs are probabilities and some are not" in err and "--softmax" in err


def test_truncated_labels_are_refused_and_missing_ones_are_usage(imagenet: Path) -> None:
    labels = imagenet / "labels.txt"
    labels.write_text("".join(resource("data/imagenet1k.txt").read_text().splitlines(keepends=True)[:999]))
    code, _, err = _zooc("decode", imagenet / "list.txt", imagenet / "out", imagenet / "r.txt", labels)
    assert code == 1 and "output_0 has 1000 values, but 999 classes are expected" in err
    code, _, err = _zooc("decode", imagenet / "list.txt", imagenet / "out", imagenet / "r.txt")
    assert code == 2 and "no class names are known" in err and "usage: zooc decode" in err


def test_images_need_a_package(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "x.png")
    code, _, err = _zooc("eval", tmp_path)
    assert code == 1 and "to evaluate images name a package with -m" in err


def test_zooc_and_the_package_say_the_same(
    tiny_package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(7):
        (tmp_path / "val" / f"n{index}").mkdir(parents=True)
        pixels = np.random.default_rng(index).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "val" / f"n{index}" / f"{index}.png")
    listing = ["--dataset-path", tmp_path / "val", "--target-path", tmp_path / "npz", "--text-path"]
    assert _zooc("npz", *listing, tmp_path / "zooc.txt")[0] == 0
    assert package_main(tiny_package, ["npz", *map(str, listing), str(tmp_path / "package.txt")]) == 0
    assert "7 kept" in capsys.readouterr().out
    assert (tmp_path / "zooc.txt").read_text() == (tmp_path / "package.txt").read_text()
    assert package_main(tiny_package, ["eval", str(tmp_path / "val"), "--json"]) == 0
    package_says = capsys.readouterr().out
    code, zooc_says, _ = _zooc("eval", tmp_path / "val", "-m", tiny_package.parent, "--json")
    assert code == 0 and json.loads(zooc_says) == json.loads(package_says)


@pytest.mark.parametrize("tool", ["npz", "decode", "eval"])
def test_help_is_the_tools_own(tool: str) -> None:
    code, out, _ = _zooc(tool, "--help")
    assert code == 0 and f"usage: zooc {tool}" in out and "example" in out
    assert _zooc(tool, "--no-such-option")[0] == 2
