"""Fast bias correction: the mean of every channel becomes that of the float network again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from zooc.quantize.body_graph import BodyGraph
from zooc.quantize.layer_probe import Probe, quantized_layers, run_batches

__all__ = ["correct_biases"]

_LARGEST_BIAS = 2.0**31 - 1


def correct_biases(
    body: onnx.ModelProto,
    quantized: onnx.ModelProto,
    batches: Sequence[npt.NDArray[Any]],
    on_batch: Callable[[int], None] | None = None,
) -> None:
    """Takes the mean error of every layer's channels off their biases.

    Rounding weights moves a channel's mean, since its inputs have one: `E[W' x'] - E[W x]` is not zero. M.
    Nagel et al. (arXiv 1906.04721, section 4.2) subtract that shift from the bias. NNCF's fast variant
    measures each layer by itself, on the inputs of the float network, so that one pass corrects all layers;
    so does this, on the real distribution of the inputs, rounded and clipped as they will be, and with the
    padding as it is, where NNCF sends a single vector of means through the layer.

    A shift estimated from a few images is uncertain by its standard error, which matters for the classifier:
    it has one value an image. Each is taken times `max(0, 1 - error^2 / shift^2)`, the positive-part
    James-Stein factor: a shift that could be chance is left alone. Of a single image nothing is known about
    the error; the shift is taken as it is for convolutions and left alone elsewhere.

    Args:
        body: float32, the one that was quantized.
        quantized: its QDQ form; its int32 biases are changed in place.
        batches: calibration images; 16 to 32 do.
        on_batch: called with the number of images of each batch when it is done.
    """
    graph, target = BodyGraph(body), BodyGraph(quantized)
    probe = Probe(body, target)
    # Last layer first: ONNX Runtime computes outputs from the last to the first, and would keep all layers'
    # results until it comes to the first layer's.
    layers = [layer for layer in reversed(quantized_layers(graph, target)) if layer.bias is not None]
    if not layers or not batches:
        return
    for layer in layers:
        probe.shift(layer)
    results = run_batches(probe.session(), batches, on_batch)
    stored = {t.name: t for t in quantized.graph.initializer}
    for place, layer in enumerate(layers):
        assert layer.bias is not None
        samples = np.concatenate([r[place] for r in results]).astype(np.float64)
        shift = _certain_part(samples, alone=layer.node.op_type == "Conv")
        bias, scale = (numpy_helper.to_array(stored[name]) for name in layer.bias)
        corrected = np.rint(bias - shift / scale.astype(np.float64))
        corrected = np.clip(corrected, -_LARGEST_BIAS, _LARGEST_BIAS).astype(np.int32)
        stored[layer.bias[0]].CopyFrom(numpy_helper.from_array(corrected, layer.bias[0]))


def _certain_part(samples: npt.NDArray[np.float64], *, alone: bool) -> npt.NDArray[np.float64]:
    """The mean over images of `[images, channels]`, less what may be chance."""
    mean = samples.mean(axis=0)
    if len(samples) == 1:
        return mean if alone else np.zeros_like(mean)
    error = samples.var(axis=0, ddof=1) / len(samples)
    return np.asarray(mean * np.maximum(0.0, 1.0 - error / np.maximum(np.square(mean), 1e-300)))
