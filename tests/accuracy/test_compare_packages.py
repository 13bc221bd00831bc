"""`zooc compare` on float and int8 packages of the trained digits network."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.diagnostics.diagnostic import ZoocError
from zooc.pipeline.compare import compare_packages, mcnemar
from zooc.support.progress import Progress


@pytest.fixture(scope="module")
def packages(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("packages")
    file = digits.describe(file="plain.zoo")
    first = folder / "float"
    digits.compile(file, first, overrides=("quantize=fp32", "package.name=digits_float"))
    digits.compile(file, folder / "int8")
    return first, folder / "int8"


def compare(places: tuple[Path, Path], folder: Path, **more: Any) -> Any:
    options: dict[str, Any] = {"count": 40, "labels": "auto", "keep": 3, **more}
    return compare_packages(places, folder, progress=Progress(), **options)


def test_float_and_int8_agree_on_trained_digits(packages: tuple[Path, Path], digits: Any) -> None:
    found = compare(packages, digits.folder / "test")
    document = found.to_json()
    assert found.images == 40
    assert document["top1_agreement"] >= 0.9
    assert found.sqnr_db > 20
    assert document["labels"] == "class folders"
    low, high = document["top1"][0]["interval"]
    assert low <= document["top1"][0]["rate"] <= high
    cosines = [one.cosine for one in found.worst]
    assert cosines == sorted(cosines)
    assert len(cosines) == 3


def test_a_package_agrees_with_itself(packages: tuple[Path, Path], digits: Any) -> None:
    found = compare((packages[1], packages[1] / "digits"), digits.folder / "test", labels="none")
    assert (found.same, found.noise) == (40, 0.0)
    assert "top1" not in found.to_json()


def test_unreadable_images_are_skipped_and_named(
    packages: tuple[Path, Path], digits: Any, tmp_path: Path
) -> None:
    for path in sorted(digits.folder.glob("test/*/*.jpg"))[:5]:
        shutil.copy(path, tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    found = compare(packages, tmp_path, count=None)
    assert (found.images, len(found.skipped), found.labels) == (5, 1, "none")
    assert "broken.jpg" in found.skipped[0]


def test_bad_input_is_named(packages: tuple[Path, Path], digits: Any, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    shutil.copy(next(digits.folder.glob("test/*/*.jpg")), loose)
    for places, folder, labels in (
        ((tmp_path, packages[1]), digits.folder / "test", "auto"),
        (packages, tmp_path / "nowhere", "auto"),
        (packages, loose, "folders"),
        (packages, loose, str(tmp_path / "no_list.txt")),
    ):
        with pytest.raises(ZoocError, match="Z0497"):
            compare(places, folder, labels=labels)


def test_other_classes_cannot_be_compared(packages: tuple[Path, Path], digits: Any, tmp_path: Path) -> None:
    (digits.folder / "other.txt").write_text("\n".join(f"thing {i}" for i in range(10)), "utf-8")
    file = digits.describe(file="plain.zoo")
    digits.compile(file, tmp_path / "other", overrides=("quantize=fp32", "postprocess.labels=other.txt"))
    with pytest.raises(ZoocError, match="Z0498"):
        compare((packages[0], tmp_path / "other"), digits.folder / "test")


def test_mcnemar_is_the_two_sided_binomial_tail() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(1, 9) == mcnemar(9, 1) == pytest.approx(2 * 11 / 1024)


def test_the_command_speaks_to_people_and_tools(packages: tuple[Path, Path], digits: Any) -> None:
    words = ["compare", *map(str, packages), "--on", str(digits.folder / "test"), "--count", "10"]
    human = CliRunner().invoke(app, [*words, "-q"])
    assert human.exit_code == 0, human.output
    assert "same top-1" in human.output
    machine = json.loads(CliRunner().invoke(app, [*words, "--format", "json"]).stdout)
    assert machine["images"] == 10
    assert len(machine["worst"]) == 5


def test_the_page_shows_the_images_on_which_they_part(digits: Any, tmp_path: Path) -> None:
    places = tmp_path / "float", tmp_path / "clipped"
    digits.compile(digits.describe(file="float.zoo"), places[0], overrides=("quantize=fp32",))
    digits.compile(digits.describe(file="clipped.zoo"), places[1], ranges=digits.clipping_ranges(0.3))
    page = tmp_path / "compare.html"
    command = ["compare", *map(str, places), "--on", str(digits.folder / "test"), "--count", "40"]
    done = CliRunner().invoke(app, [*command, "-o", str(page), "--format", "json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["kl_divergence"]["worst"] >= document["kl_divergence"]["mean"] > 0
    differ = round(40 * (1 - document["top1_agreement"]))
    assert differ > 0
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg;base64,") == text.count("<figcaption><b>") == min(differ, 24)
    assert not re.search("https?://", text.replace("http://www.w3.org/2000/svg", ""))
    again = CliRunner().invoke(app, [*command, "-o", str(page)])
    assert again.exit_code == 1
    assert "Z0471" in again.output
    plain = CliRunner().invoke(app, [*command, "-o", str(page), "--force"])
    assert "KL divergence" in plain.output
