"""`keep fp32 [...]`: which nodes the user wants left in float."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.rewriter import SLICE

__all__ = ["kept_nodes", "matches"]


def matches(pattern: str, node: str) -> bool:
    """Tell whether a pattern means a node.

    A node's name is `module/Operator`. A pattern means a node if, with `*`, `?` and `[...]` as in file
    names, it matches the whole name, the module, or a module around it: `fc` means `fc/Gemm`, `layer1`
    everything in `layer1.*`. A node that has become several, `conv/Conv#0` and `conv/Conv#1`, is meant by the
    name that it had, and each of them by its own.
    """
    whole = re.sub(rf"{SLICE}\d+$", "", node)
    module = whole.rpartition("/")[0] or whole
    parts = module.split(".")
    around = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return any(fnmatchcase(name, pattern) for name in (node, whole, *around))


def kept_nodes(names: Sequence[str], quantize: Quantize) -> dict[str, str]:
    """Return node names that stay in float, each with the first pattern that says so.

    Raises:
        ZoocError: Z0410, one for every pattern that means no node, with near names.
    """
    problems = []
    kept: dict[str, str] = {}
    spans = (*quantize.keep_spans, *(None for _ in quantize.keep))
    for pattern, span in zip(quantize.keep, spans, strict=False):
        found = [name for name in names if matches(pattern, name)]
        for name in found:
            kept.setdefault(name, pattern)
        if not found:
            problems.append(
                error("Z0410", f'no node matches the pattern "{pattern}"', span, hint=_hint(pattern, names))
            )
    if problems:
        raise ZoocError(*problems)
    return kept


def _hint(pattern: str, names: Sequence[str]) -> str:
    modules = [name.rpartition("/")[0] for name in names]
    around = {".".join(m.split(".")[:count]) for m in modules for count in range(1, m.count(".") + 2)}
    near = difflib.get_close_matches(pattern, sorted({*names, *around} - {""}), n=3, cutoff=0.5)
    if near:
        return "did you mean " + ", ".join(f'"{name}"' for name in near) + "?"
    return "`zooc inspect` lists the network's node names"
