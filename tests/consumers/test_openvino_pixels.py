"""Preludes in OpenVINO: at most two grey levels from ONNX Runtime's pixels, on pictures of extremes.

One pass of a resize is off by at most one where a float32 sum ends on the other side of a rounding; the
second pass may add another.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from zooc.deployment import Normalize, Preprocess
from zooc.preprocessing.nv12 import as_image_input
from zooc.preprocessing.prelude import build_prelude
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Crop,
    ECenterCrop,
    Grayscale,
    Letterbox,
    Pad,
    Resize,
    ResizeCv,
    ResizeTorch,
    Step,
)

openvino = pytest.importorskip("openvino")

SIDE = 64
STEPS: dict[str, tuple[Step, ...]] = {
    "ECenterCrop": (ECenterCrop(SIDE),),
    "bilinear": (Resize(72, "bilinear"), CenterCrop(SIDE, SIDE)),
    "bicubic": (Resize((SIDE, SIDE), "bicubic"),),
    "lanczos": (Resize((SIDE, SIDE), "lanczos"),),
    "hamming": (Resize((SIDE, SIDE), "hamming"),),
    "nearest": (Resize((SIDE, SIDE), "nearest"),),
    "Crop": (Crop(1, 2, SIDE, SIDE),),
    "Pad": (CenterCrop(60, 60), Pad(2, 2, 2, 2, (0, 9, 0), "reflect")),
    "opencv": (ResizeCv(SIDE, SIDE),),
    "torch, bilinear": (ResizeTorch(72), CenterCrop(SIDE, SIDE)),
    "torch, bicubic": (ResizeTorch((SIDE, SIDE), "bicubic"),),
    "torch, bilinear, plain": (ResizeTorch(72, antialias=False), CenterCrop(SIDE, SIDE)),
    "torch, bicubic, plain": (ResizeTorch((SIDE, SIDE), "bicubic", antialias=False),),
    "Letterbox": (Letterbox(SIDE, SIDE, "bilinear", (114, 114, 114)),),
    "Grayscale": (Grayscale(), Resize((SIDE, SIDE), "bicubic")),
    "Grayscale, last": (Resize(72, "bilinear"), CenterCrop(SIDE, SIDE), Grayscale(3)),
}
SIZES = ((480, 640), (97, 131), (240, 320), (131, 97), (66, 66), (700, 80), (183, 216), (150, 213), (99, 250))
"""Of some the crop of `ECenterCrop` ends on a tie."""


def pictures() -> list[np.ndarray]:
    """White, black, blocks of both, and noise: sums that overshoot, and sums that end on a rounding."""
    random = np.random.default_rng(0)
    found = []
    for height, width in SIZES:
        blocks = random.integers(0, 2, (height // 9 + 1, width // 9 + 1, 3), dtype=np.uint8) * 255
        blocks = blocks.repeat(9, axis=0).repeat(9, axis=1)[:height, :width]
        found += [blocks, random.integers(0, 256, (height, width, 3), dtype=np.uint8)]
    return [*found, np.full((200, 300, 3), 255, np.uint8), np.zeros((200, 300, 3), np.uint8)]


@pytest.mark.parametrize("precision", ["f32", None])
@pytest.mark.parametrize("source", ["rgb", "nv12-bt601"])
@pytest.mark.parametrize("name", sorted(STEPS))
def test_pixels_are_near(name: str, source: str, precision: str | None) -> None:
    prelude = build_prelude(Preprocess(STEPS[name], Normalize(), source), SIDE, SIDE, "pillow-13")
    file = prelude.SerializeToString()
    session = onnxruntime.InferenceSession(file)
    core = openvino.Core()
    settings = {} if precision is None else {"INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(core.read_model(file, b""), "CPU", settings)
    for picture in pictures():
        image = as_image_input(prelude, picture)
        wanted = session.run(None, {"image": image})[0].astype(int)
        got = compiled([image])[0].astype(int)
        difference = np.abs(got - wanted)
        assert difference.max() <= 2, picture.shape
        assert np.count_nonzero(difference > 1) <= 2, picture.shape
