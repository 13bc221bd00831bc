"""Creates the networks of `official.NAME`: ResNeSt by timm, whose keys are the official ones, and iResNet."""

from __future__ import annotations

from typing import Any

from torch import nn

from zooc.deployment import Model
from zooc.networks.torch.download import fetch_state
from zooc.networks.torch.errors import check_published_classes, no_download, uncreatable, unknown_official
from zooc.networks.torch.load_weights import Created, State, load_weights
from zooc.networks.torch.models.iresnet import DEPTHS, IResNet
from zooc.networks.torch.official_names import OFFICIAL, RESNEST
from zooc.networks.torch.state_dict import fit_weights

__all__ = ["create"]

_CLASSES = 1000

_RELEASE = "https://github.com/zhanghang1989/ResNeSt/releases/download/weights_step1/"


def create(model: Model) -> Created:
    """Return the module with its weights.

    Raises:
        ZoocError: unknown name (`Z0201`), weights unreadable (`Z0204`), not fitting (`Z0205`) or not to be
            had (`Z0206`), or a model that cannot be created so (`Z0207`).
    """
    name = model.source.name
    if name not in OFFICIAL:
        raise unknown_official(model.source)
    classes = model.classes or _CLASSES
    if model.input is not None and model.input.channels != 3:
        raise uncreatable(model, f"it takes 3 channels, not {model.input.channels}")
    if name in RESNEST:
        return load_weights(
            model,
            classes,
            lambda _state, number: _resnest(model, number),
            lambda: _published_resnest(model, classes),
            as_published=_as_official_resnest,
        )

    def new(_state: State | None, classes: int) -> Any:
        return IResNet(DEPTHS[name], classes)

    def published() -> Any:
        hint = f'download {name} by the link on https://github.com/iduta/iresnet and write weights "FILE"'
        raise no_download(model, "they are on a file hosting site that has no direct link", hint)

    return load_weights(model, classes, new, published)


def _resnest(model: Model, classes: int) -> Any:
    from zooc.networks.torch.models.timm import new_module

    return new_module(model, RESNEST[model.source.name].timm, classes)


def _published_resnest(model: Model, classes: int) -> Any:
    check_published_classes(model, _CLASSES, classes)
    file = RESNEST[model.source.name].checkpoint
    address = _RELEASE + file
    try:
        state = fetch_state(address)
    except (OSError, RuntimeError) as problem:
        hint = f'download {address} on a machine with a network and write weights "{file}"'
        raise no_download(model, problem, hint) from problem
    module = _resnest(model, classes)
    span = model.weights.span if model.weights else model.source.span
    fit_weights(module, state, file, f"official.{model.source.name}", span)
    return module


class _FunctionalPool(nn.Module):  # type: ignore[misc]
    """A global average pooling that is no layer of torch's."""

    def forward(self, x: Any) -> Any:
        """Average `[batch, channels, h, w]` to `[batch, channels]`."""
        return x.mean((2, 3))


def _as_official_resnest(module: Any) -> Any:
    """The official code's layers, where they differ from timm's without any effect on the result.

    It pools the first stage's shortcut by 1 x 1, where timm passes it on, and writes the global pooling as
    a function, where timm has a layer. Whoever counts by layers counts the one and not the other.
    """
    module.layer1[0].downsample[0] = nn.AvgPool2d(1, 1)
    module.global_pool = _FunctionalPool()
    return module
