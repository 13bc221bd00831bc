"""`require drop <= 0.5% on images("val", count=1000)`: the accuracy contract."""

from __future__ import annotations

import math
from pathlib import Path

from zooc.deployment import ImageSet, Requirement
from zooc.diagnostics.diagnostic import Label, error
from zooc.diagnostics.suggest import all_of, did_you_mean
from zooc.frontend.semantics.declarations import Setting
from zooc.frontend.semantics.image_set import is_images_call, read_image_set
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import EXAMPLES, FUNCTIONS, REQUIRED_LABELS, SPEEDS, Parameter

__all__ = ["is_dropped", "read_requirement"]

_EXAMPLE = EXAMPLES["quantize", "require"]
_PARAMETERS = (*FUNCTIONS["images"], Parameter("labels"))


def is_dropped(field: Setting) -> bool:
    """Tell whether an override says `quantize.require = false`."""
    only = field.values[0] if len(field.values) == 1 else None
    return isinstance(only, ast.Reference) and only.word == "false"


def read_requirement(field: Setting, reader: Reader) -> Requirement | None:
    """Check the statement; `None` after an error."""
    if len(field.values) != 3:
        first = field.values[0] if field.values else None
        if isinstance(first, ast.Comparison):
            _drop(first, reader)  # which is no `drop`: its other values were not counted
        elif field.values:
            message = "the file has no `require` statement whose limit this could change"
            hint = 'write `require drop <= 1% on images("val")` in the file; an override changes the limit'
            reader.report(error("Z0114", message, field.span, hint=hint))
        return None
    comparison, on, images = field.values
    drop = _drop(comparison, reader)
    sound = reader.word(on, ["on"], "word before the images") is not None
    if not is_images_call(images, "what a contract is measured on", _EXAMPLE, reader):
        return None
    assert isinstance(images, ast.Call)
    bound = reader.bind(images, _PARAMETERS)
    if bound is None:
        return None
    image_set = read_image_set(bound, images.span, reader)
    labels = _labels(bound["labels"], reader) if "labels" in bound else "auto"
    if drop is None or image_set is None or labels is None or not sound:
        return None
    if not _resolves(drop, image_set, comparison, reader):
        return None
    return Requirement(drop, image_set, labels, field.span)  # type: ignore[arg-type]


def _drop(node: ast.Expr, reader: Reader) -> float | None:
    if not isinstance(node, ast.Comparison):
        reader.report(
            error("Z0490", "a contract has the form `drop <= LIMIT`", node.span, hint=f"write `{_EXAMPLE}`")
        )
        return None
    named = isinstance(node.left, ast.Reference) and node.left.word == "drop"
    if not named:
        quantities = ("drop", *SPEEDS)
        name = node.left.span.text
        hint = did_you_mean(name, quantities) or f"the quantities are {all_of(quantities)}"
        reader.report(error("Z0490", f"`{name}` cannot be required", node.left.span, hint=hint))
    elif node.operator != "<=":
        message = "a drop is limited from above, with `<=`"
        reader.report(error("Z0490", message, node.span, hint=f"write `{_EXAMPLE}`"))
        return None
    value = reader.number(node.right, "the limit")
    if value is None or not named:
        return None
    if not 0.0 <= value <= 1.0:
        message = f"a drop is a share from 0% to 100%, found {100 * value:g}%"
        percent = 1.0 < value <= 100.0 and "%" not in node.right.span.text
        hint = f"write {value:g}% for {value:g} in a hundred" if percent else "0.5% is one image in 200"
        reader.report(error("Z0490", message, node.right.span, hint=hint))
        return None
    return value


def _labels(node: ast.Expr, reader: Reader) -> str | Path | None:
    if isinstance(node, ast.Reference) and node.word not in reader.scope.values:
        return reader.word(node, REQUIRED_LABELS, "kind of labels")
    return reader.path(node, "the file of labels")


def _resolves(drop: float, images: ImageSet, limit: ast.Expr, reader: Reader) -> bool:
    """Whether the images are so many that a single one is no more than the limit."""
    if drop == 0.0 or images.count is None or images.count * drop >= 1.0 - 1e-9:
        return True
    labels = () if images.span is None else (Label(images.span, f"one of these is {1 / images.count:.2%}"),)
    needed = math.ceil(1.0 / drop - 1e-9)
    message = f"a limit of {100 * drop:g}% cannot be measured on {images.count} images"
    hint = f"take at least {needed} images, or write `drop <= 0%`: no net loss is allowed"
    reader.report(error("Z0493", message, limit.span, labels=labels, hint=hint))
    return False
