"""Measures the float network: top-1 on the held-back images, and the time an image takes on one thread.

It preprocesses with Pillow and numpy alone and knows nothing of zooc: what it prints is what the compiled
package is held against.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

__all__ = ["MEAN", "STD", "e_center_crop", "normalize", "top1"]

HERE = Path(__file__).resolve().parent
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def e_center_crop(image: Image.Image, size: int = 64) -> NDArray[np.uint8]:
    """ResNeSt's crop: a centred square, `size / (size + 32)` of the shorter side, resized bicubically.

    Returns:
        uint8 `[size, size, 3]`.
    """
    image = image.convert("RGB")
    side = size / (size + 32) * min(image.size)
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


def normalize(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """torchvision's `ToTensor` and `Normalize`: uint8 `[..., H, W, 3]` to float32 `[..., 3, H, W]`."""
    scaled = (pixels.astype(np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(np.moveaxis(scaled, -1, -3))


def top1(session: ort.InferenceSession, files: list[Path], batch: int = 50) -> float:
    """The part of `files` whose class, the number that their folder is named after, scores highest."""
    right = 0
    for start in range(0, len(files), batch):
        chunk = files[start : start + batch]
        inputs = normalize(np.stack([e_center_crop(Image.open(f)) for f in chunk]))
        (logits,) = session.run(None, {"input": inputs})
        right += sum(int(f.parent.name) == best for f, best in zip(chunk, logits.argmax(axis=1), strict=True))
    return right / len(files)


def median_ms(session: ort.InferenceSession, runs: int = 300) -> float:
    """Median time of one image through the network alone, in milliseconds."""
    feed = {"input": normalize(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8))}
    times = []
    for _ in range(runs + 20):
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return float(np.median(times[20:])) * 1e3


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Top-1 and latency of the float network.")
    parser.add_argument("--model", type=Path, default=HERE / "digits_resnest.onnx")
    parser.add_argument("--data", type=Path, default=HERE / "data" / "test", help="folder of class folders")
    arguments = parser.parse_args()
    files = sorted(arguments.data.glob("*/*.jpg"))
    if not files:
        print(f"evaluate.py: no */*.jpg in {arguments.data}; run make_dataset.py first", file=sys.stderr)
        return 1
    if not arguments.model.is_file():
        print(f"evaluate.py: {arguments.model} does not exist; run train.py first", file=sys.stderr)
        return 1
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(arguments.model), options, providers=["CPUExecutionProvider"])
    print(f"top-1 on {len(files)} images: {top1(session, files):.4f}")
    print(f"latency, batch 1, 1 thread: {median_ms(session):.2f} ms (median)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
