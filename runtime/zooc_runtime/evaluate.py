"""Top-1 and top-5 over a folder of images with known classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import U8Array
from .errors import PackageError
from .images import list_images
from .model import Model
from .topk import top_k
from .truth import by_class_folders, by_label_file, by_synsets

__all__ = ["Evaluation", "evaluate", "truth_of"]


@dataclass
class Evaluation:
    """Counts so far. Hits are by class id: labels may repeat (ImageNet has two cranes)."""

    images: int = 0
    top1: int = 0
    top5: int = 0
    skipped: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Rates in percent, counts, and a message for each image skipped."""
        total = max(self.images, 1)
        rates = {"top1_rate": 100 * self.top1 / total, "top5_rate": 100 * self.top5 / total}
        return {**rates, "images": self.images, "top1": self.top1, "top5": self.top5, "skipped": self.skipped}


def truth_of(
    model: Model,
    folder: str | os.PathLike[str],
    synsets: str | os.PathLike[str] | None,
    label_file: str | os.PathLike[str] | None,
) -> list[tuple[Path, int]]:
    """The images of a folder with their class ids.

    Raises:
        PackageError: no images, or no ground truth for one.
    """
    root = Path(folder)
    images = list_images(root)
    if not images:
        raise PackageError(f"{root}: no images below this folder; check the path")
    if synsets is not None:
        ids = by_synsets(images, synsets, model.classes)
    elif label_file is not None:
        ids = by_label_file(images, root, label_file, model.classes)
    else:
        ids = by_class_folders(images, root, model.labels, model.classes)
    return list(zip(images, ids, strict=True))


def evaluate(
    model: Model, samples: Sequence[tuple[Path, int]], report: Callable[[Evaluation], None]
) -> Evaluation:
    """Runs all samples through the model in batches; unreadable images are skipped and counted.

    Args:
        model: the package.
        samples: images and class ids.
        report: called after every batch.

    Raises:
        PackageError: no image could be read.
    """
    result = Evaluation()
    for start in range(0, len(samples), model.batch_size):
        pixels: list[U8Array] = []
        truth = []
        for path, class_id in samples[start : start + model.batch_size]:
            try:
                pixels.append(model.pixels(path))
                truth.append(class_id)
            except PackageError as error:
                result.skipped.append(str(error))
        if pixels:
            scores = model.finish(model.run_tensor(np.stack(pixels)))
            for row, class_id in zip(scores, truth, strict=True):
                best = top_k(row, 5)
                result.images += 1
                result.top1 += best[0] == class_id
                result.top5 += class_id in best
        report(result)
    if not result.images:
        raise PackageError(f"none of the {len(samples)} images could be read; the first: {result.skipped[0]}")
    return result
