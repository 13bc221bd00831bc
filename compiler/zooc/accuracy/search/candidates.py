"""The ranges among which the search chooses, for every tensor one of each kind."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from zooc.accuracy.search.elementwise import activation_of, least_error_behind
from zooc.calibration.histogram import ActivationHistograms, Histogram
from zooc.calibration.kl_divergence import kl_divergence_range
from zooc.calibration.mse import least_error_range, mse_range
from zooc.calibration.ranges import Range, Ranges, max_range, percentile_range, with_zero
from zooc.ir.graph import read_graph

__all__ = ["METHODS", "candidate_ranges"]

METHODS: dict[str, Callable[[Histogram], Range]] = {
    "max": max_range,
    "mse": mse_range,
    "least error": least_error_range,
    "percentile(99.99)": lambda histogram: percentile_range(histogram, 99.99),
    "percentile(99.9)": lambda histogram: percentile_range(histogram, 99.9),
    "kl_divergence": kl_divergence_range,
}
"""Each gives a whole network's ranges; the search begins with the best of them."""

_FACTORS = {"mse, 0.85 as wide": 0.85, "mse, 1.15 as wide": 1.15}


def candidate_ranges(body: onnx.ModelProto, histograms: ActivationHistograms) -> dict[str, Ranges]:
    """Return ranges of all observed tensors by each of `METHODS`, and by a few that only suit some tensors.

    `mse behind the activation` is `mse` for a tensor that only an activation function reads, weighed by what
    the function makes of the error.
    """
    found = {name: _by(choose, histograms) for name, choose in METHODS.items()}
    least = found["mse"]
    behind = dict(least)
    graph = read_graph(body)
    tensors = graph.tensors()
    for name in histograms:
        function = activation_of(graph, tensors[name]) if histograms[name].seen else None
        if function is not None:
            behind[name] = with_zero(least_error_behind(histograms[name], function))
    if behind != least:
        found["mse behind the activation"] = behind
    for label, factor in _FACTORS.items():
        found[label] = {name: (low * factor, high * factor) for name, (low, high) in least.items()}
    return found


def _by(choose: Callable[[Histogram], Range], histograms: ActivationHistograms) -> Ranges:
    return {name: with_zero(choose(histograms[name])) for name in histograms}
