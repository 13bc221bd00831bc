"""How many images a second `--verify-images` hashes, beside looking at names, sizes and times alone.

python benchmarks/image_hashes.py [--count 2000] [--bytes 110000]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from zooc.calibration.image_hashes import facts_of
from zooc.calibration.images import CalibrationImages
from zooc.deployment import ImageSet


def main() -> None:
    """Write files of random bytes and time both, in turn, three times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000, help="files")
    parser.add_argument("--bytes", type=int, default=110_000, help="bytes of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for index in range(options.count):
            (Path(folder) / f"{index}.jpg").write_bytes(os.urandom(options.bytes))
        for _ in range(3):
            images = CalibrationImages.find(ImageSet(Path(folder)), verify=True)
            print(f"names, sizes, times: {_rate(options.count, partial(_look, images)):9.0f} images/s")
            print(f"contents:            {_rate(options.count, images.contents_sha256):9.0f} images/s")


def _look(images: CalibrationImages) -> None:
    for path in images.paths:
        facts_of(path, with_time=True)


def _rate(count: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
