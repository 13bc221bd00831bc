"""Pictures to calibrate and compare with: crops of the photographs that two packages bring, and of text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["PHOTOGRAPHS_NEED", "write_pages", "write_photographs", "write_text_lines"]

PHOTOGRAPHS_NEED = {"sklearn": "scikit-learn", "skimage": "scikit-image"}
"""The modules that have the photographs, and their packages."""

_SMALLEST = 250
"""Pixels of a photograph's shorter side; what scikit-image brings smaller is no photograph."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def write_photographs(folder: Path, count: int, seed: int) -> None:
    """Write `count` square crops of 160 to 400 pixels, some of them mirrored."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for number, crop in enumerate(_crops(rng, count, lambda side: (side, side))):
        crop.save(folder / f"{number:03}.png")


def write_text_lines(folder: Path, count: int, seed: int) -> None:
    """Write `count` lines of random letters on crops four times as wide as high, every other upside down."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for number, crop in enumerate(_crops(rng, count, lambda side: (side, side // 4))):
        line = crop.resize((384, 96))
        letters = "".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), rng.integers(5, 10)))
        font = ImageFont.load_default(int(rng.integers(45, 75)))
        ink = tuple(int(value) for value in rng.integers(0, 256, 3))
        ImageDraw.Draw(line).text((192, 48), letters, ink, font, anchor="mm")
        (line.rotate(180) if number % 2 else line).save(folder / f"{number:03}.png")


def write_pages(folder: Path, count: int, seed: int) -> None:
    """Write `count` pages of random words in several sizes, each turned by a multiple of 90 degrees."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for number in range(count):
        paper = tuple(int(value) for value in rng.integers(190, 256, 3))
        page = Image.new("RGB", (480, 640), paper)
        draw, place = ImageDraw.Draw(page), 30
        while place < 600:
            size = int(rng.choice([13, 17, 22, 34]))
            words = [_word(rng) for _ in range(int(rng.integers(2, 9)))]
            ink = tuple(int(value) for value in rng.integers(0, 110, 3))
            draw.text((int(rng.integers(15, 60)), place), " ".join(words), ink, ImageFont.load_default(size))
            place += round(1.5 * size) + int(rng.integers(0, 12))
        page.rotate(90 * (number % 4), expand=True).save(folder / f"{number:03}.png")


def _word(rng: np.random.Generator) -> str:
    return "".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), rng.integers(1, 10)))


def _crops(
    rng: np.random.Generator, count: int, size_of: Callable[[int], tuple[int, int]]
) -> Iterator[Image.Image]:
    """Crops of all photographs in turn; `size_of` makes width and height of a side's length."""
    photographs = _photographs()
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        largest = min(400, *photograph.shape[:2])
        width, height = size_of(int(rng.integers(160, largest + 1)))
        top = rng.integers(0, photograph.shape[0] - height + 1)
        left = rng.integers(0, photograph.shape[1] - width + 1)
        crop = photograph[top : top + height, left : left + width]
        yield Image.fromarray(np.ascontiguousarray(crop[:, ::-1] if rng.integers(2) else crop))


@functools.cache
def _photographs() -> list[NDArray[np.uint8]]:
    """RGB, uint8 `[H, W, 3]`: scikit-learn's two, and the colour images in scikit-image's package."""
    import skimage.data
    from sklearn.datasets import load_sample_images

    found = list(load_sample_images().images)
    for path in sorted(Path(skimage.data.__file__).parent.iterdir()):
        if path.suffix in (".jpg", ".jpeg", ".png"):
            with Image.open(path) as image:
                if image.mode in ("RGB", "RGBA") and min(image.size) >= _SMALLEST:
                    found.append(np.asarray(image.convert("RGB")))
    return found
