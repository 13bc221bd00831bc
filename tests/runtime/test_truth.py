"""Where the true classes come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from zooc_runtime import PackageError
from zooc_runtime.evaluation.ground_truth import (
    Classes,
    by_class_folders,
    by_label_file,
    by_synsets,
    read_synsets,
)

THREE = Classes(3, ("crane", "crane", "heron"), ("n2", "n3", "n1"))


def test_synsets_come_before_labels_and_labels_before_sorted_order() -> None:
    paths = ["x", "y", "z"]
    assert by_class_folders(paths, ["n1", "n2", "n1"], THREE) == [2, 0, 2]
    assert by_class_folders(["x"], ["heron"], Classes(3, THREE.labels)) == [2]
    assert by_class_folders(paths, ["b", "c", "a"], THREE) == [1, 2, 0]


def test_a_folder_named_as_both_cranes_decides_nothing() -> None:
    with pytest.raises(PackageError, match="1 class folders for 3 classes; give --synsets"):
        by_class_folders(["d/crane/x"], ["crane"], Classes(3, THREE.labels))
    with pytest.raises(PackageError, match="for an unknown number of classes"):
        by_class_folders(["d/a/x"], ["a"], Classes())


def test_an_image_in_no_class_folder_is_named() -> None:
    with pytest.raises(PackageError, match="d/y: is not in a class folder"):
        by_class_folders(["d/n1/x", "d/y"], ["n1", ""], THREE)


def test_an_unknown_folder_is_named() -> None:
    assert by_synsets(["d/n1/x", "n3/y"], THREE.synsets, "list") == [2, 1]
    with pytest.raises(PackageError, match=r"d/n9/x: its folder 'n9' is not in list"):
        by_synsets(["d/n9/x"], THREE.synsets, "list")


def test_synset_lists_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "synsets.txt"
    file.write_text("n1 tench, Tinca tinca\nn2\n\n")
    assert read_synsets(file, 2) == ("n1", "n2")
    with pytest.raises(PackageError, match="2 synsets for 3 classes"):
        read_synsets(file, 3)
    file.write_text("n1\nn1\n")
    with pytest.raises(PackageError, match="n1 occurs twice"):
        read_synsets(file, None)
    file.write_text("")
    with pytest.raises(PackageError, match="0 synsets"):
        read_synsets(file, None)


def test_a_label_file_of_jpegs_fits_their_npz_files(tmp_path: Path) -> None:
    file = tmp_path / "val_label.txt"
    file.write_text("a.JPEG 2\n./b b.JPEG\tn3\n")
    assert by_label_file(["/npz/val/a.npz", "/npz/val/b b.npz"], file, THREE) == [2, 1]


def test_names_may_repeat_where_the_list_tells_folders(tmp_path: Path) -> None:
    file = tmp_path / "val_label.txt"
    file.write_text("x/1.png 0\ny/1.png 1\n")
    assert by_label_file(["/d/x/1.png", "/d/y/1.png"], file, THREE) == [0, 1]
    file.write_text("1.png 0\n")
    with pytest.raises(PackageError, match=r"1 may be /d/x/1.png or /d/y/1.png; write the folders"):
        by_label_file(["/d/x/1.png", "/d/y/1.png"], file, THREE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.JPEG 3\n", "val_label.txt:1: a file name and a class id below 3 are expected"),
        ("a.JPEG -1\n", "val_label.txt:1: a file name"),
        ("a.JPEG n9\n", "val_label.txt:1: a file name"),
        ("490\n", "val_label.txt:1: a file name"),
        ("a.JPEG 1\na.JPEG 2\n", "val_label.txt:2: a is class 1 in a line above"),
        ("b.JPEG 1\n", r"/d/a.npz: not in .*val_label.txt; add it there"),
    ],
)
def test_an_unfit_label_file_is_named_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "val_label.txt").write_text(text)
    with pytest.raises(PackageError, match=message):
        by_label_file(["/d/a.npz"], tmp_path / "val_label.txt", THREE)
