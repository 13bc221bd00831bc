"""The published sequence (npz, bench with a datalist, decode, eval) against the direct evaluation."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc_runtime import open_package
from zooc_runtime.classes import top_k
from zooc_runtime.commands.main import main
from zooc_runtime.evaluation.evaluation import Evaluation
from zooc_runtime.evaluation.ground_truth import Classes
from zooc_runtime.evaluation.result_file import read_results

Run = Callable[..., str]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven class folders of eight JPEGs of unlike sizes, cut from scikit-learn's photographs."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        pytest.skip("needs scikit-learn's sample photographs")
    sources = Path(spec.origin).parent / "datasets" / "images"
    root = tmp_path_factory.mktemp("photos: with a colon")
    rng = np.random.default_rng(0)
    for name in ("china.jpg", "flower.jpg"):
        with Image.open(sources / name) as opened:
            whole = opened.convert("RGB")
        for index in range(28):
            folder = root / f"n{index % 7:08d}"
            folder.mkdir(exist_ok=True)
            width, height = (int(side) for side in rng.integers(8, 90, 2))
            left, top = int(rng.integers(0, 640 - width)), int(rng.integers(0, 427 - height))
            part = whole.crop((left, top, left + width, top + height))
            part.save(folder / f"ILSVRC2012_val_{name[0]}{index:08d}.JPEG", quality=90)
    return root


@pytest.mark.parametrize("softmax", [True, False], ids=["probabilities", "logits"])
def test_the_sequence_agrees_with_the_direct_evaluation_image_for_image(
    pristine: Callable[..., Path],
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    softmax: bool,
) -> None:
    package = pristine(softmax=softmax)

    def run(*arguments: str | Path) -> str:
        assert main(package, [str(a) for a in arguments]) == 0
        return capsys.readouterr().out

    npz, datalist, out, result = (tmp_path / name for name in ("npz", "list.txt", "out", "result.txt"))
    run("npz", "--dataset_path", photos, "--target_path", npz, "--text_path", datalist, "--suffix", "JPEG")
    run("bench", "-i", "2", "-b", "3", "--warmup", "1", "--datalist", datalist, "--path_output", out)
    run("decode", datalist, out, result)
    decoded = json.loads(run("eval", result, "--json"))
    outputs = json.loads(run("eval", out, "--datalist", datalist, "--json"))
    direct = json.loads(run("eval", photos, "--json"))
    assert decoded == outputs == direct
    assert direct["images"] == 56 and 0 < direct["top1"] < direct["top5"] < 56, (
        "the comparison must mean something"
    )

    model = open_package(package)
    paths = [str(path) for path in sorted(photos.rglob("*.JPEG"))]
    rows = [Evaluation(Classes(7)).row(one) for one in model.stream(paths, 5)]
    by_stem = {Path(path).stem: ids for path, ids in read_results(result)}
    ranked = {Path(path).stem: tuple(row.tolist()) for path, row in zip(paths, rows, strict=True)}
    assert ranked == by_stem

    for mode in ("sync", "async"):
        text = tmp_path / f"{mode}.txt"
        run("classify", "--infer_mode", mode, "--file_path", photos, "--save_result_txt", text)
        assert {Path(path).stem: ids for path, ids in read_results(text)} == by_stem
        assert json.loads(run("eval", text, "--json")) == direct
    assert (tmp_path / "sync.txt").read_text() == (tmp_path / "async.txt").read_text()


def test_the_lists_and_files_are_vamps(
    package: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--target_path", str(tmp_path / "npz"), "--text_path", str(tmp_path / "list.txt")]
    assert main(package, ["npz", "--dataset_path", str(photos), *arguments]) == 0
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert lines == sorted(lines) and len(lines) == 56
    for line in lines:
        path = Path(line)
        assert path.is_absolute() and path.parent.parent == tmp_path / "npz"
        with (
            np.load(path, allow_pickle=False) as archive,
            Image.open(photos / path.parent.name / f"{path.stem}.JPEG") as image,
        ):
            assert archive.files == ["input_0"] and archive["input_0"].dtype == np.uint8
            np.testing.assert_array_equal(archive["input_0"], np.asarray(image).transpose(2, 0, 1))
    assert (
        main(
            package, ["bench", "--datalist", str(tmp_path / "list.txt"), "--path_output", str(tmp_path / "o")]
        )
        == 0
    )
    capsys.readouterr()
    # What Vastai's readers do: the sorted folder beside the list, the first array of each file.
    model = open_package(package)
    for line, output in zip(lines, sorted(p.name for p in (tmp_path / "o").iterdir()), strict=True):
        with np.load(tmp_path / "o" / output) as archive:
            scores = archive["output_0"]
        assert archive.files[0] == "output_0" and scores.shape == (1, 7) and scores.dtype == np.float32
        image = photos / Path(line).parent.name / f"{Path(line).stem}.JPEG"
        assert top_k(scores[0], 7) == top_k(model.scores(image)[0], 7)
