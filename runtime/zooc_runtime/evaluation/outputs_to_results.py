"""From a folder of outputs to a result file: the best classes of each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..classes import softmax, top_k
from ..errors import PackageError
from ..support.arrays import F32Array
from ..support.files import make_folder, replacing
from .ground_truth import Classes
from .npz import read_datalist, refuse_repeats
from .output_folder import read_outputs
from .result_file import RankedClass, result_lines

__all__ = ["decode_outputs", "looks_like_probabilities", "ranked"]


def decode_outputs(
    datalist: str,
    folder: Path,
    result: Path,
    classes: Classes,
    *,
    logits: bool | None,
    topk: int = 5,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Write `result`, all at once, from the outputs in `folder`, which belong to the entries in order.

    Args:
        datalist: the list that `bench` was given; its files need no longer be there.
        folder: `bench --path-output`.
        result: the file to write.
        classes: their number, if known, and names.
        logits: whether softmax is still to be applied; `None` looks at the first output; all must be alike.
        topk: lines an image; at most one a class.
        report: called with how many images are done, and of how many.

    Returns:
        How many images there are.

    Raises:
        PackageError: a list and a folder that do not belong together, damaged files, too few labels.
    """
    files = read_datalist(datalist, must_exist=False)
    refuse_repeats(files, datalist)
    guessed = logits is None
    make_folder(result.absolute().parent)
    parts: list[str] = []
    for done, (file, row) in enumerate(read_outputs(folder, files, classes.count), 1):
        if logits is None:
            logits = not looks_like_probabilities(row)
        elif guessed and logits == looks_like_probabilities(row):
            raise PackageError(
                f"{folder}: some outputs are probabilities and some are not (that of {file}); say what they "
                "are with --softmax (logits) or --no-softmax"
            )
        parts.append(result_lines(file, ranked(row, classes, topk, logits=logits)))
        report(done, len(files))
    with replacing(result) as stream:
        stream.write("".join(parts).encode("utf-8"))
    return len(files)


def ranked(row: F32Array, classes: Classes, topk: int, *, logits: bool) -> list[RankedClass]:
    """Return the best classes of one output, `float32 [classes]`, ranked before softmax rounds."""
    probabilities = softmax(row) if logits else row
    return [RankedClass(i, float(probabilities[i]), classes.label(i)) for i in top_k(row, topk)]


def looks_like_probabilities(row: F32Array) -> bool:
    """Tell whether no value is negative and they add up to 1, within what half precision rounds."""
    return bool(row.min() >= 0 and abs(float(row.sum(dtype=np.float64)) - 1) < 5e-3)
