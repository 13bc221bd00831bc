"""Fast bias correction: the mean of every channel becomes that of the float network again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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

__all__ = ["BiasCorrection", "bias_inputs", "correct_biases"]

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
    """Take the mean error of every layer's channels off their biases; see `BiasCorrection`.

    Args:
        body: float32, the one that was quantized.
        quantized: its QDQ form; its int32 biases are changed in place.
        batches: calibration images.
        on_batch: called with the number of images of each batch when it is done.
        read: runs the float body, giving at least `bias_inputs(body)`; `None` opens it anew.
    """
    correction = BiasCorrection(body, quantized, batches, None if read is None else lambda: read)
    correction.measure([quantized], on_batch)
    correction.apply(quantized)


class BiasCorrection:
    """Takes the mean error of every layer's channels off their biases.

    Rounding weights moves a channel's mean, since its inputs have one: `E[W' x'] - E[W x]` is not zero. M.
    Nagel et al. (arXiv 1906.04721, section 4.2) subtract that shift from the bias. NNCF's fast variant
    measures each layer by itself, on the inputs of the float network, so that one pass corrects all layers;
    so does this, on the real distribution of the inputs, rounded and clipped as they will be, and with the
    padding as it is, where NNCF sends a single vector of means through the layer. Only what the layer's
    inputs are on average has to be measured (`mean_inputs`), since its sums are linear in them; what is
    measured for the scale of an input serves every body that has this scale.

    A shift estimated from a few images is uncertain by its standard error, which matters for the classifier:
    it has one value an image. Each is taken times `max(0, 1 - error^2 / shift^2)`, the positive-part
    James-Stein factor: a shift that could be chance is left alone. Of a single image nothing is known about
    the error; the shift is taken as it is for convolutions and left alone elsewhere.
    """

    def __init__(
        self,
        body: onnx.ModelProto,
        quantized: onnx.ModelProto,
        batches: Sequence[npt.NDArray[Any]],
        open_reader: Callable[[], Run] | None = None,
    ) -> None:
        """Measure nothing yet.

        Args:
            body: float32.
            quantized: any of its QDQ forms: which layers have integer weights.
            batches: calibration images; without any, nothing is corrected.
            open_reader: gives what runs the float body for at least `bias_inputs(body)`, once it is needed;
                by default it is opened anew.
        """
        every = quantized_layers(body, quantized) if batches else []
        self._layers = [layer for layer in every if layer.stored_bias is not None]
        self._batches = batches
        self._open_reader = open_reader or (lambda: ActivationReader(body, bias_inputs(body)))
        self._exact: dict[str, list[Floats]] = {layer.node.name: [] for layer in self._layers}
        self._errors: dict[tuple[str, _Levels], list[Floats]] = {}

    def measure(
        self, quantized: Sequence[onnx.ModelProto], on_batch: Callable[[int], None] | None = None
    ) -> None:
        """Run the float body once for all the scales that these QDQ forms have and that are not known yet."""
        wanted: dict[str, set[_Levels]] = {layer.node.name: set() for layer in self._layers}
        for model in quantized:
            stored = StoredTensors(model)
            for layer in self._layers:
                levels = _levels_of(layer, stored)
                if levels is not None and (layer.node.name, levels) not in self._errors:
                    wanted[layer.node.name].add(levels)
        missing = [x for x in self._layers if wanted[x.node.name] or not self._exact[x.node.name]]
        if not missing:
            return
        read = self._open_reader()

        def measured(batch: npt.NDArray[Any]) -> tuple[list[_Means], int]:
            with read(batch) as values:
                size = sum(value.nbytes for value in values.values())
                return [_means(x, values[x.source], wanted[x.node.name]) for x in missing], size

        def keep(found: list[_Means], batch: npt.NDArray[Any]) -> None:
            for layer, (exact, errors) in zip(missing, found, strict=True):
                if len(self._exact[layer.node.name]) < len(self._batches):
                    self._exact[layer.node.name].append(exact)
                for levels, error in errors.items():
                    self._errors.setdefault((layer.node.name, levels), []).append(error)
            if on_batch is not None:
                on_batch(len(batch))

        first, *others = self._batches
        found, size = measured(first)
        keep(found, first)
        with ThreadPoolExecutor(workers_for(size)) as pool:
            for batch, (found, _) in zip(others, pool.map(measured, others), strict=True):
                keep(found, batch)

    def apply(self, quantized: onnx.ModelProto) -> None:
        """Correct the int32 biases of a QDQ form that was measured, in place."""
        stored = StoredTensors(quantized)
        for layer in self._layers:
            assert layer.stored_bias is not None
            stored[layer.stored_bias[0]] = self._corrected(layer, stored)

    def _corrected(self, layer: QuantizedLayer, stored: StoredTensors) -> npt.NDArray[np.int32]:
        """The layer's bias, in levels."""
        assert layer.stored_bias is not None
        bias, scale = (stored[name] for name in layer.stored_bias)
        scale = scale.astype(np.float64)
        samples = self._shifts(layer, stored) + (bias * scale - layer.bias)
        shift = _certain_part(samples, alone=layer.node.op == "Conv")
        corrected = np.clip(np.rint(bias - shift / scale), -_LARGEST_BIAS, _LARGEST_BIAS)
        return np.asarray(corrected, np.int32)

    def _shifts(self, layer: QuantizedLayer, stored: StoredTensors) -> npt.NDArray[np.float64]:
        """`E[W' x'] - E[W x]` of every image, `[images, channels]`."""
        levels, scale = (stored[name] for name in layer.stored_weight)
        rounded = layer.rows(levels * layer.broadcast(scale))
        result = _products(rounded - layer.rows(layer.weight), np.concatenate(self._exact[layer.node.name]))
        if (of_input := _levels_of(layer, stored)) is not None:
            result += _products(rounded, np.concatenate(self._errors[layer.node.name, of_input]))
        return result.astype(np.float64)


_Levels = tuple[float, int, int, int]
"""Scale, zero point, and the smallest and the largest level of a layer's input."""

_Means = tuple[Floats, dict[_Levels, Floats]]
"""A batch's mean inputs of a layer's sums, float32 `[batch, groups, inputs]`: those of the float network, and
how far rounding them to levels moves them."""


def _levels_of(layer: QuantizedLayer, stored: StoredTensors) -> _Levels | None:
    """How a layer's input is rounded; `None` for pixels."""
    if layer.levels is None:
        return None
    scale, zero_point = (stored[name] for name in layer.levels)
    limits = np.iinfo(zero_point.dtype)
    return float(scale), int(zero_point), int(limits.min), int(limits.max)


def _means(layer: QuantizedLayer, values: npt.NDArray[Any], wanted: Iterable[_Levels]) -> _Means:
    kernel, values = layer.shape[2:], values.astype(np.float32, copy=False)
    errors = {}
    for scale, zero, smallest, largest in wanted:
        error = np.rint(values / np.float32(scale))
        np.clip(error, smallest - zero, largest - zero, out=error)
        error *= np.float32(scale)
        error -= values
        errors[scale, zero, smallest, largest] = mean_inputs(layer.node, kernel, error)
    return mean_inputs(layer.node, kernel, values), errors


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
