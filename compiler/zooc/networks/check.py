"""What a description says against what its network turns out to be.

Analysis checks a file by itself; this is what it cannot know before the network is loaded.
"""

from __future__ import annotations

from zooc.deployment import Deployment
from zooc.diagnostics.diagnostic import Diagnostic, error
from zooc.ir.finite import damaged_weights
from zooc.ir.graph import read_graph
from zooc.networks.network import Network
from zooc_runtime.preprocessing.sizes import output_size

__all__ = ["network_contradictions"]

_WITH_BACKGROUND = 1001
"""TensorFlow's ImageNet classes: one more, in front, for what is none of them."""

_SAMPLE = (480, 640)
"""Any image: the size that the steps leave is fixed, analysis has seen to that."""


def network_contradictions(deployment: Deployment, network: Network) -> list[Diagnostic]:
    """Return errors, all of them: weights that are no numbers, and what does not fit the network.

    That is preprocessing, labels and top-k.
    """
    return [
        *_weights(deployment, network),
        *_preprocessing(deployment, network),
        *_classes(deployment, network),
    ]


def _weights(deployment: Deployment, network: Network) -> list[Diagnostic]:
    span, hint = deployment.model.source.span, "give other weights; these are damaged, or training diverged"
    graph = read_graph(network.model)
    return [error("Z0414", message, span, hint=hint) for message in damaged_weights(graph)]


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
    height, width = output_size(preprocess.steps, *_SAMPLE)
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
    if post.softmax and network.classes == 1:
        found.append(
            error(
                "Z0506",
                "softmax over one class is 1 for every image",
                post.span,
                hint="leave out `softmax`: the package then gives the network's own score",
            )
        )
    if post.labels and len(post.labels.names) != network.classes:
        found.append(
            error(
                "Z0504",
                f"{len(post.labels.names)} labels for a network of {network.classes} classes",
                post.labels.span,
                hint="write `labels imagenet1k(background=first)`"
                if network.classes == _WITH_BACKGROUND and post.labels.origin == "imagenet1k"
                else "use the labels that the network was trained with, one per line",
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
