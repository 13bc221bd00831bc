"""A program's results in a row, and their names: a tensor, or tuples and dicts of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils import _pytree as tree

__all__ = ["arrays", "names"]


def names(result: Any) -> list[str]:
    """Return a name for each tensor of a result: the keys that lead to it, or its number."""
    paths = [path for path, _ in tree.tree_flatten_with_path(result)[0]]
    return ["scores" if not path else _name(path) for path in paths]


def arrays(result: Any) -> list[npt.NDArray[Any]]:
    """Return a result's tensors in the same order."""
    tensors = [leaf for leaf in tree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]
    plain = (t.float() if t.dtype == torch.bfloat16 else t for t in tensors)
    return [np.asarray(tensor.detach().cpu().numpy()) for tensor in plain]


def _name(path: Any) -> str:
    parts = [getattr(step, "key", getattr(step, "name", getattr(step, "idx", ""))) for step in path]
    text = "_".join(str(part) for part in parts)
    return f"output_{text}" if text[:1].isdigit() else text
