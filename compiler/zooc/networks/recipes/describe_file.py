"""Writes a commented `.zoo` file for a network that is a file, and marks what its reader must check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from zooc.networks.network import Network
from zooc.networks.onnx_file.guess import Guess
from zooc.networks.recipes.describe import package_name, quantize_lines
from zooc.networks.recipes.pixel_range import PixelRange, pixel_range
from zooc.networks.recipes.recipe import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["describe_file"]

_RGB = 3
_ENLARGED = 256 / 224
"""How much larger than the crop an image is made, as torchvision's evaluation does."""


def describe_file(guess: Guess, network: Network, *, path: str, data: str | None = None) -> str:
    """Return the description's text, in the standard layout but for what the formatter aligns.

    Args:
        guess: what the file tells of itself.
        network: the file's.
        path: of the file, as written in the language.
        data: a folder of calibration images, as written in the language; without one the package is fp32.
    """
    source = guess.model.source
    lines = [
        f"# {_comment(source.shown)}: {network.classes} classes, {_parameters(network)} parameters.",
        "# Written from what the file tells of itself; check what is marked TODO.",
        *(["# Needs torch: pip install 'zooc[models]'."] if source.kind == "torch" else []),
        "",
        *_model(guess, network, path),
        "",
        *_preprocess(guess, network),
        *quantize_lines(data),
        "",
        *_postprocess(network),
        "",
        f'package {{ name {package_name(Path(source.name).stem)}  version "1.0.0" }}',
    ]
    return "\n".join(lines) + "\n"


def _model(guess: Guess, network: Network, path: str) -> Iterator[str]:
    yield "model {"
    if guess.model.source.kind == "torch":
        yield "  # A program, which compiling opens and runs: take it from people whom you trust alone."
    yield f"  source {guess.model.source.kind}({path})"
    if guess.size_open:
        yield "  # TODO: the file does not fix the image's size; write the height and width of training."
    if network.batch is not None:
        yield f"  # The file works for batches of {network.batch} alone; a free batch is written `batch`."
    batch = "batch" if network.batch is None else network.batch
    yield f"  input [{batch}, {network.channels}, {network.height}, {network.width}]"
    if guess.layout_open:
        yield "  # TODO: the file's shapes do not tell where its channels are; the other is nhwc."
    yield f"  layout {guess.model.layout}"
    for output in guess.model.outputs:
        yield f"  # TODO: the likeliest of its outputs. Others: {_comment(', '.join(guess.others))}."
        yield f"  output {json.dumps(output.text, ensure_ascii=False)}"
    yield f"  classes {network.classes}"
    yield "}"


def _preprocess(guess: Guess, network: Network) -> Iterator[str]:
    height, width, rgb = network.height, network.width, network.channels == _RGB
    yield "preprocess {"
    yield "  # TODO: the file does not say how its images are made; take the steps of your evaluation code."
    if network.channels not in (1, 3):
        yield f"  # Images are TIFF files or `.npy` arrays uint8 [height, width, {network.channels}]."
    yield f"  # Often seen besides: Resize([height, width]), Letterbox([height, width]){', BGR()' * rgb}."
    if height == width:
        yield f"  Resize({round(height * _ENLARGED)})"
        yield f"  CenterCrop({height})"
    else:
        yield f"  Resize([{height}, {width}])"
    if network.channels == 1:
        yield "  Grayscale()"
    yield from _values(pixel_range(network.model, guess.dtype), network.channels)
    yield "}"
    yield ""


def _values(takes: PixelRange, channels: int) -> Iterator[str]:
    if takes == "0..255":
        yield "  # TODO: by its first operators the network takes pixels from 0 to 255 and normalizes itself."
        yield "  PILToTensor()"
        return
    if takes == "0..1":
        yield "  # TODO: by its first operators the network takes pixels from 0 to 1 and normalizes itself."
        yield "  ToTensor()"
        return
    yield "  ToTensor()"
    if channels == _RGB:
        yield "  # TODO: mean and deviation of training; these are ImageNet's."
        yield f"  Normalize(mean={list(IMAGENET_MEAN)}, std={list(IMAGENET_STD)})"
    else:
        yield "  # TODO: mean and deviation of training; these bring 0 to 1 to -1 to 1."
        yield "  Normalize(mean=0.5, std=0.5)"


def _postprocess(network: Network) -> Iterator[str]:
    (head,) = network.heads
    classes = head.classes
    if classes == 1000:
        yield "# TODO: `labels imagenet1k` if these are ImageNet's classes in their usual order, else"
    yield f'# labels "FILE" names the {classes} classes, one a line.'
    activation = head.activation
    if activation == "none":
        activation = "sigmoid" if classes == 1 else "softmax"
        yield "# TODO: softmax where an image is of one class, sigmoid where it can be of several or none."
    else:
        yield f"# The file ends in a {activation} of its own, which takes part no second time."
    topk = f"  topk {min(5, classes)}" if classes > 1 else ""
    yield f"postprocess {{ {activation}{topk} }}"


def _parameters(network: Network) -> str:
    return f"{network.parameters:,}"


def _comment(text: str) -> str:
    """On one line, whatever a file's names hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
