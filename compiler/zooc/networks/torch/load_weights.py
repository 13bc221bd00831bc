"""What a torch source creates, and how it comes by its weights: the same for every library."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zooc.deployment import FileWeights, Model, RandomWeights
from zooc.networks.torch.checkpoint import classes_of, read_checkpoint
from zooc.networks.torch.state_dict import fill_randomly, fit_weights, without_prefix
from zooc.support.cache import file_sha256

__all__ = ["Created", "load_weights", "unchanged"]

State = Mapping[str, Any]


def unchanged(given: Any) -> Any:
    """Return `given`."""
    return given


@dataclass(frozen=True)
class Created:
    """A torch module with its weights.

    Attributes:
        module: in evaluation mode.
        weights: the weights in words: a file's name, `pretrained` or `random(seed=0)`.
        weights_sha256: sha256 (hex) of the file or of the published tensors; `None` for random ones.
        classes: number of classes.
        as_published: makes of the module, changing it, the form whose layers the publisher counts.
    """

    module: Any
    weights: str
    weights_sha256: str | None
    classes: int
    as_published: Callable[[Any], Any] = unchanged


def load_weights(
    model: Model,
    classes: int,
    new: Callable[[State | None, int], Any],
    published: Callable[[], Any],
    *,
    translate: Callable[[dict[str, Any]], dict[str, Any]] = unchanged,
    as_published: Callable[[Any], Any] = unchanged,
) -> Created:
    """Create a module and give it the weights that `model` names.

    Args:
        model: the checked `model` block.
        classes: number of classes that the publisher's weights have; the description's, and where that names
            none a weights file's own, go before it.
        new: creates the module without weights, for a state dict that it is to take, if there is one, and for
            a number of classes.
        published: creates the module with its published weights.
        translate: turns a state dict's older names into those of today.
        as_published: see `Created`.

    Raises:
        ZoocError: weights unreadable (`Z0204`), not fitting (`Z0205`), or what `new` and `published` raise.
    """
    weights = model.weights
    name = model.source.shown
    if isinstance(weights, FileWeights):
        path = weights.path
        state = translate(read_checkpoint(path, weights.span))
        classes = model.classes or classes_of(state) or classes
        module = new(state, classes)
        state, prefix = without_prefix(module, state)
        if prefix:
            state = translate(state)
            module = new(state, classes)
        fit_weights(module, state, path.name, name, weights.span)
        words, digest = path.name, file_sha256(path)
        words += f" (keys without their `{prefix}`)" if prefix else ""
    elif isinstance(weights, RandomWeights):
        module = new(None, classes)
        fill_randomly(module, weights.seed)
        words, digest = f"random(seed={weights.seed})", None
    else:
        module = published()
        words, digest = "pretrained", _tensors_sha256(module)
    return Created(module.eval(), words, digest, classes, as_published)


def _tensors_sha256(module: Any) -> str:
    """The sha256 over names, types, shapes and bytes of a state dict, in order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
