"""A model's own sizes and preprocessing, as data."""

from __future__ import annotations

from dataclasses import dataclass

from zooc.deployment import ModelSource, Preprocess
from zooc.diagnostics.diagnostic import ZoocError, error

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Recipe", "no_recipe"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is meant to be used.

    Attributes:
        source: the model.
        title: a line that says what the model is and where the rest comes from.
        height: of the input, in pixels.
        width: of the input, in pixels.
        classes: number of outputs.
        preprocess: what its publisher does to an image.
        checkpoint: the file name of its published weights, for an example.
        pretrained: where `weights pretrained` takes them from, in words; `None` if they must be fetched by
            hand, as `fetch` then says.
        fetch: where to find the weights by hand.
        resized_by: whose code resized PIL images in training, in words; `None` where that is not known.
    """

    source: ModelSource
    title: str
    height: int
    width: int
    classes: int
    preprocess: Preprocess
    checkpoint: str
    pretrained: str | None
    fetch: str | None = None
    resized_by: str | None = None


def no_recipe(source: ModelSource, reason: str, hint: str) -> ZoocError:
    """Return `Z0224`: the model is known, but there is no description of it that would be right."""
    message = f"there is no recipe for {source.kind}.{source.name}: {reason}"
    return ZoocError(error("Z0224", message, source.span, hint=hint))
