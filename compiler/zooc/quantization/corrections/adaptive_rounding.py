"""Adaptive rounding: each weight up or down, whichever serves its layer's result best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.calibration.activations import ActivationReader
from zooc.ir.weights import StoredTensors
from zooc.quantization.corrections.input_moments import InputMoments
from zooc.quantization.corrections.layer_inputs import sampled_inputs
from zooc.quantization.corrections.quantized_layers import QuantizedLayer, quantized_layers
from zooc.quantization.corrections.rounding_search import search_rounding
from zooc.support.memory import release

__all__ = ["round_weights"]

_CERTAIN = 0.8
"""Of what inputs vary together, the share that other images are expected to show as well."""

Floats = npt.NDArray[np.float32]

_MOST_INPUTS = 6144
"""Of one sum: a covariance of 144 MB. A layer with more (VGG's first Gemm) stays as it is."""

_MOST_BYTES = 96 * 2**20
"""Of the covariances measured in one pass over the images."""


def round_weights(
    body: onnx.ModelProto,
    quantized: onnx.ModelProto,
    batches: Sequence[npt.NDArray[Any]],
    *,
    bounded: bool = False,
    on_layer: Callable[[int], None] | None = None,
) -> None:
    """Round weights so that each layer's result, rather than each weight, is nearest to float's.

    From M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (arXiv 2004.10568):
    the expected squared error of a channel is `d E[x x^T] d^T`, `d` the error of its weights and `x` their
    inputs. To round each weight to one of its two neighbours such that this is least is a quadratic binary
    problem. The paper relaxes it to a rectified sigmoid a weight and descends by its gradient, thousands of
    steps a layer, in a framework for training. Here weights are flipped one by one (`search_rounding`): that
    needs numpy only, gives the same answer every time, and cannot end worse than rounding to nearest.

    A layer with a bias leaves the mean error to it: the covariance takes the place of `E[x x^T]`, and what
    the new weights do to the mean is taken off the bias. Off the diagonal the covariance is shrunk by
    `samples / (samples + inputs)`, because with few samples much of it is chance, which the search would
    fit, and by a fifth more: images to come differ from those of calibration. The inputs are those of the
    float network, so that one pass serves all layers; those of the
    quantized network, as the paper has them from its asymmetric form on, did not serve better at eight bits.

    Args:
        body: float32, the one that was quantized.
        quantized: its QDQ form; weights and int32 biases are changed in place.
        batches: calibration images; 64 do.
        bounded: keep every pair of weights from overflowing 16 bits (`saturation.py`).
        on_layer: called with 1 when a layer is done.
    """
    stored, layers = StoredTensors(quantized), quantized_layers(body, quantized)
    random = np.random.default_rng(0)
    for some in _passes(layers) if batches else ():
        moments = _observe(body, some, batches, random)
        release()
        for layer in some:
            _round(layer, moments.pop(0), stored, bounded=bounded)
            if on_layer is not None:
                on_layer(1)


def _observe(
    body: onnx.ModelProto,
    layers: list[QuantizedLayer],
    batches: Sequence[npt.NDArray[Any]],
    random: np.random.Generator,
) -> list[InputMoments]:
    """The moments of the layers' inputs in the float network."""
    read = ActivationReader(body, list(dict.fromkeys(layer.source for layer in layers)))
    release()
    moments = [InputMoments() for _ in layers]
    for batch in batches:
        with read(batch) as values:
            for layer, seen in zip(layers, moments, strict=True):
                seen.add(sampled_inputs(layer.node, layer.shape[2:], values[layer.source], random))
    return moments


def _passes(layers: list[QuantizedLayer]) -> Iterator[list[QuantizedLayer]]:
    """Those that can be rounded, in order, as many together as memory allows."""
    some: list[QuantizedLayer] = []
    size = 0
    for layer in layers:
        if layer.inputs > _MOST_INPUTS:
            continue
        needed = 4 * layer.groups * layer.inputs**2
        if some and size + needed > _MOST_BYTES:
            yield some
            some, size = [], 0
        some.append(layer)
        size += needed
    if some:
        yield some


def _round(layer: QuantizedLayer, moments: InputMoments, stored: StoredTensors, *, bounded: bool) -> None:
    """Rewrites the layer's stored weights and bias."""
    levels, scale = (stored[name] for name in layer.stored_weight)
    others = layer.other_levels(levels, scale, bounded=bounded)
    scale = layer.broadcast(scale)
    error = layer.rows(levels * scale - layer.weight)
    change = layer.rows((others.astype(np.float32) - levels) * scale)
    chosen = search_rounding(error, change, _form(moments, centred=layer.stored_bias is not None))
    rounded = np.where(layer.from_rows(chosen), others, levels).astype(np.int8)
    stored[layer.stored_weight[0]] = rounded
    if layer.stored_bias is not None:
        bias, bias_scale = (stored[name] for name in layer.stored_bias)
        shift = (chosen * change @ moments.mean()[..., None]).reshape(-1)
        stored[layer.stored_bias[0]] = bias - np.rint(shift / bias_scale).astype(np.int32)


def _form(moments: InputMoments, *, centred: bool) -> Floats:
    """What a sum's squared error is in the errors of its weights, shrunk towards its diagonal."""
    form, mean = moments.covariance(), moments.mean()
    if not centred:
        form += mean[..., None] * mean[:, None]
    diagonal = np.einsum("gii->gi", form)
    kept = diagonal.copy()
    form *= _CERTAIN * moments.count / (moments.count + form.shape[-1])
    diagonal[...] = kept
    return form
