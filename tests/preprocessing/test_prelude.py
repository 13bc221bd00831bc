"""The prelude equals Pillow on every pixel, whatever the image, the sizes and the operators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import PIL
import PIL.Image
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zooc.deployment import Normalize, Preprocess
from zooc.ir.builder import Builder
from zooc.preprocessing.prelude import (
    ResampleOrder,
    build_prelude,
    ecenter_box,
    resample_order_of_pillow,
)
from zooc_runtime.preprocessing.pillow_steps import reference_pixels
from zooc_runtime.preprocessing.sizes import ecenter_crop_box
from zooc_runtime.preprocessing.steps import CenterCrop, ECenterCrop, Pad, Resize, Step, SwapChannels

ORDER = resample_order_of_pillow(PIL.__version__)
INTERPOLATIONS = ["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
Pixels = npt.NDArray[np.uint8]


def run(
    steps: tuple[Step, ...], height: int, width: int, image: Pixels, order: ResampleOrder = ORDER
) -> Pixels:
    model = build_prelude(Preprocess(steps, Normalize()), height, width, order)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    result: Pixels = session.run(None, {"image": image})[0]
    return result[0]


def picture(height: int, width: int, seed: int, kind: str = "noise") -> Pixels:
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "extremes":
        return (255 * rng.integers(0, 2, (height, width, 3))).astype(np.uint8)
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return ramp.astype(np.uint8)


def assert_equals_pillow(steps: tuple[Step, ...], height: int, width: int, image: Pixels) -> None:
    wanted = reference_pixels(image, "rgb", steps)
    assert wanted.shape == (3, height, width)
    np.testing.assert_array_equal(run(steps, height, width, image), wanted)


sides = st.one_of(st.integers(1, 24), st.integers(1, 700))
images = st.builds(
    picture, sides, sides, st.integers(0, 2**32 - 1), st.sampled_from(["noise", "extremes", "ramp"])
)
targets = st.integers(1, 300)
interpolations = st.sampled_from(INTERPOLATIONS)
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(image=images, height=targets, width=targets, interpolation=interpolations)
@example(image=picture(332, 514, 1), height=60, width=90, interpolation="box")
@example(image=picture(1, 1, 1), height=300, width=1, interpolation="lanczos")
def test_resize_to_a_fixed_size_equals_pillow(
    image: Pixels, height: int, width: int, interpolation: Any
) -> None:
    assert_equals_pillow((Resize((height, width), interpolation),), height, width, image)


@relaxed
@given(image=images, size=st.integers(2, 300), crop=st.tuples(targets, targets), interpolation=interpolations)
def test_resize_of_the_shorter_side_and_center_crop_equal_pillow(
    image: Pixels, size: int, crop: tuple[int, int], interpolation: Any
) -> None:
    steps = (Resize(size, interpolation), CenterCrop(*crop))
    assert_equals_pillow(steps, *crop, image)


@relaxed
@given(image=images, size=st.integers(20, 200), extra=st.integers(1, 80), crop=st.integers(1, 200))
def test_max_size_equals_pillow(image: Pixels, size: int, extra: int, crop: int) -> None:
    height, width, _ = image.shape
    if int((size + extra) * min(height, width) / max(height, width)) < 1:
        return  # Pillow refuses a side without pixels
    steps = (Resize(size, "bilinear", max_size=size + extra), CenterCrop(crop, crop))
    assert_equals_pillow(steps, crop, crop, image)


@relaxed
@given(image=images, size=st.integers(40, 330))
def test_ecenter_crop_equals_pillow(image: Pixels, size: int) -> None:
    assert_equals_pillow((ECenterCrop(size),), size, size, image)


@relaxed
@given(image=images, crop=st.tuples(targets, targets))
def test_center_crop_alone_pads_as_torchvision_does(image: Pixels, crop: tuple[int, int]) -> None:
    assert_equals_pillow((CenterCrop(*crop),), *crop, image)


@relaxed
@given(
    image=images,
    pads=st.tuples(*[st.integers(0, 40)] * 4),
    mode=st.sampled_from(["constant", "edge", "reflect", "symmetric"]),
    fill=st.tuples(*[st.integers(0, 255)] * 3),
    swap=st.booleans(),
)
@example(image=picture(1, 3, 0), pads=(9, 9, 9, 9), mode="reflect", fill=(0, 0, 0), swap=False)
@example(image=picture(2, 3, 0), pads=(9, 9, 9, 9), mode="symmetric", fill=(0, 0, 0), swap=True)
def test_pad_equals_torchvision(
    image: Pixels, pads: tuple[int, int, int, int], mode: Any, fill: tuple[int, int, int], swap: bool
) -> None:
    before: tuple[Step, ...] = (SwapChannels(),) if swap else ()
    height, width = image.shape[0] + pads[1] + pads[3], image.shape[1] + pads[0] + pads[2]
    assert_equals_pillow((*before, Pad(*pads, fill=fill, mode=mode)), height, width, image)


@relaxed
@given(image=images, seed=st.integers(0, 2**16))
@example(image=picture(1, 339, 866), seed=9466)  # once took 24 GB
def test_a_chain_of_steps_equals_pillow(image: Pixels, seed: int) -> None:
    rng = np.random.default_rng(seed)
    interpolation: Any = INTERPOLATIONS[seed % len(INTERPOLATIONS)]
    steps: tuple[Step, ...] = (
        Resize(int(rng.integers(8, 120)), "bicubic"),
        Pad(*(int(p) for p in rng.integers(0, 9, 4)), fill=(1, 2, 3)),
        SwapChannels(),
        CenterCrop(50, 70),
        Resize((33, 44), interpolation),
    )
    assert_equals_pillow(steps, 33, 44, image)


@pytest.mark.parametrize("height, width", [(20, 20000), (20000, 20), (1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes_equal_pillow(height: int, width: int) -> None:
    image = picture(height, width, 5)
    assert_equals_pillow((ECenterCrop(224),), 224, 224, image)
    assert_equals_pillow((Resize((64, 64), "lanczos"),), 64, 64, image)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS[1:])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.9, 2.4, 3.1, 12.7])
def test_float64_and_digits_both_equal_pillow(interpolation: Any, scale: float) -> None:
    """Pixels of 0 and 255 only, so that the negative lobes overshoot as far as they can."""
    image = picture(round(60 * scale), round(80 * scale), 8, "extremes")
    assert_equals_pillow((Resize((60, 80), interpolation),), 60, 80, image)


def test_narrow_bands_are_multiplied_in_float64_and_wide_ones_in_digits(tmp_path: Path) -> None:
    model = build_prelude(Preprocess((Resize((64, 64)),), Normalize()), 64, 64, "horizontal-first")
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "run")
    # ONNX Runtime makes the scaling of the weights a part of their product, which it then calls FusedMatMul.
    for side, product, other in ((96, "FusedMatMul", "MatMulInteger"), (640, "MatMulInteger", "FusedMatMul")):
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        session.run(None, {"image": picture(side, side, 9)})
        events = json.loads(Path(session.end_profiling()).read_text())
        operators = [e["args"].get("op_name") for e in events if e["cat"] == "Node"]
        assert operators.count(product) == 2
        assert not {other, "MatMul"} & set(operators)


def test_only_the_pixels_that_a_crop_keeps_are_computed() -> None:
    """The whole resized image would have 256000 x 256 pixels; one axis in float64 alone 4 GB."""
    image = picture(20, 20000, 6)
    resized = run((Resize(256, "bilinear"), CenterCrop(224, 224)), 224, 224, image)
    # Scaling is local: the same crop out of the middle of the image, resized, is the same.
    middle = image[:, 9900:10100]
    wanted = reference_pixels(middle, "rgb", (Resize(256, "bilinear"), CenterCrop(224, 224)))
    np.testing.assert_array_equal(resized, wanted)


def test_the_order_of_passes_is_that_of_pillows_version() -> None:
    assert resample_order_of_pillow("12.1.0") == "horizontal-first"
    assert resample_order_of_pillow("13.0.0") == "pillow-13"
    tall = picture(400, 60, 7, "extremes")
    steps = (Resize((30, 45), "bicubic"),)
    differs = run(steps, 30, 45, tall, "horizontal-first") != run(steps, 30, 45, tall, "pillow-13")
    assert differs.any(), "an image that shrinks much in height must tell the two orders apart"
    wide = picture(60, 400, 7, "extremes")
    np.testing.assert_array_equal(
        run(steps, 30, 45, wide, "horizontal-first"), run(steps, 30, 45, wide, "pillow-13")
    )


def test_all_operators_are_of_the_default_domain() -> None:
    model = build_prelude(
        Preprocess((Resize(256, "lanczos"), CenterCrop(224, 224)), Normalize()), 224, 224, ORDER
    )
    assert {node.domain for node in model.graph.node} == {""}
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    assert all(node.name.startswith("prelude/") for node in model.graph.node)
    assert all(i.name.startswith("prelude/") for i in model.graph.initializer)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(image=images, size=st.integers(2, 300), crop=targets, interpolation=interpolations)
def test_the_prelude_equals_torchvision_itself(
    image: Pixels, size: int, crop: int, interpolation: str
) -> None:
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    mode = transforms.InterpolationMode(interpolation)
    pipeline = transforms.Compose([transforms.Resize(size, mode), transforms.CenterCrop(crop)])
    wanted = np.asarray(pipeline(PIL.Image.fromarray(image))).transpose(2, 0, 1)
    steps: tuple[Step, ...] = (Resize(size, interpolation), CenterCrop(crop, crop))  # type: ignore[arg-type]
    np.testing.assert_array_equal(run(steps, crop, crop, image), wanted)


@pytest.mark.parametrize("size", [17, 48, 64, 96, 224, 256, 288, 299, 1000])
def test_the_box_of_ecenter_crop_is_pythons(size: int) -> None:
    """In integers, for all sizes but those whose quotient float64 rounds too coarsely (1000)."""
    g = Builder()
    g.op("Concat", *ecenter_box(g, "size", size), out="box", axis=0)
    model = g.model([("size", np.int64, (2,))], [("box", np.int64, (4,))])
    assert ("Round" in {node.op_type for node in model.graph.node}) == (size == 1000)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    random = np.random.default_rng(0)
    sizes = [(h, w) for h in range(1, 100, 3) for w in range(1, 100, 7)] + random.integers(
        1, 9000, (300, 2)
    ).tolist()
    for height, width in sizes:
        top, left, bottom, right = session.run(None, {"size": np.array([height, width])})[0]
        assert (left, top, right, bottom) == ecenter_crop_box(height, width, size), (height, width)
