"""Loads the network of a `model` block, or finds in the cache what loading it gave before."""

from __future__ import annotations

from collections.abc import Callable

from zooc.deployment import Model
from zooc.networks.network import Network, read_network, write_network
from zooc.networks.onnx_file.guess import Guess
from zooc.networks.onnx_file.source import OnnxFileSource
from zooc.networks.source import Source
from zooc.networks.torch.program.source import TorchFileSource
from zooc.networks.torch.source import TORCH_SOURCES
from zooc.support.cache import Cache, key

__all__ = ["SOURCES", "export_network", "guess_network", "load_network"]

_CACHE_KIND = "network"

_FILES: dict[str, OnnxFileSource | TorchFileSource] = {"onnx": OnnxFileSource(), "torch": TorchFileSource()}

SOURCES: dict[str, Source] = {**_FILES, **TORCH_SOURCES}
"""The loader of each kind of source."""


def load_network(
    model: Model, cache: Cache, *, on_progress: Callable[[str], None] = lambda _: None
) -> Network:
    """Return the network that `model` describes.

    Args:
        model: the checked `model` block.
        cache: where a network loaded before is found again. On a hit neither torch nor timm is imported.
        on_progress: told in a few words what is being done, before each lengthy step.

    Raises:
        ZoocError: the source, its weights or its file cannot be used (`Z02xx`).
    """
    source = SOURCES[model.source.kind]
    identity = _identity(model)
    if (entry := cache.get(_CACHE_KIND, identity)) is not None:
        on_progress("network found in the cache")
        return read_network(entry, model.source.span)
    network = source.load(model, on_progress)
    cache.put(_CACHE_KIND, identity, lambda path: write_network(network, path))
    return network


def guess_network(
    model: Model, cache: Cache, *, on_progress: Callable[[str], None] = lambda _: None
) -> tuple[Guess, Network]:
    """Return what can be told of a file, and its network, which the cache then has for the guessed model.

    Args:
        model: of kind `onnx` or `torch`; what it says beside its source is not guessed.
        cache: where the network is put.
        on_progress: told in a few words what is being done.

    Raises:
        ZoocError: the file is no image classifier, or cannot be used (`Z02xx`, `Z0815`).
    """
    guess, network = _FILES[model.source.kind].load_guessed(model, on_progress)
    cache.put(_CACHE_KIND, _identity(guess.model), lambda path: write_network(network, path))
    return guess, network


def _identity(model: Model) -> str:
    return key(model.source.kind, model.source.name, SOURCES[model.source.kind].identify(model))


def export_network(
    model: Model, *, on_progress: Callable[[str], None] = lambda _: None
) -> tuple[Network, int]:
    """Export a torch model anew and count its operations.

    Args:
        model: of kind `timm`, `torchvision` or `official`.
        on_progress: told in a few words what is being done.

    Returns:
        The network, and its operations for one image as deployment pages count them: thop's
        multiply-accumulates (`zooc.networks.torch.count_operations`).

    Raises:
        ZoocError: the source or its weights cannot be used (`Z02xx`).
    """
    return TORCH_SOURCES[model.source.kind].load_counted(model, on_progress)
