"""Creates a timm model with its weights; the only file that imports timm."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from typing import Any

from zooc.cache import file_sha256
from zooc.deployment import FileWeights, Model, RandomWeights
from zooc.diagnostics import ZoocError, error
from zooc.models.checkpoint import read_checkpoint
from zooc.models.fit_weights import fill_randomly, fit_weights
from zooc.models.timm_source import near_names

# huggingface_hub reads these when it is first imported; a compile must not hang on a dead network.
os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "10")
os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "5")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import timm

__all__ = ["create"]


def create(model: Model) -> tuple[Any, str, str | None, int]:
    """The module in evaluation mode, its weights in words, their sha256, and the number of classes.

    Raises:
        ZoocError: unknown name (`Z0201`), weights unreadable (`Z0204`), not fitting (`Z0205`) or not to be
            had (`Z0206`), or a model that cannot be created so (`Z0207`).
    """
    name = model.source.name
    known = timm.list_models()
    if name not in known and name not in timm.list_models(pretrained=True):
        raise _unknown(model, known)
    classes = model.classes or int(timm.get_pretrained_cfg(name).num_classes)
    weights = model.weights
    if isinstance(weights, FileWeights):
        state = read_checkpoint(weights.path, weights.span)
        module = _new(model, classes)
        fit_weights(module, state, weights.path.name, f"timm.{name}", weights.span)
        return module.eval(), weights.path.name, file_sha256(weights.path), classes
    if isinstance(weights, RandomWeights):
        module = _new(model, classes)
        fill_randomly(module, weights.seed)
        return module.eval(), f"random(seed={weights.seed})", None, classes
    module = _pretrained(model, classes)
    return module.eval(), "pretrained", _tensors_sha256(module), classes


def _unknown(model: Model, known: list[str]) -> ZoocError:
    name = model.source.name
    base, _, tag = name.partition(".")
    notes: tuple[str, ...] = ()
    if tag and base in known:
        tags = [n for n in timm.list_models(pretrained=True) if n.split(".")[0] == base]
        near = [base, *tags][:6]
        notes = (f"{base} is a model of timm, but has no weights named {tag}",)
    else:
        near = near_names(base, known)
    listed = ", ".join(f"timm.{n}" for n in near)
    return ZoocError(
        error(
            "Z0201",
            f"timm {timm.__version__} has no model {name}",
            model.source.span,
            notes=notes,
            hint=f"did you mean {listed}?" if near else "timm.list_models() lists the names",
        )
    )


def _new(model: Model, classes: int, *, pretrained: bool = False) -> Any:
    options: dict[str, Any] = {"num_classes": classes}
    if model.input is not None and model.input.channels != 3:
        options["in_chans"] = model.input.channels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return timm.create_model(model.source.name, pretrained=pretrained, **options)
    except (RuntimeError, ValueError, TypeError, AssertionError, KeyError) as problem:
        if pretrained:
            raise
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise ZoocError(
            error(
                "Z0207",
                f"timm cannot create {model.source.name} so",
                model.source.span,
                notes=(lines[0],),
                hint="check classes and the input's channels",
            )
        ) from problem


def _pretrained(model: Model, classes: int) -> Any:
    config = timm.get_pretrained_cfg(model.source.name)
    span = model.weights.span if model.weights else model.source.span
    if config.num_classes != classes:
        raise ZoocError(
            error(
                "Z0205",
                f"the published weights of {model.source.name} are for {config.num_classes} classes, "
                f"not {classes}",
                model.classes_span or span,
                hint=f"write classes {config.num_classes}, or give weights trained for {classes} as a file",
            )
        )
    try:
        with _impatient():
            return _new(model, classes, pretrained=True)
    except Exception as problem:  # each of the hubs' clients raises errors of its own
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise ZoocError(
            error(
                "Z0206",
                f"the published weights of {model.source.name} cannot be downloaded",
                span,
                notes=(lines[0],),
                hint=_download_hint(config),
            )
        ) from problem


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


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Within: short timeouts, quiet hub clients, and no retries where there is no network at all.

    Without a network huggingface_hub would ask for most of a minute, though a file that it holds already
    needs no asking: its offline mode serves that one, or fails at once.
    """
    from huggingface_hub import constants

    timeout, offline, level = (
        socket.getdefaulttimeout(),
        constants.HF_HUB_OFFLINE,
        logging.root.manager.disable,
    )
    socket.setdefaulttimeout(10)
    logging.disable(logging.ERROR)
    constants.HF_HUB_OFFLINE = offline or not _hub_answers()
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        logging.disable(level)
        constants.HF_HUB_OFFLINE = offline


def _hub_answers() -> bool:
    """Whether the hub's host takes a connection; taken for granted behind a proxy."""
    if any(urllib.request.getproxies().get(scheme) for scheme in ("https", "all")):
        return True
    host = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        socket.create_connection((host.hostname or "", host.port or 443), timeout=5).close()
    except OSError:
        return False
    return True


def _tensors_sha256(module: Any) -> str:
    """The sha256 over names, types, shapes and bytes of a state dict, in order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
