"""`classify --save-result-txt`, in the manner of Vastai's classification.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc_runtime.commands.main import main
from zooc_runtime.evaluation.result_file import read_results


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for index in range(5):
        (tmp_path / "photos" / f"n{index}").mkdir(parents=True)
        pixels = np.random.default_rng(index).integers(0, 256, (9, 9 + index, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"n{index}" / f"{index}.png")
    return tmp_path / "photos"


def test_a_second_run_replaces_the_file_and_append_adds(package: Path, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "result.txt"
    arguments = ["classify", "--file-path", str(photos), "--save-result-txt", str(file)]
    assert main(package, arguments) == 0
    once = file.read_text()
    assert [(len(ids)) for _, ids in read_results(file)] == [5] * 5
    assert main(package, arguments) == 0
    assert file.read_text() == once
    assert main(package, [*arguments, "--append"]) == 0
    assert file.read_text() == once * 2


def test_a_run_that_fails_leaves_the_file_as_it_was(package: Path, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "result.txt"
    file.write_text("from before\n")
    (photos / "n4" / "4.png").write_bytes(b"no image")
    arguments = ["classify", str(photos), "--save-result-txt", str(file), "--batch-size", "1"]
    assert main(package, arguments) == 1
    assert file.read_text() == "from before\n"
    assert main(package, [*arguments, "--keep-going"]) == 1, "something was skipped"
    assert len(read_results(file)) == 4
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize(
    "arguments", [["classify"], ["classify", "x.png", "--append"], ["classify", "--infer-mode", "x"]]
)
def test_wrong_usage_is_exit_code_2(
    package: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(package, arguments)
    assert caught.value.code == 2 and "usage: " in capsys.readouterr().err


def test_the_order_of_the_answers_is_that_of_the_logits(
    package: Path, pristine: object, photos: Path
) -> None:
    from zooc_runtime import open_package
    from zooc_runtime.classes import top_k

    model = open_package(pristine(softmax=False))  # type: ignore[operator]
    image = photos / "n0" / "0.png"
    assert [one.index for one in model(image, topk=7).topk] == top_k(model.scores(image)[0], 7)
