"""Eight threads on one loaded model: the answers of one thread, and memory that does not grow.

`benchmarks/threads.py` does the same for a minute with any package.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc_runtime import open_package

STATM = Path("/proc/self/statm")


def _resident_mb() -> float:
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@pytest.mark.skipif(not STATM.exists(), reason="this system does not tell a process's memory")
def test_eight_threads_give_one_threads_answers_in_flat_memory(package: Path, tmp_path: Path) -> None:
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (200 + 40 * i, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.jpg")
    paths = sorted(tmp_path.glob("*.jpg"))
    model = open_package(package, threads=1, batch_size=1)
    alone = [model(path).probabilities for path in paths]
    differing: list[Path] = []
    sizes: list[float] = []
    end = time.monotonic() + 5

    def work(number: int) -> None:
        while time.monotonic() < end:
            for path, expected in zip(paths, alone, strict=True):
                answer = model(path) if number % 2 else model.submit(path).result()
                if not np.array_equal(answer.probabilities, expected):
                    differing.append(path)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sizes.append(_resident_mb())
        time.sleep(0.05)
    model.close()
    assert not differing
    warm, late = sizes[len(sizes) // 3 : len(sizes) // 2], sizes[-len(sizes) // 4 :]
    assert np.median(late) < np.median(warm) + 8
