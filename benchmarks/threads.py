"""Many threads call one loaded model: their answers must be those of one thread, and memory must stay flat.

    python benchmarks/threads.py build/demo/digits PHOTOS --seconds 60 --engine onnxruntime

Odd threads call the model, even ones submit. Memory is the process's resident size: the mean of the last
quarter of the run against that of the third (before that the engines fill their arenas and meet each batch
size). Exits with 1 if an answer differs or memory grows by more than 1 %.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
import time
from pathlib import Path
from statistics import mean

import numpy as np

from zooc_runtime import open_package
from zooc_runtime.data.image_folder import list_images
from zooc_runtime.package.manifest import find_package

__all__ = ["hammer", "main", "resident_mb"]


def resident_mb() -> float:
    """This process's resident memory, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def hammer(package: Path, photos: Path, engine: str, threads: int, seconds: float) -> dict[str, float]:
    """Runs `threads` threads on one model for `seconds`; counts answers and those that differ."""
    model = open_package(find_package(package), engine)
    paths = list_images(photos)
    expected = [model(path).probabilities for path in paths]
    answers, different = itertools.count(), itertools.count()
    end = time.monotonic() + seconds

    def work(first: int) -> None:
        index = first
        while time.monotonic() < end:
            which = index % len(paths)
            result = model(paths[which]) if first % 2 else model.submit(paths[which]).result()
            next(answers)
            if not np.array_equal(result.probabilities, expected[which]):
                next(different)
            index += 1

    workers = [threading.Thread(target=work, args=(first,)) for first in range(threads)]
    for worker in workers:
        worker.start()
    sizes = []
    while any(worker.is_alive() for worker in workers):
        sizes.append(resident_mb())
        time.sleep(seconds / 200)
    model.close()
    quarter = len(sizes) // 4
    early, late = mean(sizes[-2 * quarter : -quarter]), mean(sizes[-quarter:])
    return {
        "answers": next(answers),
        "different": next(different),
        "early_mb": early,
        "late_mb": late,
        "peak_mb": max(sizes),
        "growth_percent": 100 * (late / early - 1),
    }


def main() -> int:
    """Runs it and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    found = hammer(options.package, options.photos, options.engine, options.threads, options.seconds)
    sys.stdout.write("".join(f"{name:>15} {value:.1f}\n" for name, value in found.items()))
    return int(found["different"] > 0 or found["growth_percent"] > 1)


if __name__ == "__main__":
    sys.exit(main())
