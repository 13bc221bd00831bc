"""`images("folder", suffix="JPEG", count=50, seed=0)`: a draw from a folder, or another source of images."""

from __future__ import annotations

from collections.abc import Mapping

from zooc.deployment import ImageSet
from zooc.diagnostics.diagnostic import Span, error
from zooc.diagnostics.suggest import did_you_mean
from zooc.frontend.semantics.image_place import read_place
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast

__all__ = ["MAX_SEED", "is_images_call", "read_image_set"]

MAX_SEED = 2**32 - 1


def is_images_call(node: ast.Expr, what: str, example: str, reader: Reader) -> bool:
    """Tell whether `node` is `images(...)`; if not, that is reported."""
    if not isinstance(node, ast.Call):
        reader.report(error("Z0109", f"{what} is `images(...)`", node.span, hint=f"write `{example}`"))
        return False
    if node.name.text != "images":
        near = did_you_mean(node.name.text, ["images"])
        reader.report(error("Z0104", f"unknown data `{node.name.text}(...)`", node.name.span, hint=near))
        return False
    return True


def read_image_set(
    bound: Mapping[str, ast.Expr], span: Span, reader: Reader, if_missing: str | None = None
) -> ImageSet | None:
    """Return the set that the arguments of an `images(...)` describe; `None` after an error.

    `if_missing` is the note of the warning, in place of the error, for a folder that is not there.
    """
    folder = read_place(bound, span, reader, if_missing)
    suffix = reader.string(bound["suffix"], "the suffix") if "suffix" in bound else None
    count = reader.integer(bound["count"], "the count", 1, 10_000_000) if "count" in bound else None
    seed = reader.integer(bound["seed"], "the seed", 0, MAX_SEED) if "seed" in bound else 0
    if folder is None or seed is None:
        return None
    if ("suffix" in bound and suffix is None) or ("count" in bound and count is None):
        return None
    if suffix is not None:
        suffix = suffix.removeprefix(".")
        if not suffix.isalnum():
            message = f'"{suffix}" is not a file name suffix'
            reader.report(error("Z0110", message, bound["suffix"].span, hint='write suffix="JPEG"'))
            return None
    return ImageSet(folder, suffix, count, seed, span)
