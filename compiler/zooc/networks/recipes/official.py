"""The official ResNeSt's and iResNet's recipes, from their publishers' evaluation code."""

from __future__ import annotations

from zooc.deployment import ModelSource, Normalize, Preprocess
from zooc.networks.recipes.recipe import IMAGENET_MEAN, IMAGENET_STD, Recipe
from zooc.networks.torch.errors import unknown_official
from zooc.networks.torch.official_names import OFFICIAL, RESNEST
from zooc_runtime.preprocessing.steps import CenterCrop, ECenterCrop, Resize, Step

__all__ = ["official_recipe"]


def official_recipe(source: ModelSource) -> Recipe:
    """Return how the official repositories preprocess.

    ResNeSt: its own size each, ECenterCrop. iResNet: 224 out of 256, as torchvision's examples do.

    Raises:
        ZoocError: `Z0201`.
    """
    if source.name not in OFFICIAL:
        raise unknown_official(source)
    if (resnest := RESNEST.get(source.name)) is not None:
        return Recipe(
            source,
            f"The official {source.name} (zhanghang1989/ResNeSt, arXiv:2004.08955) with its preprocessing.",
            resnest.size,
            resnest.size,
            1000,
            _preprocess(ECenterCrop(resnest.size)),
            resnest.checkpoint,
            "the official ones",
            resized_by="its publisher's code",
        )
    return Recipe(
        source,
        f"The official {source.name} (iduta/iresnet, arXiv:2004.04989) with its preprocessing.",
        224,
        224,
        1000,
        _preprocess(Resize(256), CenterCrop(224, 224)),
        f"{source.name}.pth",
        None,
        "download the checkpoint by its link on https://github.com/iduta/iresnet",
        "its publisher's code",
    )


def _preprocess(*steps: Step) -> Preprocess:
    return Preprocess(steps, Normalize(mean=IMAGENET_MEAN, std=IMAGENET_STD))
