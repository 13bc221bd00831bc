"""Finds a source's recipe."""

from __future__ import annotations

from zooc.deployment import ModelSource
from zooc.networks.recipes.official import official_recipe
from zooc.networks.recipes.recipe import Recipe
from zooc.networks.torch.packages import require_packages

__all__ = ["find_recipe"]


def find_recipe(source: ModelSource) -> Recipe:
    """Return the model's own size, preprocessing and classes, without creating the model.

    The official models' need no torch; the others are what the installed library says.

    Raises:
        ZoocError: unknown name (`Z0201`), library missing (`Z0203`), or a model whose preprocessing the
            language cannot say, or that is no classifier (`Z0224`).
    """
    if source.kind == "official":
        return official_recipe(source)
    require_packages(source)
    # Only now: both take seconds to import.
    if source.kind == "timm":
        from zooc.networks.recipes.from_timm import timm_recipe

        return timm_recipe(source)
    from zooc.networks.recipes.from_torchvision import torchvision_recipe

    return torchvision_recipe(source)
