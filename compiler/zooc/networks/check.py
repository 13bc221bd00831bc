"""What a description says against what its network turns out to be.

Analysis checks a file by itself; this is what it cannot know before the network is loaded.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from zooc.deployment import Deployment
from zooc.diagnostics.diagnostic import Diagnostic, error
from zooc.networks.network import Network
from zooc_runtime.preprocessing.sizes import output_size

__all__ = ["network_contradictions"]

_SAMPLE = (480, 640)
"""Any image: the size that the steps leave is fixed, analysis has seen to that."""

_LAYERS = frozenset({"BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul"})


def network_contradictions(deployment: Deployment, network: Network) -> list[Diagnostic]:
    """Errors, all of them: weights that are no numbers, and what does not fit the network.

    That is preprocessing, labels and top-k.
    """
    return [
        *_weights(deployment, network.model.graph),
        *_preprocessing(deployment, network),
        *_classes(deployment, network),
    ]


def _weights(deployment: Deployment, graph: onnx.GraphProto) -> list[Diagnostic]:
    """NaN anywhere; infinity only in a layer's weights, for attention masks hold it rightly."""
    of_layers = {name for node in graph.node if node.op_type in _LAYERS for name in node.input}
    reader = {name: node.name or node.op_type for node in reversed(graph.node) for name in node.input}
    found = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        bad = ~np.isfinite(values) if tensor.name in of_layers else np.isnan(values)
        if bad.any():
            found.append(
                error(
                    "Z0414",
                    f'the weight "{tensor.name}", used by {reader.get(tensor.name, "no node")}, has '
                    f"{np.count_nonzero(bad)} of {bad.size} values that are NaN or infinite",
                    deployment.model.source.span,
                    hint="give other weights; these are damaged, or their training diverged",
                )
            )
    return found


def _preprocessing(deployment: Deployment, network: Network) -> list[Diagnostic]:
    preprocess = deployment.preprocess
    if preprocess is None:
        return []
    if network.channels != 3:
        return [
            error(
                "Z0308",
                f"images have three channels, but the network takes {network.channels}",
                preprocess.span,
                hint="leave out the `preprocess` block to compile the tensor form",
            )
        ]
    height, width = output_size(preprocess.to_json()["steps"], *_SAMPLE)
    if (height, width) == (network.height, network.width):
        return []
    return [
        error(
            "Z0302",
            f"preprocessing ends at {height} x {width} pixels, but the network takes "
            f"{network.height} x {network.width}",
            preprocess.span,
            hint="let the last crop or resize end in the size of the network's input",
        )
    ]


def _classes(deployment: Deployment, network: Network) -> list[Diagnostic]:
    post = deployment.postprocess
    found = []
    if post.labels and len(post.labels.names) != network.classes:
        found.append(
            error(
                "Z0504",
                f"{len(post.labels.names)} labels for a network of {network.classes} classes",
                post.labels.span,
                hint="use the labels that the network was trained with, one per line",
            )
        )
    if post.topk_span and post.topk > network.classes:
        found.append(
            error(
                "Z0505",
                f"topk is {post.topk}, but the network has {network.classes} classes",
                post.topk_span,
                hint=f"write at most {network.classes}",
            )
        )
    return found
