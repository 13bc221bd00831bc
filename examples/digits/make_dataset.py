"""Writes the digits example's images: real handwritten digits blended over real photographs, as JPEG files.

The digits are scikit-learn's 1797 scans of 8 x 8 pixels, the backgrounds its two sample photographs, the
blend is that of MNIST-M (Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016): per
channel the absolute difference of stroke and photograph. All of it lies inside scikit-learn, so nothing is
downloaded.

No test image shares its digit or any background pixel with a training image: digits are split by their index,
and each photograph is cut in two, its left half for training and its right half for testing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

try:
    import numpy as np
    import PIL
    import sklearn
    from numpy.typing import NDArray
    from PIL import Image
    from sklearn.datasets import load_digits, load_sample_images
except ImportError as missing:
    sys.exit(f"make_dataset.py needs {missing.name}: pip install 'zooc[demo]'")

__all__ = ["CROP", "SPLITS", "Composite", "Sources", "compose", "encode", "load_sources", "make_dataset"]

Split = Literal["train", "test"]

SEED = 20
_ORDER = np.random.default_rng(SEED).permutation(1797).tolist()
SPLITS: dict[Split, list[int]] = {"train": sorted(_ORDER[:797]), "test": sorted(_ORDER[797:])}
"""Indices into scikit-learn's digits. Its 13 writers occur on both sides, their single digits on one only."""

CROP = 64 / (64 + 32)
"""The part of the shorter side that `ECenterCrop(64)` keeps; digits are placed inside it."""

_STAMP = "dataset.json"
_MIN_CONTRAST = 60.0


@dataclass(frozen=True)
class Sources:
    """The raw material: `digits` uint8 `[1797, 8, 8]`, `classes` int `[1797]`, RGB `photos` of each split."""

    digits: NDArray[np.uint8]
    classes: NDArray[np.int64]
    photos: dict[Split, list[Image.Image]]


@dataclass(frozen=True)
class Composite:
    """An image before it is encoded, and `mask`, uint8 `[H, W]`, 0 wherever the photograph shows alone."""

    image: Image.Image
    mask: NDArray[np.uint8]


def load_sources() -> Sources:
    """Reads digits and photographs from scikit-learn and splits the photographs."""
    digits = load_digits()
    photos: dict[Split, list[Image.Image]] = {"train": [], "test": []}
    for pixels in load_sample_images().images:
        photo = Image.fromarray(pixels)
        middle = photo.width // 2
        photos["train"].append(photo.crop((0, 0, middle, photo.height)))
        photos["test"].append(photo.crop((middle, 0, photo.width, photo.height)))
    scans = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return Sources(scans, digits.target.astype(np.int64), photos)


def compose(
    digit: NDArray[np.uint8], photos: list[Image.Image], rng: np.random.Generator, warp: float = 1.0
) -> Composite:
    """Blends one digit over a random crop of a random photograph.

    The shorter side is drawn from 80 to 200 pixels, the aspect ratio from 1 to 1.6 either way. Background and
    colour are drawn again until the stroke stands out.

    Args:
        digit: uint8 `[8, 8]`, 255 is ink.
        photos: RGB photographs, each at least 320 x 320.
        rng: decides everything that is random.
        warp: scales rotation and shear; training uses more than 1.
    """
    short = int(rng.integers(80, 201))
    long = round(short * rng.uniform(1.0, 1.6))
    width, height = (short, long) if rng.random() < 0.5 else (long, short)
    mask = _stroke(digit, width, height, rng, warp)
    weight = mask.astype(np.float32)[..., None] / 255
    while True:
        patch = np.asarray(_patch(photos[rng.integers(len(photos))], width, height, rng), np.float32)
        colour = rng.uniform(128, 255, 3).astype(np.float32)
        blend = np.abs(patch - weight * colour)
        contrast = (np.abs(blend - patch) * weight).sum() / (3 * weight.sum())
        if contrast >= _MIN_CONTRAST:
            return Composite(Image.fromarray(np.round(blend).astype(np.uint8)), mask)


def _stroke(
    digit: NDArray[np.uint8], width: int, height: int, rng: np.random.Generator, warp: float
) -> NDArray[np.uint8]:
    """The digit enlarged, turned, sheared and placed inside the centre crop; uint8 `[height, width]`."""
    short = min(width, height)
    side = rng.uniform(0.38, 0.5) * short
    angle = math.radians(rng.uniform(-8, 8) * warp)
    shear = rng.uniform(-0.1, 0.1) * warp
    stretch = math.exp(rng.uniform(-0.1, 0.1))
    forward = (side / 8) * (
        np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        @ np.array([[stretch, shear], [0.0, 1 / stretch]])
    )
    room = np.maximum(CROP * short / 2 - np.abs(forward).sum(axis=1) * 4 - 1, 0.0)
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * room
    inverse = np.linalg.inv(forward)
    offset = np.array([6.0, 6.0]) - inverse @ centre
    padded = Image.fromarray(np.pad(digit, 2))
    matrix = (*inverse[0], offset[0], *inverse[1], offset[1])
    soft = padded.transform(
        (width, height), Image.Transform.AFFINE, tuple(map(float, matrix)), Image.Resampling.BICUBIC
    )
    # Enlarged 8 x 8 scans are blurs; a steeper ramp gives strokes back their edges.
    ramp = np.clip((np.asarray(soft, np.float32) - 64) * (255 / 96), 0, 255)
    mask: NDArray[np.uint8] = np.round(ramp).astype(np.uint8)
    return mask


def _patch(photo: Image.Image, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A random, possibly mirrored crop of `photo`, enlarged or reduced to `width` x `height`."""
    zoom = rng.uniform(0.5, min(1.5, photo.width / width, photo.height / height))
    w, h = width * zoom, height * zoom
    x, y = rng.uniform(0, photo.width - w), rng.uniform(0, photo.height - h)
    patch = photo.resize((width, height), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
    return patch.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else patch


def encode(image: Image.Image, rng: np.random.Generator) -> bytes:
    """`image` as a JPEG file of quality 75 to 95."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(75, 96)))
    return buffer.getvalue()


def make_dataset(folder: Path) -> bool:
    """Writes `folder/{train,test}/CLASS/INDEX.jpg`, one composite a digit; the same bytes whenever it runs.

    Returns:
        Whether anything was written; `False` when the folder already holds this very dataset.

    Raises:
        FileExistsError: the folder holds something that this program did not make.
        OSError: the folder cannot be written.
    """
    recipe = {
        "made_by": "zooc examples/digits/make_dataset.py",
        "script_sha256": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        "numpy": np.__version__,
        "Pillow": PIL.__version__,
        "scikit-learn": sklearn.__version__,
    }
    stamp = folder / _STAMP
    previous = _read_stamp(folder)
    if {k: previous.get(k) for k in recipe} == recipe and previous.get("files") == _listing(folder):
        return False
    for split in SPLITS:
        shutil.rmtree(folder / split, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")  # ours, though not complete yet
    sources = load_sources()
    for split, indices in SPLITS.items():
        for name in sorted({str(c) for c in sources.classes.tolist()}):
            (folder / split / name).mkdir(parents=True)
        for index in indices:
            rng = np.random.default_rng([SEED, index])
            composite = compose(sources.digits[index], sources.photos[split], rng)
            path = folder / split / str(sources.classes[index]) / f"{index:04}.jpg"
            path.write_bytes(encode(composite.image, rng))
    stamp.write_text(json.dumps({**recipe, "files": _listing(folder)}, indent=1) + "\n", encoding="utf-8")
    return True


def _read_stamp(folder: Path) -> dict[str, Any]:
    """What an earlier run left in `folder`; empty when there was none."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; name a folder")
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
        ours = isinstance(stamp, dict) and "made_by" in stamp
    except (FileNotFoundError, ValueError):
        stamp, ours = {}, False
    if not ours and folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty and was not made by this program; name another folder")
    return stamp if ours else {}


def _listing(folder: Path) -> dict[str, int]:
    """Size in bytes of each image, by its path relative to `folder`."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for split in SPLITS
        for path in sorted((folder / split).rglob("*.jpg"))
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    default = Path(__file__).resolve().parent / "data"
    parser = argparse.ArgumentParser(
        description="Writes the digits example's train/ and test/ images (a few seconds)."
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=default, help="default: data/ beside this script"
    )
    folder: Path = parser.parse_args(arguments).folder
    start = time.perf_counter()
    try:
        written = make_dataset(folder)
    except OSError as problem:
        print(f"make_dataset.py: {problem}", file=sys.stderr)
        return 1
    counts = ", ".join(f"{len(indices)} {split}" for split, indices in SPLITS.items())
    note = f"written in {time.perf_counter() - start:.1f} s" if written else "up to date"
    print(f"{folder}: {counts} images, {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
