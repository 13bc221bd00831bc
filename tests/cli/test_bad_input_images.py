"""Images of every kind, as calibration images and as what the built package is given."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zooc_runtime import PackageError, open_package

Save = Callable[[Path, Callable[..., Image.Image]], None]


def _rotated(path: Path, picture: Callable[..., Image.Image]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(path, exif=exif)


def _deep(path: Path, _picture: object) -> None:
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40)).save(path)


ODD: dict[str, Save] = {
    "cmyk.jpg": lambda path, picture: picture().convert("CMYK").save(path),
    "palette.png": lambda path, picture: picture().quantize(8).save(path),
    "see_through_palette.png": lambda path, picture: (
        picture().quantize(4).save(path, transparency=bytes([0, 99, 255, 255]))
    ),
    "alpha.png": lambda path, picture: picture().convert("RGBA").save(path),
    "grey.png": lambda path, picture: picture().convert("L").save(path),
    "rotated.jpg": _rotated,
    "wide.jpg": lambda path, picture: picture(20000, 20).save(path),
    "tall.png": lambda path, picture: picture(20, 20000).save(path),
}
"""Images that are taken."""

TOO_SMALL = "an image of 1 x 1 pixels is too small for ECenterCrop"
REFUSED: dict[str, tuple[Save, str]] = {
    "cut.jpg": (
        lambda path, _: path.write_bytes((path.parent / "2.jpg").read_bytes()[:400]) and None,
        "damaged or truncated image",
    ),
    "corrupt.jpg": (
        lambda path, _: path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256))) and None,
        "not an image that Pillow knows",
    ),
    "empty.jpg": (lambda path, _: path.touch(), "the file is empty"),
    "text.jpg": (lambda path, _: path.write_text("hello") and None, "not an image that Pillow knows"),
    "deep.png": (_deep, "pixels of mode I;16"),
    "one_pixel.png": (lambda path, _: Image.new("RGB", (1, 1)).save(path), TOO_SMALL),
    "dangling.jpg": (lambda path, _: path.symlink_to("nowhere.jpg"), "no such file"),
}
"""Images that are not, and why."""


def test_odd_images_calibrate_and_classify(project: Any, make_picture: Callable[..., Image.Image]) -> None:
    images = project.folder / "images"
    for name, save in ODD.items():
        save(images / name, make_picture)
    outcome = project.compile().succeeded()
    assert "Z0454" not in outcome.err
    assert "against float on 14 images" in outcome.out
    answers = project.package("classify", *(images / name for name in ODD), "--topk", "1").succeeded()
    assert len(answers.out.splitlines()) == 2 * len(ODD)


def test_unusable_images_are_named_skipped_and_counted(
    project: Any, make_picture: Callable[..., Image.Image]
) -> None:
    images = project.folder / "images"
    for index in range(6, 10):
        make_picture(seed=index).save(images / f"{index}.jpg")
    for name, (save, _) in REFUSED.items():
        save(images / name, make_picture)
    notes = [f"{name}: {reason}" for name, (_, reason) in REFUSED.items()]
    first = project.compile().warned("Z0454", "7 of 17 calibration images were left out", *notes)
    assert "against float on 10 images" in first.out
    manifest = json.loads((project.folder / "out" / "tiny" / "manifest.json").read_text("utf-8"))
    assert manifest["quantization"]["images"] == {"used": 10, "skipped": sorted(REFUSED)}
    again = project.compile("--force").warned("Z0454", "7 of 17", *notes)
    assert "calibration from the cache" in again.err
    model = open_package(project.folder / "out" / "tiny")
    for name, (_, reason) in REFUSED.items():
        with pytest.raises(PackageError, match=re.escape(reason)) as caught:
            model(images / name)
        assert name in str(caught.value)
    outcome = project.package("classify", images / "cut.jpg")
    assert outcome.code == 1
    assert "cut.jpg: damaged" in outcome.err and "Traceback" not in outcome.err


def test_one_pixel_is_enough_for_a_resize(project: Any) -> None:
    Image.new("RGB", (1, 1), (9, 200, 30)).save(project.folder / "images" / "one.png")
    steps = "preprocess { Resize([40, 40])  CenterCrop(32)  ToTensor() }"
    outcome = project.compile(preprocess=steps).succeeded()
    assert "against float on 7 images" in outcome.out
    project.package("classify", project.folder / "images" / "one.png").succeeded()


def test_too_few_readable_images_are_an_error(project: Any) -> None:
    images = project.folder / "images"
    for index in range(4):
        (images / f"{index}.jpg").write_bytes((images / f"{index}.jpg").read_bytes()[:400])
    project.compile().refused(
        "Z0453",
        "tiny.zoo:3:32",
        "4 of 6 calibration images cannot be read",
        "0.jpg: damaged or truncated image",
        "replace the damaged images",
    )
    assert project.wrote_nothing()


def test_an_empty_image_folder_is_refused(project: Any) -> None:
    shutil.rmtree(project.folder / "images")
    (project.folder / "images").mkdir()
    project.compile().refused("Z0451", "no images in", "the folder is empty", "check the folder")
    assert project.wrote_nothing()


def test_a_folder_that_holds_other_files_says_which(project: Any) -> None:
    for image in (project.folder / "images").iterdir():
        image.rename(image.with_suffix(".txt"))
    project.compile().refused("Z0451", "no images in", "found there: 6 x .txt")


def test_folders_named_like_images_are_no_images(project: Any) -> None:
    shutil.rmtree(project.folder / "images")
    (project.folder / "images" / "a.jpg").mkdir(parents=True)
    project.compile().refused("Z0451", "no images in")


def test_a_suffix_that_no_file_has_is_refused(project: Any) -> None:
    project.compile(quantize='quantize int8 { data images("images", suffix="PNG") }').refused(
        "Z0451", "no files with suffix 'PNG'", "found there: 6 x .jpg", "check the folder and `suffix`"
    )


@pytest.mark.parametrize(("name", "what"), [("imagse", "does not exist"), ("net.onnx", "is not a folder")])
def test_a_missing_image_folder_is_named(project: Any, name: str, what: str) -> None:
    project.compile(quantize=f'quantize int8 {{ data images("{name}") }}').refused(
        "Z0119", f'"{name}" {what}'
    )
    assert project.wrote_nothing()


def test_more_images_asked_for_than_there_are_is_a_warning(project: Any) -> None:
    project.compile(quantize='quantize int8 { data images("images", count=7) }').warned(
        "Z0452", "7 calibration images asked for, but only 6 are there", "lower `count` to 6"
    )


@pytest.mark.parametrize(
    ("argument", "code", "message"),
    [
        ("count=0", "Z0110", "the count must be from 1"),
        ("count=99999999999999999999", "Z0006", "the integer is larger than"),
        ("seed=-1", "Z0110", "the seed must be from 0"),
        ("count=2.5", "Z0109", "must be a whole number"),
        ("cout=2", "Z0105", "did you mean `count`?"),
    ],
)
def test_a_draw_that_cannot_be_made_is_refused(project: Any, argument: str, code: str, message: str) -> None:
    project.compile(quantize=f'quantize int8 {{ data images("images", {argument}) }}').refused(code, message)


def test_a_pipe_among_the_images_is_not_waited_for(project: Any) -> None:
    os.mkfifo(project.folder / "images" / "pipe.jpg")
    outcome = project.compile().succeeded()
    assert "against float on 6 images" in outcome.out


def test_a_pipe_in_a_folder_of_images_is_passed_over(project: Any) -> None:
    images: Path = project.folder / "images"
    os.mkfifo(images / "pipe.jpg")
    (images / "loop").symlink_to(images)
    (images / "nowhere.jpg").symlink_to("/nowhere")
    (images / "zero.jpg").symlink_to("/dev/zero")
    Path(os.fsdecode(os.fsencode(images) + b"/\xff\xfe.jpg")).write_bytes((images / "1.jpg").read_bytes())
    project.compile().warned("Z0454", "1 of 8 calibration images were left out", "nowhere.jpg")
