"""Creates a torchvision classifier with its weights.

A name may carry the tag of published weights, as timm's do: `torchvision.resnet50.IMAGENET1K_V1`. Without
one, `pretrained` means torchvision's own default.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from zooc.deployment import Model, ModelSource
from zooc.networks.torch.download import impatient
from zooc.networks.torch.errors import check_published_classes, no_download, uncreatable, unknown_tag
from zooc.networks.torch.load_weights import Created, State, load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchvision
    from torchvision import models

__all__ = ["classifiers", "create", "published_weights"]

_AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
"""Heads that only training uses."""

_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")
"""Published DenseNet files are older than a rename: `norm.1.weight` for what is `norm1.weight` today."""


def classifiers() -> list[str]:
    """Return the names of torchvision's float classifiers."""
    return list(models.list_models(module=models))


def published_weights(source: ModelSource) -> Any:
    """Return the entry of torchvision's weights enumeration that a source's name means.

    Raises:
        ZoocError: `Z0201`: there is no such model, or no such tag.
    """
    base, _, tag = source.name.partition(".")
    known = classifiers()
    if base in known:
        entries = models.get_model_weights(base)
        if not tag:
            return entries.DEFAULT
        if tag in entries.__members__:
            return entries[tag]
        tags = [f"{base}.{name}" for name in entries.__members__]
    else:
        tags = []
    raise unknown_tag(
        source,
        f"torchvision {torchvision.__version__.partition('+')[0]}",
        tags,
        known,
        "torchvision.models.list_models(module=torchvision.models) lists the names",
    )


def create(model: Model) -> Created:
    """Return the module with its weights.

    Raises:
        ZoocError: unknown name (`Z0201`), weights unreadable (`Z0204`), not fitting (`Z0205`) or not to be
            had (`Z0206`), or a model that cannot be created so (`Z0207`).
    """
    entry = published_weights(model.source)
    published = len(entry.meta.get("categories") or range(1000))
    classes = model.classes or published
    if model.input is not None and model.input.channels != 3:
        raise uncreatable(model, f"its models take 3 channels, not {model.input.channels}")

    def new(state: State | None, classes: int) -> Any:
        return _new(model, classes, state)

    def pretrained() -> Any:
        check_published_classes(model, published, classes)
        try:
            with impatient(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return models.get_model(_base(model), weights=entry, progress=False)
        except (OSError, RuntimeError) as problem:
            file = entry.url.rsplit("/", 1)[-1]
            hint = f'download {entry.url} on a machine with a network and write weights "{file}"'
            raise no_download(model, problem, hint) from problem

    created = load_weights(model, classes, new, pretrained, translate=_today)
    _drop_auxiliary(created.module)
    return created


def _base(model: Model) -> str:
    return model.source.name.partition(".")[0]


def _new(model: Model, classes: int, state: State | None) -> Any:
    name = _base(model)
    options = _options(model, state)
    if model.input is not None and name.startswith("vit_"):
        options["image_size"] = model.input.height
    if model.input is not None and name.startswith("maxvit"):
        options["input_size"] = (model.input.height, model.input.width)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return models.get_model(name, weights=None, num_classes=classes, **options)
    except (RuntimeError, ValueError, TypeError, AssertionError, KeyError) as problem:
        raise uncreatable(model, problem) from problem


def _options(model: Model, state: State | None) -> dict[str, Any]:
    """GoogLeNet and Inception: normalized as the published weights want it, auxiliary heads as in `state`."""
    heads = _AUXILIARY.get(_base(model))
    if heads is None:
        return {}
    prefixes = tuple(f"{head}." for head in heads)
    auxiliary = state is not None and any(key.startswith(prefixes) for key in state)
    return {"transform_input": True, "aux_logits": auxiliary, "init_weights": False}


def _drop_auxiliary(module: Any) -> None:
    if getattr(module, "aux_logits", False):
        module.aux_logits = False
        for heads in _AUXILIARY.values():
            for head in heads:
                if hasattr(module, head):
                    setattr(module, head, None)


def _today(state: dict[str, Any]) -> dict[str, Any]:
    return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
