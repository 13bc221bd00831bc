"""What a description says against what its network turns out to be.

Analysis checks a file by itself; this is what it cannot know before the network is loaded.
"""

from __future__ import annotations

from zooc.deployment import Deployment, Postprocess, Preprocess
from zooc.diagnostics.diagnostic import Diagnostic, error, warning
from zooc.ir.finite import damaged_weights
from zooc.ir.graph import read_graph
from zooc.ir.levels import is_quantized
from zooc.networks.network import HeadFacts, Network
from zooc_runtime.preprocessing.sizes import output_size
from zooc_runtime.preprocessing.sources import RGB, channels
from zooc_runtime.preprocessing.steps import Grayscale

__all__ = ["dequantized_warnings", "head_warnings", "network_contradictions"]

_WITH_BACKGROUND = 1001
"""TensorFlow's ImageNet classes: one more, in front, for what is none of them."""

_SAMPLE = (480, 640)
"""Any image: the size that the steps leave is fixed, analysis has seen to that."""


def network_contradictions(deployment: Deployment, network: Network) -> list[Diagnostic]:
    """Return errors, all of them: weights that are no numbers, and what does not fit the network.

    That is preprocessing, activation, labels and top-k, and whose ranges int8 shall have.
    """
    return [
        *_weights(deployment, network),
        *_ranges(deployment, network),
        *_preprocessing(deployment, network),
        *_classes(deployment, network),
    ]


def _weights(deployment: Deployment, network: Network) -> list[Diagnostic]:
    span, hint = deployment.model.source.span, "give other weights; these are damaged, or training diverged"
    graph = read_graph(network.model)
    return [error("Z0414", message, span, hint=hint) for message in damaged_weights(graph)]


def _ranges(deployment: Deployment, network: Network) -> list[Diagnostic]:
    quantize, quantized = deployment.quantize, is_quantized(network.model)
    if quantize.ranges == "source" and not quantized:
        return [
            error(
                "Z0482",
                f"`ranges source` keeps the ranges of a quantized network, but {network.origin} is float",
                quantize.ranges_span,
                hint='write `data images("folder", count=50)` in its place: ranges are measured on images',
            )
        ]
    if quantize.dtype == "int8" and quantize.ranges == "measured" and quantized:
        return [
            error(
                "Z0483",
                f"{network.origin} is quantized already, with scales of its own",
                quantize.span,
                hint="write `quantize int8 { ranges source }` to keep them, or give the float32 network",
            )
        ]
    return []


def dequantized_warnings(deployment: Deployment, network: Network) -> list[Diagnostic]:
    """Return a warning where a quantized network is to be computed in float."""
    dtype = deployment.quantize.dtype
    if dtype == "int8" or not is_quantized(network.model):
        return []
    return [
        warning(
            "Z0484",
            f"{network.origin} is quantized already; {dtype} computes it with the weights that its integers "
            "stand for",
            deployment.quantize.span or deployment.model.source.span,
            hint="write `quantize int8 { ranges source }` to compute it in integers",
        )
    ]


def _preprocessing(deployment: Deployment, network: Network) -> list[Diagnostic]:
    preprocess = deployment.preprocess
    if preprocess is None:
        return []
    if network.channels != preprocess.channels:
        return [_other_channels(deployment, preprocess, network)]
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


def _other_channels(deployment: Deployment, preprocess: Preprocess, network: Network) -> Diagnostic:
    """Of a description that says nothing of the input: otherwise analysis has seen it."""
    grey = next((step for step in preprocess.steps if isinstance(step, Grayscale)), None)
    count = network.channels
    size = f"input [batch, {count}, {network.height}, {network.width}]"
    if count == 1 and grey is None:
        hint = "add `Grayscale()` before the image is converted to a tensor"
    elif count == 1:
        hint = "write `Grayscale()`, which leaves one channel"
    elif count == RGB and grey is not None:
        hint = "delete `Grayscale`, or write `Grayscale(channels=3)` for the grey value in all three"
    else:
        hint = f"add `{size}` to `model`: images then have {channels(count)}"
    place = grey.span if grey else preprocess.normalize.span if count == 1 else deployment.model.source.span
    message = f"the preprocessed image has {channels(preprocess.channels)}, but the network takes "
    return error("Z0308", message + channels(count), place or preprocess.span, hint=hint)


def _classes(deployment: Deployment, network: Network) -> list[Diagnostic]:
    pairs = zip(deployment.heads, network.heads, strict=True)
    return [finding for post, head in pairs for finding in _head(post, head)]


def _head(post: Postprocess, head: HeadFacts) -> list[Diagnostic]:
    found = []
    of_head = f" of the head `{post.name}`" if post.name else ""
    if post.activation == "softmax" and head.classes == 1:
        found.append(
            error(
                "Z0506",
                "softmax over one class is 1 for every image",
                post.activation_span or post.span,
                hint="write `sigmoid` for the probability of the one class",
            )
        )
    if "none" not in (post.activation, head.activation) and post.activation != head.activation:
        found.append(
            error(
                "Z0509",
                f"the network{of_head} ends in a {head.activation} of its own, and `{post.activation}` is "
                "another activation",
                post.activation_span or post.span,
                hint=f"write `{head.activation}`, or nothing",
            )
        )
    sides = head.classes == 1 and "sigmoid" in (post.activation, head.activation)
    if post.labels and len(post.labels.names) not in ((1, 2) if sides else (head.classes,)):
        of_whom = of_head or " of the network"
        found.append(
            error(
                "Z0504",
                f"{len(post.labels.names)} labels for {head.classes} classes{of_whom}",
                post.labels.span,
                hint="write `labels imagenet1k(background=first)`"
                if head.classes == _WITH_BACKGROUND and post.labels.origin == "imagenet1k"
                else "use the labels that the network was trained with, one per line",
            )
        )
    most = 2 if sides else head.classes
    if post.topk_span and post.topk > most:
        found.append(
            error(
                "Z0505",
                f"topk is {post.topk}, but the network{of_head} has {head.classes} classes",
                post.topk_span,
                hint=f"write at most {most}",
            )
        )
    return found


def head_warnings(deployment: Deployment, network: Network) -> list[Diagnostic]:
    """Return a warning for each head whose single score would be no probability."""
    return [
        warning(
            "Z0511",
            "the network gives one score, and no activation makes a probability of it",
            post.span or deployment.model.source.span,
            hint="write `sigmoid` for a binary classifier; `topk` and `eval` mean nothing without it",
        )
        for post, head in zip(deployment.heads, network.heads, strict=True)
        if head.classes == 1 and post.activation == head.activation == "none"
    ]
