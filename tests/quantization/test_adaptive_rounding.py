from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from zooc.deployment import CalibrationMethod, Quantize
from zooc.quantization.corrections.adaptive_rounding import round_weights
from zooc.quantization.corrections.bias import correct_biases
from zooc.quantization.saturation import saturation_json
from zooc.verification.agreement import sqnr_db

COARSE = Quantize(dtype="int8", calibrate=CalibrationMethod("max"), weights="per_tensor")


def coarse(n: Any) -> Any:
    """With one scale for all, a few large weights leave the others four or five bits."""
    for name, values in n.weights.items():
        if name.endswith(".weight"):
            values.reshape(-1)[:3] *= 12
    return n


def plain(n: Any) -> None:
    x = n.add("Relu", n.conv(n.begin(mask=True), 4, 16, name="probed"))
    n.head(n.add("Relu", n.conv(x, 16, 16, name="next")), 16)


def strided(n: Any) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"))
    x = n.conv(x, 8, 16, name="probed", strides=[2, 2], dilations=[2, 1])
    n.head(n.add("Relu", x), 16)


def depthwise(n: Any) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 16, name="stem"))
    x = n.add("Relu", n.conv(x, 16, 16, name="probed", groups=16))
    n.head(n.add("Relu", n.conv(x, 16, 16, k=1, name="next")), 16)


def grouped(n: Any) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 16, name="stem"))
    n.head(n.add("Relu", n.conv(x, 16, 32, name="probed", groups=4)), 32)


def gemm(n: Any) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 16, k=1, name="stem"))
    x = n.add("Flatten", n.add("GlobalAveragePool", x), axis=1)
    weight = n.store("probed.weight", n.random.normal(0, 1, (16, 10)))
    bias = n.store("probed.bias", n.random.normal(0, 1, 10))
    n.finish(n.add("Gemm", x, weight, bias, name="probed", alpha=0.5))


def matmul(n: Any) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 16, k=1, name="stem"))
    x = n.add("Flatten", n.add("GlobalAveragePool", x), axis=1)
    x = n.add("MatMul", x, n.store("probed.weight", n.random.normal(0, 1, (16, 10))), name="probed")
    n.finish(x)


def split(images: np.ndarray) -> list[np.ndarray]:
    return [images[i : i + 2] for i in range(0, len(images), 2)]


def integers(model: onnx.ModelProto, kind: str = "weight") -> dict[str, np.ndarray]:
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return {name: v for name, v in stored.items() if name.endswith(f"/{kind}_quantized")}


def layer_errors(body: onnx.ModelProto, model: onnx.ModelProto, images: np.ndarray, run: Any) -> np.ndarray:
    """What the integers of `probed` change of its result, all else being float, `[channels, places]`."""
    index = next(i for i, node in enumerate(body.graph.node) if node.name.startswith("probed/"))
    exact, mixed = onnx.ModelProto(), onnx.ModelProto()
    exact.CopyFrom(body)
    layer = exact.graph.node[index]
    info = onnx.helper.make_tensor_value_info(layer.output[0], onnx.TensorProto.FLOAT, None)
    del exact.graph.output[:]
    exact.graph.output.append(info)
    mixed.CopyFrom(exact)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    node = mixed.graph.node[index]
    axis = 1 if node.op_type != "Conv" else 0
    for position, part in enumerate(("weight", "bias")[: len(node.input) - 1], 1):
        scale = stored[f"{node.name}/{part}_scale"]
        levels = stored[f"{node.name}/{part}_quantized"]
        shape = [-1 if a == axis * (part == "weight") else 1 for a in range(levels.ndim)]
        values = (levels * scale.reshape(shape)).astype(np.float32)
        mixed.graph.initializer.append(numpy_helper.from_array(values, f"mixed/{part}"))
        node.input[position] = f"mixed/{part}"
    if node.op_type == "Gemm":
        del node.attribute[:]  # alpha is in the integers
    errors = (run(mixed, images) - run(exact, images)).astype(np.float64)
    return np.moveaxis(errors, 1, 0).reshape(errors.shape[1], -1)


def spread(errors: np.ndarray) -> float:
    """Their variance: the mean is the bias's business."""
    return float(errors.var(axis=1).mean())


@pytest.mark.parametrize("build", [plain, strided, depthwise, grouped, gemm])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_layers_result_comes_closer_to_floats_than_by_rounding_to_nearest(
    build: Any, seed: int, net: Callable[..., Any], run: Any, quantized: Callable[..., Any]
) -> None:
    n = net(seed)
    build(n)
    body, images = coarse(n).model(), n.images(32)
    nearest, rounded = (quantized(body, images, COARSE).model for _ in range(2))
    round_weights(body, rounded, split(images))
    before, after = (layer_errors(body, model, images, run) for model in (nearest, rounded))
    assert spread(after) < 0.95 * spread(before)


@pytest.mark.parametrize("build", [plain, strided, depthwise, gemm])
def test_the_bias_takes_up_what_the_new_weights_do_to_the_mean(
    build: Any, net: Callable[..., Any], run: Any, quantized: Callable[..., Any]
) -> None:
    n = net()
    build(n)
    body, images = coarse(n).model(), n.images(32)
    nearest, rounded = (quantized(body, images, COARSE).model for _ in range(2))
    round_weights(body, rounded, split(images))
    before, after = (layer_errors(body, model, images, run) for model in (nearest, rounded))
    assert np.abs(after.mean(axis=1) - before.mean(axis=1)).max() < 0.2 * before.std(axis=1).max()


def test_without_a_bias_the_mean_error_counts_too(
    net: Callable[..., Any], run: Any, quantized: Callable[..., Any]
) -> None:
    n = net()
    matmul(n)
    body, images = coarse(n).model(), n.images(32)
    nearest, rounded = (quantized(body, images, COARSE).model for _ in range(2))
    round_weights(body, rounded, split(images))
    before, after = (layer_errors(body, model, images, run) for model in (nearest, rounded))
    assert np.square(after).mean() < 0.5 * np.square(before).mean()


def test_every_weight_keeps_one_of_its_two_levels(
    net: Callable[..., Any], quantized: Callable[..., Any]
) -> None:
    n = net()
    strided(n)
    body, images = n.model(), n.images(8)
    nearest, rounded = (quantized(body, images, COARSE).model for _ in range(2))
    round_weights(body, rounded, split(images))
    before, after = integers(nearest), integers(rounded)
    exact = n.weights["probed.weight"] / numpy_helper.to_array(
        next(t for t in nearest.graph.initializer if t.name == "probed/Conv/weight_scale")
    )
    assert (np.abs(after["probed/Conv/weight_quantized"] - exact) < 1).all()
    assert any((before[name] != after[name]).any() for name in before)
    assert all(np.abs(values).max() <= 127 for values in after.values())


@pytest.mark.parametrize("weights", ["per_channel", "per_tensor"])
def test_a_body_proven_not_to_saturate_stays_so(
    weights: Any, net: Callable[..., Any], quantized: Callable[..., Any]
) -> None:
    n = net()
    plain(n)
    body, images = n.model(), n.images(8)
    options = replace(COARSE, weights=weights, target="any")
    model = quantized(body, images, options).model
    before = integers(model)
    round_weights(body, model, split(images), bounded=True)
    assert any((before[name] != values).any() for name, values in integers(model).items())
    assert saturation_json(model, "any")["at_risk"] == {}


def test_logits_of_other_images_come_closer_to_floats(
    net: Callable[..., Any], run: Any, quantized: Callable[..., Any]
) -> None:
    n = net()
    plain(n)
    body, images, others = coarse(n).model(), n.images(32), n.images(64, seed=5)
    expected, found = run(body, others), []
    for rounding in (False, True):
        model = quantized(body, images, COARSE).model
        if rounding:
            round_weights(body, model, split(images))
        correct_biases(body, model, split(images))
        found.append(sqnr_db(expected, run(model, others)))
    assert found[1] > found[0] + 2


def test_the_same_images_give_the_same_weights(
    net: Callable[..., Any], quantized: Callable[..., Any]
) -> None:
    n = net()
    grouped(n)
    body, images = n.model(), n.images(8)
    made = []
    for _ in range(2):
        model = quantized(body, images, COARSE).model
        round_weights(body, model, split(images))
        made.append(model.SerializeToString(deterministic=True))
    assert made[0] == made[1]


@pytest.mark.parametrize("level", [0, 117])
def test_inputs_that_never_vary_change_no_weight(
    level: int, net: Callable[..., Any], quantized: Callable[..., Any]
) -> None:
    n = net()
    x = n.add("Relu", n.conv(n.begin(), 3, 8, k=1, name="stem"))
    n.head(n.add("Relu", n.conv(x, 8, 8, k=1, name="next")), 8)
    body, images = n.model(), np.full((4, 3, 16, 16), level, np.uint8)
    model = quantized(body, images, COARSE).model
    before = model.SerializeToString(deterministic=True)
    round_weights(body, model, split(images))
    assert model.SerializeToString(deterministic=True) == before


def test_layers_in_float_and_empty_batches_are_passed_over(
    net: Callable[..., Any], quantized: Callable[..., Any]
) -> None:
    n = net()
    plain(n)
    body, images = n.model(), n.images(4)
    model = quantized(body, images, replace(COARSE, keep=("next", "fc"))).model
    before = model.SerializeToString()
    round_weights(body, model, [])
    assert model.SerializeToString() == before
    done: list[int] = []
    round_weights(body, model, split(images), on_layer=done.append)
    assert done == [1]


@pytest.mark.parametrize("kind", ["SAME_UPPER", "SAME_LOWER"])
def test_automatic_padding_is_the_engines(
    kind: str, net: Callable[..., Any], run: Any, quantized: Callable[..., Any]
) -> None:
    n = net(size=15)
    strided(n)
    for node in n.nodes:
        if node.name.startswith("probed/"):
            kept = [a for a in node.attribute if a.name not in ("pads", "dilations")]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("auto_pad", kind)])
    body, images = coarse(n).model(), n.images(16)
    nearest, rounded = (quantized(body, images, COARSE).model for _ in range(2))
    round_weights(body, rounded, split(images))
    before, after = (layer_errors(body, model, images, run) for model in (nearest, rounded))
    assert spread(after) < 0.95 * spread(before)
