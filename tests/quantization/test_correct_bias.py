from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest

from zooc.calibration.activations import ActivationReader
from zooc.deployment import CalibrationMethod, Quantize
from zooc.quantization.corrections.bias import bias_inputs, correct_biases
from zooc.verification.agreement import sqnr_db

COARSE = Quantize(dtype="int8", calibrate=CalibrationMethod("max"), weights="per_tensor")


def network(net: Callable[..., Any], mask: bool = False) -> onnx.ModelProto:
    n = net()
    x = n.begin(mask)
    for layer, (cin, cout) in enumerate(((3 + mask, 16), (16, 16), (16, 16))):
        x = n.add("Relu", n.conv(x, cin, cout, name=f"conv{layer}"))
        n.weights[f"conv{layer}.weight"][0] *= 12  # with one scale for all, the other channels lose bits
    n.head(x, 16)
    return n.model()


def split(images: np.ndarray) -> list[np.ndarray]:
    return [images[i : i + 1] for i in range(len(images))]


def channel_means(model: onnx.ModelProto, images: np.ndarray, tensor: str, run: Any) -> np.ndarray:
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    del observed.graph.output[:]
    observed.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    return np.asarray(run(observed, images).mean(axis=(0, 2, 3)))


@pytest.mark.parametrize("mask", [False, True])
def test_means_of_channels_return_to_those_of_float(
    mask: bool, net: Callable[..., Any], run: Callable[..., np.ndarray], quantized: Callable[..., Any]
) -> None:
    body, images = network(net, mask), net().images(16)
    plain = quantized(body, images, COARSE).model
    corrected = quantized(body, images, COARSE).model
    correct_biases(body, corrected, split(images))
    exact = channel_means(body, images, "conv0_out", run)
    before = np.abs(channel_means(plain, images, "conv0_out", run) - exact).max()
    after = np.abs(channel_means(corrected, images, "conv0_out", run) - exact).max()
    assert after < 0.1 * before
    others = net().images(32, seed=5)
    expected = run(body, others)
    assert sqnr_db(expected, run(corrected, others)) > sqnr_db(expected, run(plain, others)) + 1


def test_the_same_images_give_the_same_bytes(net: Callable[..., Any], quantized: Callable[..., Any]) -> None:
    body, images = network(net), net().images(8)
    made = []
    for _ in range(2):
        model = quantized(body, images, COARSE).model
        correct_biases(body, model, split(images))
        made.append(model.SerializeToString(deterministic=True))
    assert made[0] == made[1]


@pytest.mark.parametrize(("fitting", "together"), [(1, 1), (1 << 30, 2)])
def test_images_whose_activations_do_not_fit_together_follow_each_other(
    net: Callable[..., Any],
    quantized: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    fitting: int,
    together: int,
) -> None:
    monkeypatch.setattr("zooc.calibration.workers._ACTIVATION_BYTES", fitting)
    monkeypatch.setattr("zooc.calibration.workers.available_cores", lambda: 2)
    body, images = network(net), net().images(9)
    model = quantized(body, images, COARSE).model
    reader = ActivationReader(body, bias_inputs(body))
    held, most, lock = 0, 0, threading.Lock()
    meeting = threading.Barrier(together)

    @contextlib.contextmanager
    def read(batch: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        nonlocal held, most
        with reader(batch) as values:
            with lock:
                held, most, first = held + 1, max(most, held + 1), batch is whole[0]
            if not first:  # it shows how large they are, alone
                meeting.wait(timeout=60)
            yield values
            with lock:
                held -= 1

    whole = split(images)
    correct_biases(body, model, whole, read=read)
    assert most == together


def test_a_shift_that_may_be_chance_is_left_alone(
    net: Callable[..., Any], quantized: Callable[..., Any]
) -> None:
    body, images = network(net), net().images(8)
    model, alone = (quantized(body, images, COARSE).model for _ in range(2))
    correct_biases(body, alone, split(images[:1]))
    before, after = biases(model), biases(alone)
    assert np.array_equal(before["fc/Gemm/bias_quantized"], after["fc/Gemm/bias_quantized"])
    assert not np.array_equal(before["conv0/Conv/bias_quantized"], after["conv0/Conv/bias_quantized"])


def biases(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer if "bias_q" in t.name}


def test_layers_in_float_and_empty_batches_are_passed_over(
    net: Callable[..., Any], quantized: Callable[..., Any]
) -> None:
    body, images = network(net), net().images(4)
    options = Quantize(dtype="int8", calibrate=CalibrationMethod("max"), keep=("conv1", "fc"))
    model = quantized(body, images, options).model
    before = model.SerializeToString()
    correct_biases(body, model, [])
    assert model.SerializeToString() == before
    correct_biases(body, model, split(images))
    onnx.checker.check_model(model, full_check=True)
