"""Puts weights into a torch module, and names every key that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zooc.diagnostics.diagnostic import Span, ZoocError, error

__all__ = ["fill_randomly", "fit_weights", "without_prefix"]

_SHOWN = 10

_COUNTERS = ("num_batches_tracked", "total_ops", "total_params")
"""Entries that no result depends on: BatchNorm's batch counters, and what thop leaves in a counted model."""


def without_prefix(module: Any, state: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return what of `state` is the module's, and the prefix that its keys had, empty for none.

    Trainers wrap a network in a module of their own, whose keys then begin with `model.` or the like; beside
    them stand keys of losses and metrics. A prefix counts if every key of the module is there behind it.
    """
    expected = [key for key in module.state_dict() if not key.endswith(_COUNTERS)]
    if not expected or all(key in state for key in expected):
        return state, ""
    first = expected[0]
    prefixes = (key[: -len(first)] for key in state if key.endswith(f".{first}"))
    for prefix in sorted(prefixes, key=len):
        if all(prefix + key in state for key in expected):
            inner = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            return inner, prefix
    return state, ""


def fit_weights(module: Any, state: dict[str, Any], file: str, model: str, span: Span | None) -> None:
    """Load `state` into `module`, in place; every key must fit, but for mere counters.

    Raises:
        ZoocError: `Z0205`: keys missing, unexpected or of another shape.
    """
    expected = module.state_dict()
    missing = [k for k in expected if k not in state and not k.endswith(_COUNTERS)]
    unexpected = [k for k in state if k not in expected and not k.endswith(_COUNTERS)]
    shapes = [
        f"{k}: {list(state[k].shape)} in the file, {list(expected[k].shape)} in the model"
        for k in expected
        if k in state and state[k].shape != expected[k].shape
    ]
    notes = [
        f"{what}: {_some(keys, separator)}"
        for what, keys, separator in (
            ("missing in the file", missing, ", "),
            ("not in the model", unexpected, ", "),
            ("other shapes", shapes, "; "),
        )
        if keys
    ]
    if notes:
        count = len(missing) + len(unexpected) + len(shapes)
        raise ZoocError(
            error(
                "Z0205",
                f"the weights in {file} do not fit {model}: {count} of {len(expected)} keys differ",
                span,
                notes=tuple(notes),
                hint=_advice(missing, unexpected, shapes, len(expected)),
            )
        )
    module.load_state_dict(state, strict=False)


def fill_randomly(module: Any, seed: int) -> None:
    """Set every parameter and running statistic of `module` to `draw_weight`'s, in place.

    Other buffers (counters, index tables) keep their values: they are part of the architecture.
    """
    import torch

    from zooc.networks.torch.random_weights import draw_weight, norm_factor

    drawn = dict(module.named_parameters())
    drawn |= {k: v for k, v in module.named_buffers() if k.endswith(("running_mean", "running_var"))}
    factor = norm_factor(sum(key.endswith("running_var") for key in drawn))
    with torch.no_grad():
        for key, tensor in drawn.items():
            tensor.copy_(torch.from_numpy(draw_weight(key, tuple(tensor.shape), seed, factor)))


def _some(items: Sequence[str], separator: str) -> str:
    more = len(items) - _SHOWN
    return separator.join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _advice(missing: list[str], unexpected: list[str], shapes: list[str], total: int) -> str:
    if len(missing) > total // 2:
        return "the file belongs to another architecture; write that architecture as the source"
    if shapes and not missing and not unexpected:
        return "if only the last layer differs, `classes` is not the number that the file was trained for"
    return "use a checkpoint of this model"
