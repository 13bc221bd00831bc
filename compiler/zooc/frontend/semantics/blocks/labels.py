"""The classes' names: ImageNet's, or those of a file."""

from __future__ import annotations

import functools
from pathlib import Path

from zooc.deployment import Labels
from zooc.diagnostics.diagnostic import Span, error
from zooc.diagnostics.suggest import did_you_mean
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import FUNCTIONS
from zooc.resources import resource

__all__ = ["imagenet1k_names", "read_labels"]

_MAX_BYTES = 16_000_000


@functools.lru_cache(maxsize=1)
def imagenet1k_names() -> tuple[str, ...]:
    """Return the 1000 class names of ImageNet-1k in the order of class ids."""
    file = resource("data/imagenet1k.txt")
    return tuple(file.read_text(encoding="utf-8").splitlines())


def read_labels(node: ast.Expr, span: Span, reader: Reader) -> Labels | None:
    """Return the labels that `node` names; `None` after an error."""
    if isinstance(node, ast.Reference) and node.word == "imagenet1k":
        return Labels("imagenet1k", imagenet1k_names(), span)
    if isinstance(node, ast.Call) and node.name.text == "imagenet1k":
        return _imagenet_with_background(node, span, reader)
    unknown = isinstance(node, ast.Reference) and node.word not in reader.scope.values
    if isinstance(node, ast.Reference) and unknown and node.span.source.name != "--set":
        hint = did_you_mean(node.text, ["imagenet1k"]) or f'a file name needs quotes: "{node.text}"'
        reader.report(error("Z0106", f"unknown labels `{node.text}`", node.span, hint=hint))
        return None
    path = reader.path(node, "the labels file")
    if path is None:
        return None
    if not reader.check_files or (reader.may_be_missing and not path.exists()):
        return None
    return _from_file(path, node.span, span, reader)


def _imagenet_with_background(call: ast.Call, span: Span, reader: Reader) -> Labels | None:
    """TensorFlow's 1001 classes: class 0 is none of ImageNet's."""
    bound = reader.bind(call, FUNCTIONS["imagenet1k"])
    if bound is None:
        return None
    if "background" not in bound:
        return Labels("imagenet1k", imagenet1k_names(), span)
    if reader.word(bound["background"], ("first",), "the place of the background") is None:
        return None
    return Labels("imagenet1k(background=first)", ("background", *imagenet1k_names()), span)


def _from_file(path: Path, place: Span, span: Span, reader: Reader) -> Labels | None:
    problem, names = _read_names(path)
    if problem is None:
        return Labels(str(path), names, span)
    code, message, hint = problem
    reader.report(error(code, f"{path.name} {message}", place, hint=hint))
    return None


def _read_names(path: Path) -> tuple[tuple[str, str, str] | None, tuple[str, ...]]:
    """The names, or a problem as (code, message, hint)."""
    one_a_line = "a labels file has one class name per line, in the order of class ids"
    problem: tuple[str, str, str] | None = None
    names: list[str] = []
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        names = [line.strip() for line in data.decode("utf-8-sig").rstrip().split("\n")]
        if len(data) > _MAX_BYTES:
            problem = "Z0501", f"is larger than {_MAX_BYTES:,} bytes", one_a_line
        elif names == [""]:
            problem = "Z0503", "is empty", one_a_line
        elif "" in names:
            problem = "Z0503", f"has no name in line {names.index('') + 1}", one_a_line
    except OSError as failure:
        problem = "Z0501", f"cannot be read: {failure.strerror}", "check the file's permissions"
    except UnicodeDecodeError as failure:
        line = failure.object.count(b"\n", 0, failure.start) + 1
        problem = "Z0502", f"is not UTF-8 (line {line})", "save the file as UTF-8"
    return problem, tuple(names)
