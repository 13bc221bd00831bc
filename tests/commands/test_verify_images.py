"""`--verify-images`: the cache is not taken in by another image of equal name, size and time."""

from __future__ import annotations

import os
import shutil

import pytest

from zooc.calibration import images as calibration

CALIBRATE = ("calibrate", "tiny.zoo", "--force", "-o")


@pytest.mark.parametrize("command", ["compile", "calibrate", "tune", "analyze"])
def test_the_option_is_wherever_calibration_images_are(workplace, command: str) -> None:
    said = workplace.zooc(*([command, "file"] if command == "calibrate" else [command]), "--help")
    assert "--verify-images" in said


def test_an_image_replaced_at_equal_size_and_time_is_calibrated_on(workplace, monkeypatch) -> None:
    monkeypatch.setattr(calibration, "CHEAP_BYTES", 0)  # as if the images were many
    folder = workplace.folder / "images"
    for name in ("000.jpg", "001.jpg"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data + bytes(20_000 - len(data)))
    workplace.zooc(*CALIBRATE, "known.calib")
    workplace.zooc(*CALIBRATE, "before.calib", "--verify-images")
    status = (folder / "001.jpg").stat()
    shutil.copy(folder / "000.jpg", folder / "001.jpg")
    os.utime(folder / "001.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    workplace.zooc(*CALIBRATE, "stale.calib")
    workplace.zooc(*CALIBRATE, "after.calib", "--verify-images")
    workplace.zooc(*CALIBRATE, "fresh.calib", "--no-cache")
    known, before, stale, after, fresh = (
        workplace.bytes(f"{name}.calib") for name in ("known", "before", "stale", "after", "fresh")
    )
    assert known == before == stale != after == fresh
