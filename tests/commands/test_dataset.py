"""`zooc dataset valprep` and `zooc dataset sample`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.datasets import transfer
from zooc.datasets.sample import sample
from zooc.datasets.valprep import arrange
from zooc_runtime import PackageError

NAMES = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 7)]
SYNSETS = ["n01751748", "n09193705", "n02105855", "n01751748", "n04125021", "n02790996"]
IDS = [65, 970, 230, 65, 771, 422]


def _zooc(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["dataset", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    (tmp_path / "flat").mkdir()
    for number, name in enumerate(NAMES):
        (tmp_path / "flat" / name).write_bytes(f"image {number}".encode())
    return tmp_path / "flat"


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    file = tmp_path / "val_label.txt"
    file.write_text("".join(f"{name} {index}\n" for name, index in zip(NAMES, IDS, strict=True)))
    return file


def _tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


WANTED = {f"{s}/{n}": f"image {i}".encode() for i, (s, n) in enumerate(zip(SYNSETS, NAMES, strict=True))}


@pytest.mark.parametrize("how", ["link", "copy", "move"])
def test_images_get_into_their_synsets_folders(flat: Path, truth: Path, tmp_path: Path, how: str) -> None:
    code, out, err = _zooc("valprep", flat, truth, "-o", tmp_path / "val", "--how", how)
    assert (code, err) == (0, "") and "6 images in 5 folders" in out
    assert _tree(tmp_path / "val") == WANTED
    assert len(_tree(flat)) == (0 if how == "move" else 6)
    code, out, _ = _zooc("valprep", flat, truth, "-o", tmp_path / "val", "--how", how, "--format", "json")
    assert code == 0 and (json.loads(out)["done"], json.loads(out)["kept"]) == (0, 6)
    links = (tmp_path / "val" / SYNSETS[0] / NAMES[0]).stat().st_nlink
    assert links == (2 if how == "link" else 1)


@pytest.mark.parametrize(
    "lines",
    [
        [f"{n} {s}" for n, s in zip(NAMES, SYNSETS, strict=True)],
        [f"val/{n}\t{i}" for n, i in zip(NAMES, IDS, strict=True)],
        SYNSETS,
        ["mkdir -p n01751748", *(f"mv {n} {s}/" for n, s in zip(NAMES, SYNSETS, strict=True))],
        [
            "ImageId,PredictionString",
            *(f"{n[:-5]},{s} 1 2 3 4 " for n, s in zip(NAMES, SYNSETS, strict=True)),
        ],
    ],
    ids=["synsets", "ids", "synsets alone", "valprep.sh", "kaggle"],
)
def test_every_known_form_of_the_ground_truth_is_read(flat: Path, tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "list").write_text("\n".join(lines))
    arrange(flat, tmp_path / "list", tmp_path / "val")
    assert _tree(tmp_path / "val") == WANTED


def test_a_dry_run_changes_nothing(flat: Path, truth: Path, tmp_path: Path) -> None:
    code, out, _ = _zooc("valprep", flat, truth, "-o", tmp_path / "val", "--how", "move", "--dry-run")
    assert code == 0 and "(6 to be moved, 0 there already)" in out
    assert not (tmp_path / "val").exists() and len(_tree(flat)) == 6


def test_moving_within_the_folder_works_as_valprep_sh_does(flat: Path, truth: Path) -> None:
    arrange(flat, truth, flat, how="move")
    assert _tree(flat) == WANTED
    assert arrange(flat, truth, flat, how="move").kept == 6


@pytest.mark.parametrize("how", ["link", "copy", "move"])
@pytest.mark.parametrize("form", ["named", "synsets alone"])
def test_an_interruption_at_any_step_loses_nothing_and_the_rest_follows(
    flat: Path, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, form: str
) -> None:
    if form == "synsets alone":
        truth.write_text("\n".join(SYNSETS))
    steps = {"count": 0, "stop": 0}

    def interrupting(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            steps["count"] += 1
            if steps["count"] == steps["stop"]:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return wrapped

    for module, name in ((os, "link"), (Path, "unlink"), (Path, "rename")):
        monkeypatch.setattr(module, name, interrupting(getattr(module, name)))
    finished = False
    while not finished:
        steps["stop"] += 3
        steps["count"] = 0
        try:
            arrange(flat, truth, tmp_path / "val", how=how)  # type: ignore[arg-type]
            finished = True
        except KeyboardInterrupt:
            there = {Path(name).name for folder in (flat, tmp_path / "val") for name in _tree(folder)}
            assert set(NAMES) <= there
    assert {k: v for k, v in _tree(tmp_path / "val").items() if not k.endswith(".part")} == WANTED


def test_another_file_in_an_images_place_is_never_replaced(flat: Path, truth: Path, tmp_path: Path) -> None:
    target = tmp_path / "val" / SYNSETS[2] / NAMES[2]
    target.parent.mkdir(parents=True)
    target.write_bytes(b"other!!")
    for how in ("link", "copy", "move"):
        code, _, err = _zooc("valprep", flat, truth, "-o", tmp_path / "val", "--how", how)
        assert code == 1 and f"{target}: exists already and differs" in err
    assert target.read_bytes() == b"other!!" and len(_tree(flat)) == 6
    assert len(_tree(tmp_path / "val")) == 1, "nothing is begun before all is checked"


def test_a_disk_without_hard_links_gets_a_remedy_or_a_copy(
    flat: Path, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(transfer.os, "link", refused)
    with pytest.raises(PackageError, match=r"no hard link can be made there .*; use --how copy"):
        arrange(flat, truth, tmp_path / "val")
    arrange(flat, truth, tmp_path / "val", how="move")
    assert _tree(tmp_path / "val") == WANTED and not _tree(flat)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("490\n361\n", "list:1: a bare number; the development kit numbers the classes in another order"),
        (f"{NAMES[0]} n00000000\n", "list:1: .* is none of `NAME ID`"),
        (f"{NAMES[0]} 1000\n", "list:1: .* is none of"),
        (f"{NAMES[0]} 1\n{NAMES[0]} 2\n", "list:2: .* is in n01440764|list:2: .* above; correct the list"),
        ("n01751748\nn01751748\n", "2 lines are synsets alone, but 6 images are there"),
        (f"n01751748\n{NAMES[0]} 2\n", "some lines have names and some not"),
        ("", "has no entries"),
        (f"{NAMES[0]} 65\n", rf"{NAMES[1]}: .*list does not have its class \(5 such images\)"),
    ],
)
def test_an_unfit_list_is_named_with_the_line(flat: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(PackageError, match=message):
        arrange(flat, tmp_path / "list", tmp_path / "val")
    assert not (tmp_path / "val").exists()


def test_missing_images_are_counted_and_accepted_on_request(flat: Path, truth: Path, tmp_path: Path) -> None:
    (flat / NAMES[3]).unlink()
    code, _, err = _zooc("valprep", flat, truth, "-o", tmp_path / "val")
    assert (
        code == 1
        and f"{NAMES[3]}: named by" in err
        and "(1 of 6 images); copy the missing images there, or give --partial" in err
    )
    code, out, err = _zooc("valprep", flat, truth, "-o", tmp_path / "val", "--partial")
    assert code == 0 and "5 images in" in out and "1 images that" in err
    (tmp_path / "empty").mkdir()
    code, _, err = _zooc("valprep", tmp_path / "empty", truth, "-o", tmp_path / "v2", "--partial")
    assert code == 1 and "none of the 6 images" in err


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for folder in range(4):
        (tmp_path / "set" / f"n{folder}").mkdir(parents=True)
        for number in range(5):
            pixels = np.random.default_rng(10 * folder + number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / f"n{folder}" / f"{number}.png")
    return tmp_path / "set"


def test_each_class_gives_the_same_number_and_the_draw_repeats(classes: Path, tmp_path: Path) -> None:
    code, out, _ = _zooc("sample", classes, "--per-class", "2", "--seed", "1", "-o", tmp_path / "a")
    assert code == 0 and "8 images of 4 classes, 0 skipped" in out
    drawn = _tree(tmp_path / "a")
    assert [sum(name.startswith(f"n{i}/") for name in drawn) for i in range(4)] == [2] * 4
    assert drawn.items() <= _tree(classes).items()
    assert sample(classes, tmp_path / "a", per_class=2, seed=1).images == 8, "the same draw may be repeated"
    others = [
        set(_tree(tmp_path / f"s{s}"))
        for s in range(4)
        if sample(classes, tmp_path / f"s{s}", per_class=2, seed=s)
    ]
    assert others[1] == set(drawn) and len({frozenset(o) for o in others}) > 1


def test_a_new_class_leaves_the_draw_of_the_others_as_it_was(classes: Path, tmp_path: Path) -> None:
    sample(classes, tmp_path / "a")
    (classes / "n00").mkdir()
    Image.new("RGB", (8, 8)).save(classes / "n00" / "x.png")
    sample(classes, tmp_path / "b")
    assert _tree(tmp_path / "a").items() < _tree(tmp_path / "b").items()


def test_damaged_images_are_named_and_replaced_by_others(classes: Path, tmp_path: Path) -> None:
    for number in range(4):
        (classes / "n2" / f"{number}.png").write_bytes(b"damaged")
    code, out, err = _zooc("sample", classes, "--per-class", "2", "-o", tmp_path / "a")
    assert code == 0 and "7 images of 4 classes, 4 skipped" in out
    assert err.count("skipped: ") == 4 and "1 classes have fewer than 2 images (n2 has 1)" in err
    (classes / "n2" / "4.png").write_bytes(b"damaged")
    with pytest.raises(PackageError, match="n2: has no readable image"):
        sample(classes, tmp_path / "b")


def test_other_images_in_the_folder_are_refused(classes: Path, tmp_path: Path) -> None:
    sample(classes, tmp_path / "a", per_class=3)
    code, _, err = _zooc("sample", classes, "--per-class", "1", "-o", tmp_path / "a")
    assert code == 1 and "does not belong to this draw" in err and "choose an empty folder" in err


def test_images_in_no_class_folder_are_refused(classes: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(classes / "x.png")
    with pytest.raises(PackageError, match=r"x\.png: is not in a class folder; .*valprep"):
        sample(classes, tmp_path / "a")
    with pytest.raises(PackageError, match=r"no .JPEG images below this folder"):
        sample(classes, tmp_path / "a", suffix="JPEG")
