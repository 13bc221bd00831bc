"""What each model's publisher does with an image before the network sees it."""

from __future__ import annotations

from zooc.models.recipes.describe import describe_recipe
from zooc.models.recipes.find import find_recipe
from zooc.models.recipes.recipe import Recipe

__all__ = ["Recipe", "describe_recipe", "find_recipe"]
