"""Images to npz files: resumed, atomic, nothing lost silently."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc_runtime import PackageError
from zooc_runtime.commands.main import main
from zooc_runtime.evaluation import images_to_npz as image2npz
from zooc_runtime.evaluation.images_to_npz import Conversion, convert, plan_targets
from zooc_runtime.evaluation.npz import read_datalist, read_input
from zooc_runtime.support.parallel import in_order


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for index in range(6):
        folder = root / "deeper" / f"n{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (5 + index, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


def _convert(images: Path, **options: object) -> Conversion:
    return convert(images, images.parent / "npz", images.parent / "list.txt", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_layout_is_the_class_folder_and_the_stem(images: Path, workers: int) -> None:
    assert _convert(images, workers=workers).written == 6
    names = [os.path.relpath(file, images.parent) for file in read_datalist(images.parent / "list.txt")]
    assert names == [f"npz/n{i}/{j}.npz" for i in range(2) for j in (i, i + 2, i + 4)]


def test_sound_files_are_kept_and_others_made_again(images: Path) -> None:
    _convert(images)
    target = images.parent / "npz"
    kept = (target / "n0" / "2.npz").stat().st_mtime_ns
    (target / "n0" / "0.npz").write_bytes((target / "n0" / "0.npz").read_bytes()[:100])
    (target / "n1" / "1.npz").unlink()
    np.savez(target / "n1" / "3.npz", input_0=np.zeros((3, 4, 4), np.uint8))
    later = (images / "deeper" / "n0" / "4.png").stat().st_mtime + 100
    Image.new("RGB", (9, 9)).save(images / "deeper" / "n0" / "4.png")
    os.utime(images / "deeper" / "n0" / "4.png", (later, later))
    result = _convert(images)
    assert (result.written, result.kept) == (4, 2)
    assert (target / "n0" / "2.npz").stat().st_mtime_ns == kept
    for file in (images / "deeper").rglob("*.png"):
        with Image.open(file) as image:
            made = read_input(target / file.parent.name / f"{file.stem}.npz")
            np.testing.assert_array_equal(made, np.asarray(image))


def test_damaged_images_are_named_skipped_and_counted(
    images: Path, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = images / "deeper" / "n1" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    paths = [
        "--dataset-path",
        images,
        "--target-path",
        images.parent / "npz",
        "--text-path",
        images.parent / "l.txt",
    ]
    assert main(package, ["npz", *map(str, paths)]) == 0
    out, err = capsys.readouterr()
    assert "5 files (5 written, 0 kept), 1 images skipped" in out
    assert f"skipped: {damaged}: damaged or truncated" in err
    assert len(read_datalist(images.parent / "l.txt")) == 5


@pytest.mark.parametrize(("first", "second"), [("a/n1/1.jpg", "b/n1/1.jpg"), ("n1/1.jpg", "n1/1.png")])
def test_images_that_would_become_one_file_are_both_named(tmp_path: Path, first: str, second: str) -> None:
    with pytest.raises(PackageError) as caught:
        plan_targets([tmp_path / first, tmp_path / second], tmp_path / "npz")
    assert str(tmp_path / first) in str(caught.value) and str(tmp_path / second) in str(caught.value)
    assert "rename one" in str(caught.value)


def test_a_name_with_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="a line break in a name cannot stand in a list"):
        plan_targets([tmp_path / "n1" / "a\nb.png"], tmp_path)


def test_a_wrong_suffix_names_those_that_are_there(images: Path) -> None:
    with pytest.raises(PackageError, match=r"no .JPEG images below this folder, but 6 .png; give another"):
        _convert(images, suffix="JPEG")
    assert _convert(images, suffix=".PNG").written == 6


def test_an_interrupted_run_leaves_no_partial_file_and_goes_on(
    images: Path, monkeypatch: pytest.MonkeyPatch, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = image2npz.write_npz

    def interrupted(path: Path, arrays: dict[str, np.ndarray]) -> None:
        if path.stem == "4":
            raise KeyboardInterrupt
        written(path, arrays)

    monkeypatch.setattr(image2npz, "write_npz", interrupted)
    paths = [
        "--dataset-path",
        images,
        "--target-path",
        images.parent / "npz",
        "--text-path",
        images.parent / "l.txt",
    ]
    assert main(package, ["npz", *map(str, paths)]) == 130
    assert capsys.readouterr().err == "the same command continues where this one stopped\ninterrupted\n"
    assert not (images.parent / "l.txt").exists()
    for made in (images.parent / "npz").rglob("*.*"):
        read_input(made)
    monkeypatch.undo()
    result = _convert(images)
    assert result.written + result.kept == 6 and result.kept > 0


def test_a_full_disk_leaves_no_partial_file(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: object, **_: object) -> None:
        file.write(b"PK\x03\x04")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(PackageError, match=r"\.npz: cannot be written \(No space left on device\)"):
        _convert(images)
    assert not [path for path in (images.parent / "npz").rglob("*") if path.is_file()]


def test_no_work_is_begun_after_an_error() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            begun.append(item)
        if item == 2:
            raise ValueError
        return item

    with pytest.raises(ValueError):
        list(in_order(work, range(1000), 2))
    assert len(begun) <= 2 + 4 * 2 + 1
    assert list(in_order(lambda item: item * item, range(100), 3)) == [item * item for item in range(100)]
