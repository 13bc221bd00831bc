"""Creates a timm model with its weights."""

from __future__ import annotations

import warnings
from typing import Any

from zooc.deployment import Model, ModelSource
from zooc.networks.torch.download import impatient_with_hub
from zooc.networks.torch.errors import check_published_classes, no_download, uncreatable, unknown_tag
from zooc.networks.torch.load_weights import Created, State, load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import timm

__all__ = ["check_name", "create", "new_module"]


def create(model: Model) -> Created:
    """Return the module with its weights.

    Raises:
        ZoocError: unknown name (`Z0201`), weights unreadable (`Z0204`), not fitting (`Z0205`) or not to be
            had (`Z0206`), or a model that cannot be created so (`Z0207`).
    """
    check_name(model.source)
    classes = model.classes or int(timm.get_pretrained_cfg(model.source.name).num_classes)

    def new(_state: State | None, classes: int) -> Any:
        return new_module(model, model.source.name, classes)

    return load_weights(model, classes, new, lambda: _pretrained(model, classes))


def check_name(source: ModelSource) -> None:
    """Refuse a name that the installed timm does not have.

    Raises:
        ZoocError: `Z0201`.
    """
    name = source.name
    known = timm.list_models()
    if name in known or name in (tagged := timm.list_models(pretrained=True)):
        return
    tags = [n for n in tagged if n.split(".")[0] == name.split(".")[0]]
    raise unknown_tag(source, f"timm {timm.__version__}", tags, known, "timm.list_models() lists the names")


def new_module(model: Model, name: str, classes: int) -> Any:
    """Return timm's model `name` without weights, for `model`'s channels.

    Raises:
        ZoocError: `Z0207`.
    """
    try:
        return _call(model, name, classes, pretrained=False)
    except (RuntimeError, ValueError, TypeError, AssertionError, KeyError) as problem:
        raise uncreatable(model, problem) from problem


def _call(model: Model, name: str, classes: int, *, pretrained: bool) -> Any:
    options: dict[str, Any] = {"num_classes": classes}
    if model.input is not None and model.input.channels != 3:
        options["in_chans"] = model.input.channels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return timm.create_model(name, pretrained=pretrained, **options)


def _pretrained(model: Model, classes: int) -> Any:
    config = timm.get_pretrained_cfg(model.source.name)
    check_published_classes(model, int(config.num_classes), classes)
    try:
        with impatient_with_hub():
            return _call(model, model.source.name, classes, pretrained=True)
    except Exception as problem:  # each of the hubs' clients raises errors of its own
        raise no_download(model, problem, _download_hint(config)) from problem


def _download_hint(config: Any) -> str:
    if config.hf_hub_id:
        file = config.hf_hub_filename or "model.safetensors"
        address = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{file}"
    elif config.url:
        address = str(config.url)
        file = address.rsplit("/", 1)[-1]
    else:
        return 'timm publishes none; write weights "FILE" or weights random(seed=0)'
    return f'download {address} on a machine with a network and write weights "{file}"'
