"""Recipes of torchvision's models, from the transforms that come with their published weights."""

from __future__ import annotations

from zooc.deployment import ModelSource, Normalize, Preprocess
from zooc.networks.recipes.recipe import Recipe
from zooc.networks.torch.models.torchvision import published_weights
from zooc_runtime.preprocessing.steps import CenterCrop, Resize

__all__ = ["torchvision_recipe"]


def torchvision_recipe(source: ModelSource) -> Recipe:
    """Return the recipe of the weights that the source's tag names, or of torchvision's default ones.

    Raises:
        ZoocError: `Z0201`.
    """
    entry = published_weights(source)
    transforms = entry.transforms()
    crop = transforms.crop_size
    height, width = crop if len(crop) == 2 else (crop[0], crop[0])
    resize = transforms.resize_size
    size = resize[0] if len(resize) == 1 else (resize[0], resize[1])
    steps = (Resize(size, transforms.interpolation.value), CenterCrop(height, width))
    normalize = Normalize(mean=tuple(transforms.mean), std=tuple(transforms.std))
    return Recipe(
        source,
        f"torchvision's {source.name.partition('.')[0]}, with the preprocessing of its weights {entry.name}.",
        height,
        width,
        len(entry.meta["categories"]),
        Preprocess(steps, normalize),
        entry.url.rsplit("/", 1)[-1],
        f"torchvision's {entry.name}",
        resized_by="torchvision's reference training by default",
    )
