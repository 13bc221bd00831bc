"""Reads a checkpoint file's tensors, whatever wrapping its trainer left around them."""

from __future__ import annotations

import contextlib
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.networks.file_kind import file_kind

__all__ = ["classes_of", "read_checkpoint", "refuse_program"]

_WRAPPERS = (
    *("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model_state"),
    *("model", "network", "net", "module"),
)
"""Keys under which trainers keep the weights, averaged ones first."""

_HEADS = frozenset({"classifier", "fc", "head", "heads", "last_linear", "linear", "logits", "output"})
"""What the modules are called that end a classifier."""

_WHOLE = {"exported": "a torch.export program", "torchscript": "a TorchScript", "onnx": "an ONNX file"}

_PREFIXES = ("module.", "_orig_mod.")


def read_checkpoint(path: Path, span: Span | None) -> dict[str, Any]:
    """Return the file's state dict: names, without a wrapper's prefix, to torch tensors on the CPU.

    Reads `.safetensors`, and what `torch.save` writes; never runs code that a file holds.

    Raises:
        ZoocError: `Z0204`: unreadable, truncated, holding code, or no state dict; `Z0231`: a whole network.
    """
    refuse_program(path, span)
    content = _read_safetensors(path, span) if path.suffix == ".safetensors" else _read_torch(path, span)
    return _unwrap(content, path, span)


def classes_of(state: dict[str, Any]) -> int | None:
    """Return the number of classes of a classifier's state dict: the outputs of its last matrix.

    That is one of a module named as classifiers' last ones are, since safetensors sorts its names; else the
    file's last. `None` if it has none; a guess, since nothing in the file says which layer is the last.
    """
    matrices = [name for name in state if _is_matrix(name, state)]
    heads = {name: depth for name in matrices if (depth := _head_depth(name)) is not None}
    if heads:
        outermost = min(heads.values())
        matrices = sorted((n for n, depth in heads.items() if depth == outermost), key=_numerically)
    return int(state[matrices[-1]].shape[0]) if matrices else None


def _is_matrix(name: str, state: dict[str, Any]) -> bool:
    shape = tuple(state[name].shape)
    if not name.endswith("weight") or len(shape) < 2 or any(size != 1 for size in shape[2:]):
        return False
    bias = state.get(name.removesuffix("weight") + "bias")
    return bias is None or tuple(bias.shape) == shape[:1]


def _head_depth(name: str) -> int | None:
    """How deep a module named as a classifier's last one lies."""
    return next((depth for depth, part in enumerate(name.split(".")[:-1]) if part in _HEADS), None)


def _numerically(name: str) -> list[tuple[int, str]]:
    """A sort key that puts `classifier.10` behind `classifier.6`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def refuse_program(path: Path, span: Span | None) -> None:
    """Refuse a file that is a whole network, given as the weights of one.

    Raises:
        ZoocError: `Z0231`.
    """
    kind = file_kind(path)
    if kind not in _WHOLE:
        return
    what = f"it is {_WHOLE[kind]}, which has its own weights"
    name = json.dumps(path.name, ensure_ascii=False)
    source = f"{'onnx' if kind == 'onnx' else 'torch'}({name})"
    raise ZoocError(
        error(
            "Z0231",
            f"{path.name} is a whole network, not weights for one",
            span,
            notes=(what, "`zooc new FILE` writes a description of it"),
            hint=f"write `source {source}` in place of the architecture and the weights",
        )
    )


def _read_safetensors(path: Path, span: Span | None) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as problem:
        raise _unreadable(path, span, _diagnosis(path) or str(problem)) from problem


def _read_torch(path: Path, span: Span | None) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        note = _diagnosis(path)
        if note is None and "Unsupported global" in str(problem):
            note = "it contains Python objects besides tensors; loading them would execute code in the file"
        raise _unreadable(path, span, note or "it is not a PyTorch checkpoint") from problem
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError) as problem:
        note = _diagnosis(path) or "it is truncated or not a PyTorch checkpoint"
        raise _unreadable(path, span, note) from problem


def _diagnosis(path: Path) -> str | None:
    """What the file's first bytes show it to be, where that explains why it is no checkpoint."""
    start = b""
    with contextlib.suppress(OSError), path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, probably from a download link that needs a login or a click"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; `git lfs pull` fetches the file itself"
    return None


def _unwrap(content: Any, path: Path, span: Span | None) -> dict[str, Any]:
    import torch

    while isinstance(content, dict):
        inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not content:
        raise _unreadable(path, span, f"it contains a {type(content).__name__}, not a dict of tensors")
    foreign = [str(k) for k, v in content.items() if not (isinstance(k, str) and torch.is_tensor(v))]
    if foreign:
        raise _unreadable(path, span, f"entries that are not tensors: {', '.join(foreign[:10])}")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    for name, value in content.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise _unreadable(path, span, f"{name} contains NaN or infinite values")
    return dict(content)


def _unreadable(path: Path, span: Span | None, note: str) -> ZoocError:
    return ZoocError(
        error(
            "Z0204",
            f"{path.name} cannot be used as weights",
            span,
            notes=(note,),
            hint="use a file written by torch.save(model.state_dict(), ...) or by safetensors",
        )
    )
