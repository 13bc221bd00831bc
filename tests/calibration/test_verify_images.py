"""Images are known in the cache by what is in them where that costs little, or where the user asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from zooc.calibration import images as calibration
from zooc.calibration.images import CalibrationImages
from zooc.deployment import ImageSet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(5):
        (tmp_path / f"{index}.jpg").write_bytes(bytes([index]) * 100)
    return tmp_path


@pytest.fixture
def large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder too large to be read for its own sake."""
    monkeypatch.setattr(calibration, "CHEAP_BYTES", 499)
    return folder


def _replaced_unnoticed(path: Path) -> None:
    """Another content of the same size at the same time."""
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _fingerprint(folder: Path, *, verify: bool = False) -> str:
    return CalibrationImages.find(ImageSet(folder), verify=verify).fingerprint()


@pytest.mark.parametrize("verify", [False, True])
def test_an_image_of_a_small_set_replaced_at_equal_size_and_time_is_noticed(
    folder: Path, verify: bool
) -> None:
    before = _fingerprint(folder, verify=verify)
    _replaced_unnoticed(folder / "3.jpg")
    assert _fingerprint(folder, verify=verify) != before


def test_in_a_large_set_it_is_noticed_when_asked_for_alone(large: Path) -> None:
    before = _fingerprint(large), _fingerprint(large, verify=True)
    _replaced_unnoticed(large / "3.jpg")
    assert _fingerprint(large) == before[0]
    assert _fingerprint(large, verify=True) != before[1]


def test_a_touched_image_of_equal_content_is_the_same(large: Path) -> None:
    before = _fingerprint(large), _fingerprint(large, verify=True)
    os.utime(large / "3.jpg", (1, 1))
    assert _fingerprint(large) != before[0]
    assert _fingerprint(large, verify=True) == before[1]


def test_an_unreadable_image_has_a_place_of_its_own(folder: Path) -> None:
    before = _fingerprint(folder)
    (folder / "5.jpg").symlink_to(folder / "nowhere")
    assert _fingerprint(folder) != before


def test_each_image_is_read_once_and_a_sample_of_a_large_set_not_again(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, read = CalibrationImages.find(ImageSet(large), verify=True), []
    assert images.contents_sha256(read.append) == images.contents_sha256(read.append)
    assert sum(read) == 5
    images.sample(2).contents_sha256(read.append)
    assert sum(read) == 5


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_hash_of_the_contents_is_that_of_what_sha256sum_prints(folder: Path) -> None:
    command = "sha256sum *.jpg | sha256sum"
    printed = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert CalibrationImages.find(ImageSet(folder)).contents_sha256() == printed.stdout.split()[0]
