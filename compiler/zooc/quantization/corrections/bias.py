"""Fast bias correction: the mean of every channel becomes that of the float network again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.calibration.activations import ActivationReader
from zooc.calibration.workers import Run, workers_for
from zooc.ir.graph import Constant, read_graph
from zooc.ir.weights import StoredTensors
from zooc.quantization.corrections.layer_inputs import mean_inputs
from zooc.quantization.corrections.quantized_layers import QuantizedLayer, quantized_layers

__all__ = ["bias_inputs", "correct_biases"]

_LARGEST_BIAS = 2.0**31 - 1

Floats = npt.NDArray[np.float32]


def bias_inputs(body: onnx.ModelProto) -> list[str]:
    """Return the tensors of a float body whose values `correct_biases` may need."""
    weighted = (node for node in read_graph(body).nodes if node.op in ("Conv", "Gemm"))
    read = (node.inputs[0] for node in weighted if isinstance(node.inputs[1], Constant))
    return list(dict.fromkeys(str(tensor.name) for tensor in read if not isinstance(tensor, Constant)))


def correct_biases(
    body: onnx.ModelProto,
    quantized: onnx.ModelProto,
    batches: Sequence[npt.NDArray[Any]],
    on_batch: Callable[[int], None] | None = None,
    read: Run | None = None,
) -> None:
    """Take the mean error of every layer's channels off their biases.

    Rounding weights moves a channel's mean, since its inputs have one: `E[W' x'] - E[W x]` is not zero. M.
    Nagel et al. (arXiv 1906.04721, section 4.2) subtract that shift from the bias. NNCF's fast variant
    measures each layer by itself, on the inputs of the float network, so that one pass corrects all layers;
    so does this, on the real distribution of the inputs, rounded and clipped as they will be, and with the
    padding as it is, where NNCF sends a single vector of means through the layer. Only what the layer's
    inputs are on average has to be measured (`mean_inputs`), since its sums are linear in them.

    A shift estimated from a few images is uncertain by its standard error, which matters for the classifier:
    it has one value an image. Each is taken times `max(0, 1 - error^2 / shift^2)`, the positive-part
    James-Stein factor: a shift that could be chance is left alone. Of a single image nothing is known about
    the error; the shift is taken as it is for convolutions and left alone elsewhere.

    Args:
        body: float32, the one that was quantized.
        quantized: its QDQ form; its int32 biases are changed in place.
        batches: calibration images.
        on_batch: called with the number of images of each batch when it is done.
        read: runs the float body, giving at least `bias_inputs(body)`; `None` opens it anew.
    """
    layers = [layer for layer in quantized_layers(body, quantized) if layer.stored_bias is not None]
    if not layers or not batches:
        return
    stored = StoredTensors(quantized)
    read = read or ActivationReader(body, bias_inputs(body))

    def measure(batch: npt.NDArray[Any]) -> tuple[list[_Inputs], int]:
        with read(batch) as values:
            size = sum(value.nbytes for value in values.values())
            return [_Inputs.of(layer, values[layer.source], stored) for layer in layers], size

    seen: list[list[_Inputs]] = [[] for _ in layers]

    def keep(found: list[_Inputs], batch: npt.NDArray[Any]) -> None:
        for inputs, more in zip(found, seen, strict=True):
            more.append(inputs)
        if on_batch is not None:
            on_batch(len(batch))

    first, *others = batches
    found, size = measure(first)
    keep(found, first)
    with ThreadPoolExecutor(workers_for(size)) as pool:
        for batch, (found, _) in zip(others, pool.map(measure, others), strict=True):
            keep(found, batch)
    for layer, each in zip(layers, seen, strict=True):
        assert layer.stored_bias is not None
        stored[layer.stored_bias[0]] = _corrected(layer, each, stored)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """A batch's mean inputs of a layer's sums, float32 `[batch, groups, inputs]`.

    Attributes:
        exact: those of the float network.
        error: how far rounding to levels moves them; `None` for pixels.
    """

    exact: Floats
    error: Floats | None

    @classmethod
    def of(cls, layer: QuantizedLayer, values: npt.NDArray[Any], stored: StoredTensors) -> _Inputs:
        kernel, values = layer.shape[2:], values.astype(np.float32, copy=False)
        exact = mean_inputs(layer.node, kernel, values)
        if layer.levels is None:
            return cls(exact, None)
        scale, zero_point = (stored[name] for name in layer.levels)
        error = np.rint(values / scale)
        limits, zero = np.iinfo(zero_point.dtype), float(zero_point)
        np.clip(error, limits.min - zero, limits.max - zero, out=error)
        error *= scale
        error -= values
        return cls(exact, mean_inputs(layer.node, kernel, error))


def _corrected(
    layer: QuantizedLayer, each: Sequence[_Inputs], stored: StoredTensors
) -> npt.NDArray[np.int32]:
    """The layer's bias, in levels."""
    assert layer.stored_bias is not None
    bias, scale = (stored[name] for name in layer.stored_bias)
    scale = scale.astype(np.float64)
    samples = _shifts(layer, each, stored) + (bias * scale - layer.bias)
    shift = _certain_part(samples, alone=layer.node.op == "Conv")
    corrected = np.clip(np.rint(bias - shift / scale), -_LARGEST_BIAS, _LARGEST_BIAS)
    return np.asarray(corrected, np.int32)


def _shifts(layer: QuantizedLayer, each: Sequence[_Inputs], stored: StoredTensors) -> npt.NDArray[np.float64]:
    """`E[W' x'] - E[W x]` of every image, `[images, channels]`."""
    levels, scale = (stored[name] for name in layer.stored_weight)
    rounded = layer.rows(levels * layer.broadcast(scale))
    exact = np.concatenate([inputs.exact for inputs in each])
    result = _products(rounded - layer.rows(layer.weight), exact)
    if layer.levels is not None:
        result += _products(rounded, np.concatenate([i.error for i in each if i.error is not None]))
    return result.astype(np.float64)


def _products(rows: Floats, inputs: Floats) -> Floats:
    """`[groups, channels, inputs]` and `[images, groups, inputs]` to `[images, groups * channels]`."""
    sums = rows @ inputs.transpose(1, 2, 0)
    return np.asarray(sums.reshape(-1, len(inputs)).T)


def _certain_part(samples: npt.NDArray[np.float64], *, alone: bool) -> npt.NDArray[np.float64]:
    """The mean over images of `[images, channels]`, less what may be chance."""
    mean = samples.mean(axis=0)
    if len(samples) == 1:
        return mean if alone else np.zeros_like(mean)
    error = samples.var(axis=0, ddof=1) / len(samples)
    return np.asarray(mean * np.maximum(0.0, 1.0 - error / np.maximum(np.square(mean), 1e-300)))
