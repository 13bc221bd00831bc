"""Pictures to calibrate and compare with: crops of scikit-learn's two photographs, plain or with text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["PHOTOGRAPHS_NEED", "write_photographs", "write_text_lines"]

PHOTOGRAPHS_NEED = {"sklearn": "scikit-learn"}
"""The module that has the photographs, and its package."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def write_photographs(folder: Path, count: int, seed: int) -> None:
    """Write `count` square crops of 200 to 400 pixels, some of them mirrored."""
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


def _crops(
    rng: np.random.Generator, count: int, size_of: Callable[[int], tuple[int, int]]
) -> Iterator[Image.Image]:
    """Crops of both photographs in turn; `size_of` makes width and height of a side's length."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        width, height = size_of(int(rng.integers(200, 401)))
        top = rng.integers(0, photograph.shape[0] - height + 1)
        left = rng.integers(0, photograph.shape[1] - width + 1)
        crop = photograph[top : top + height, left : left + width]
        yield Image.fromarray(np.ascontiguousarray(crop[:, ::-1] if rng.integers(2) else crop))
