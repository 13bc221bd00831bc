"""Recipes of timm's models, from timm's own data configuration of each."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

from zooc.deployment import ModelSource, Normalize, Preprocess
from zooc.networks.recipes.recipe import Recipe, no_recipe
from zooc.networks.torch.models.timm import check_name
from zooc_runtime.preprocessing.steps import CenterCrop, Resize

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import timm
    from timm.data import resolve_data_config

__all__ = ["timm_recipe"]

_WRITABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", re.ASCII)
"""A few of timm's tags begin with a digit."""


def timm_recipe(source: ModelSource) -> Recipe:
    """Return what `timm.data.resolve_model_data_config` and `timm.data.create_transform` make for evaluation.

    Raises:
        ZoocError: `Z0201`; `Z0224`: no classifier, or preprocessing that the language cannot say.
    """
    check_name(source)
    config = timm.get_pretrained_cfg(source.name)
    if not _WRITABLE.fullmatch(source.name):
        hint = "leave out what follows the dot, and name a weights file"
        raise no_recipe(source, "the language cannot write this name", hint)
    if not config.num_classes:
        raise no_recipe(source, "it gives features, not classes", "choose a classifier")
    data = resolve_data_config(pretrained_cfg=config.to_dict())
    channels, height, width = data["input_size"]
    if channels != 3:
        raise no_recipe(source, f"it takes {channels} channels", "write the file by hand")
    published = config.hf_hub_id or config.url
    return Recipe(
        source,
        f"timm's {source.name}, with timm's own data configuration for it (timm {timm.__version__}).",
        height,
        width,
        int(config.num_classes),
        Preprocess(_steps(source, data, height, width), _normalize(data)),
        f"{source.name.partition('.')[0]}.safetensors",
        "timm's own" if published else None,
        None if published else "train it yourself, for timm publishes none,",
        "timm's loader",
    )


def _steps(source: ModelSource, data: dict[str, Any], height: int, width: int) -> tuple[Resize, CenterCrop]:
    """timm resizes to `floor(size / crop_pct)` and crops."""
    scaled = (math.floor(height / data["crop_pct"]), math.floor(width / data["crop_pct"]))
    mode = data["crop_mode"]
    crop = CenterCrop(height, width)
    if mode == "squash":
        return Resize(scaled, data["interpolation"]), crop
    if mode != "center" or height != width:
        shape = f"{height} x {width}"
        reason = f"no steps of the language equal timm's crop_mode {mode!r} for {shape} pixels"
        raise no_recipe(source, reason, "write the file by hand, with steps that come near")
    return Resize(scaled[0], data["interpolation"]), crop


def _normalize(data: dict[str, Any]) -> Normalize:
    red, green, blue = data["mean"]
    mean = (float(red), float(green), float(blue))
    red, green, blue = data["std"]
    return Normalize(mean=mean, std=(float(red), float(green), float(blue)))
