"""Time the compiled prelude against Pillow, in turn, over image sizes from 100 x 75 to 4000 x 3000.

    python benchmarks/prelude.py [--rounds 15] [--threads 1] [--format human|json]

Both do the same work on a decoded image: crop and resize to 224 x 224, channels first. Each round times both,
one after the other; the table gives medians and the ratio Pillow / prelude (above 1: the prelude is faster).
Every size is also compared pixel by pixel.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import PIL

from zooc.deployment import Normalize, Preprocess
from zooc.ir.session import open_session
from zooc.preprocessing.prelude import build_prelude, resample_order_of_pillow
from zooc.verification.goldens import synthetic_image
from zooc_runtime.preprocessing.pillow_steps import reference_pixels
from zooc_runtime.preprocessing.steps import CenterCrop, ECenterCrop, Resize

SIZES = ((100, 75), (320, 240), (500, 375), (640, 480), (1280, 720), (1920, 1080), (4000, 3000))
PIPELINES = {
    "ECenterCrop(224)": (ECenterCrop(224),),
    "Resize(256), CenterCrop(224)": (Resize(256), CenterCrop(224, 224)),
    "Resize(235, bicubic), CenterCrop(224)": (Resize(235, "bicubic"), CenterCrop(224, 224)),
}


def main() -> int:
    """Print one table a pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of the prelude; Pillow always uses one")
    parser.add_argument("--format", choices=("human", "json"), default="human")
    options = parser.parse_args()
    rows = []
    for name, steps in PIPELINES.items():
        preprocess = Preprocess(steps, Normalize())
        model = build_prelude(preprocess, 224, 224, resample_order_of_pillow(PIL.__version__))
        session = open_session(model, threads=options.threads)
        if options.format == "human":
            print(f"\n{name}, Pillow {PIL.__version__}\n    size        Pillow ms  prelude ms  ratio")
        for width, height in SIZES:
            image = synthetic_image(height, width)
            wanted = reference_pixels(image, preprocess.source, preprocess.steps)
            if not np.array_equal(session.run(None, {"image": image})[0][0], wanted):
                print(f"{name} at {width} x {height} differs from Pillow", file=sys.stderr)
                return 1
            theirs, ours = in_turn(
                options.rounds,
                lambda i=image, p=preprocess: reference_pixels(i, p.source, p.steps),
                lambda i=image, s=session: s.run(None, {"image": i}),
            )
            rows.append({"pipeline": name, "width": width, "height": height, "pillow_ms": theirs, "ms": ours})
            if options.format == "human":
                print(f"{width:5} x {height:4} {theirs:12.2f} {ours:11.2f} {theirs / ours:6.2f}")
    if options.format == "json":
        print(json.dumps(rows, indent=2))
    return 0


def in_turn(rounds: int, *calls: Callable[[], Any]) -> list[float]:
    """Median milliseconds of each call, timed one after the other in every round; two rounds warm up."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 2):
        for taken, call in zip(times, calls, strict=True):
            start = time.perf_counter()
            call()
            if number >= 2:
                taken.append(1e3 * (time.perf_counter() - start))
    return [median(taken) for taken in times]


if __name__ == "__main__":
    sys.exit(main())
