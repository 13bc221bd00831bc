"""Golden inputs and outputs: what each stage answers here, replayed by `verify` on any machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.calibration.histogram import NotFiniteError
from zooc.deployment import Preprocess
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.interface import input_of, output_of
from zooc.ir.session import open_session
from zooc.preprocessing.nv12 import as_image_input
from zooc_runtime.preprocessing.pillow_steps import reference_pixels

__all__ = [
    "GOLDEN_SIZES",
    "Golden",
    "check_against_pillow",
    "logits_tolerance",
    "make_goldens",
    "record",
    "synthetic_image",
    "synthetic_input",
]

Array = npt.NDArray[Any]

GOLDEN_SIZES = ((240, 320), (131, 97))
"""Height and width of the golden images."""

_CHECKED_SIZES = (*GOLDEN_SIZES, (375, 500), (64, 64), (33, 700), (700, 33), (1080, 1920), (480, 360))

_TOLERANCE = {"int8": 0.05, "fp16": 1e-3, "fp32": 1e-3}


@dataclass(frozen=True)
class Golden:
    """One golden run: the arrays at the boundaries by name: `image`, `pixels`, `logits`, ..."""

    index: int
    values: dict[str, Array]

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield pairs for `goldens.npz`."""
        for name, value in self.values.items():
            yield f"{name}_{self.index}", value


def logits_tolerance(dtype: str) -> float:
    """Return the relative L2 distance that logits may have on another machine.

    Another CPU adds in another order; in int8 a sum on the edge of rounding then moves by a whole step.
    """
    return _TOLERANCE[dtype]


def synthetic_image(height: int, width: int, seed: int = 0, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Return a reproducible colourful picture, smooth with some noise: uint8 `[height, width, channels]`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(6.3 * (a * x + b * y) + c) for a, b, c in rng.uniform(-3, 3, (channels, 3))]
    noisy = 127.5 + 90 * np.stack(waves, axis=-1) + rng.normal(0, 12, (height, width, channels))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def synthetic_input(prelude: onnx.ModelProto, height: int, width: int, seed: int = 0) -> Array:
    """Return a synthetic image as the prelude takes it: of its channels, or a frame."""
    *_, last = input_of(prelude).sizes
    return as_image_input(prelude, synthetic_image(height, width, seed, last or 3))


def make_goldens(
    prelude: onnx.ModelProto | None, body: onnx.ModelProto, postlude: onnx.ModelProto | None
) -> list[Golden]:
    """Run every stage on synthetic inputs, single-threaded, so that two compiles agree to the last bit.

    Raises:
        ZoocError: Z0411, the network answers with values that are NaN or infinite.
    """
    if prelude is None:
        return record(None, body, postlude, (_input(body, index) for index in range(len(GOLDEN_SIZES))))
    images = (synthetic_input(prelude, *size, index) for index, size in enumerate(GOLDEN_SIZES))
    return record(prelude, body, postlude, images)


def record(
    prelude: onnx.ModelProto | None,
    body: onnx.ModelProto,
    postlude: onnx.ModelProto | None,
    inputs: Iterable[Array],
) -> list[Golden]:
    """Return what every stage answers on these inputs of the first one.

    Raises:
        ZoocError: Z0411, the network answers with values that are NaN or infinite.
    """
    stages = [stage for stage in (prelude, body, postlude) if stage is not None]
    sessions = [open_session(stage, threads=1) for stage in stages]
    goldens = []
    for index, first in enumerate(inputs):
        values: dict[str, Array] = {input_of(stages[0]).name: first}
        for stage, session in zip(stages, sessions, strict=True):
            source = input_of(stage)
            given = values[source.name]
            if stage is not prelude and source.batch > 1:
                given = np.repeat(given, source.batch, axis=0)
            values[output_of(stage).name] = session.run(None, {source.name: given})[0][:1]
        logits = output_of(body).name
        if not np.isfinite(values[logits]).all():
            raise NotFiniteError(logits, values[logits]).of(body)
        goldens.append(Golden(index, values))
    return goldens


def check_against_pillow(prelude: onnx.ModelProto, preprocess: Preprocess) -> int:
    """Compare the prelude with Pillow on images of several sizes.

    Returns:
        How many images were compared; all were equal on every pixel.

    Raises:
        ZoocError: Z0901, a pixel differs.
    """
    session = open_session(prelude, threads=1)
    for index, (height, width) in enumerate(_CHECKED_SIZES):
        image = synthetic_input(prelude, height, width, index)
        pixels = session.run(None, {"image": image})[0][0]
        wanted = reference_pixels(image, preprocess.source, preprocess.steps)
        if not np.array_equal(pixels, wanted):
            same_shape = pixels.shape == wanted.shape
            differing = int(np.count_nonzero(pixels != wanted)) if same_shape else pixels.size
            raise ZoocError(
                error(
                    "Z0901",
                    f"the compiled preprocessing differs from Pillow's in {differing} values "
                    f"of a {width} x {height} image",
                    preprocess.span,
                    hint="this is a bug in zooc; please report it with the `preprocess` block",
                )
            )
    return len(_CHECKED_SIZES)


def _input(body: onnx.ModelProto, index: int) -> npt.NDArray[np.float32]:
    sizes = (size or 0 for size in input_of(body).sizes[1:])
    return np.random.default_rng(index).standard_normal((1, *sizes)).astype(np.float32)
