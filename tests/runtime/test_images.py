"""Folders of images and the draw from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from zooc_runtime.data.image_folder import draw, list_images, suffixes_found
from zooc_runtime.errors import PackageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b/2.JPEG",
        "b/1.jpg",
        "a.png",
        "B.Png",
        ".hidden.png",
        ".git/x.png",
        "b/notes.txt",
        "c/d/e.webp",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def _names(folder: Path, suffix: str | None = None) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in list_images(folder, suffix)]


def test_images_are_found_recursively_in_order_and_hidden_ones_are_not(folder: Path) -> None:
    assert _names(folder) == ["B.Png", "a.png", "b/1.jpg", "b/2.JPEG", "c/d/e.webp"]


@pytest.mark.parametrize("suffix", ["png", "PNG", ".Png"])
def test_the_suffix_is_compared_without_case_and_dot(folder: Path, suffix: str) -> None:
    assert _names(folder, suffix) == ["B.Png", "a.png"]


def test_a_link_in_a_circle_ends(folder: Path) -> None:
    (folder / "b" / "up").symlink_to(folder)
    assert len(_names(folder)) == 5


def test_a_missing_folder_and_a_file_are_refused_and_an_empty_one_is_empty(folder: Path) -> None:
    (folder / "void").mkdir()
    assert list_images(folder / "void") == []
    with pytest.raises(PackageError, match="nowhere: no such folder"):
        list_images(folder / "nowhere")
    with pytest.raises(PackageError, match="not a folder"):
        list_images(folder / "a.png")


def test_suffixes_found_counts_all_files(folder: Path) -> None:
    assert suffixes_found(folder) == {"png": 2, "jpg": 1, "jpeg": 1, "txt": 1, "webp": 1}


def test_a_draw_depends_on_the_seed_alone_and_keeps_the_order() -> None:
    items = list(range(100))
    drawn = draw(items, 10, seed=4)
    assert drawn == sorted(drawn) == draw(items, 10, seed=4)
    assert len(set(drawn)) == 10
    assert drawn != draw(items, 10, seed=5)
    assert draw(items, None) == items
    assert draw(items, 100, seed=1) == items


def test_a_smaller_draw_is_part_of_a_larger_one() -> None:
    assert set(draw(range(50), 5, 1)) < set(draw(range(50), 20, 1))


def test_too_few_images_are_counted() -> None:
    with pytest.raises(PackageError, match="5 images wanted but only 2 found"):
        draw([1, 2], 5)
