"""Class names: the built-in list, or a text file with one name a line."""

from __future__ import annotations

import functools
from pathlib import Path

from zooc.deployment import Labels
from zooc.diagnostics import Span, error
from zooc.frontend import ast
from zooc.frontend.reading import Reader
from zooc.frontend.suggest import did_you_mean

__all__ = ["imagenet1k_names", "read_labels"]

_MAX_BYTES = 16_000_000


@functools.lru_cache(maxsize=1)
def imagenet1k_names() -> tuple[str, ...]:
    """The 1000 class names of ImageNet-1k in the order of class ids."""
    file = Path(__file__).resolve().parent.parent / "data" / "imagenet1k.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines())


def read_labels(node: ast.Expr, span: Span, reader: Reader) -> Labels | None:
    """The labels that `node` names; `None` after an error."""
    if isinstance(node, ast.Reference) and node.word == "imagenet1k":
        return Labels("imagenet1k", imagenet1k_names(), span)
    unknown = isinstance(node, ast.Reference) and node.word not in reader.scope.values
    if isinstance(node, ast.Reference) and unknown and node.span.source.name != "--set":
        hint = did_you_mean(node.text, ["imagenet1k"]) or f'a file is quoted: "{node.text}"'
        reader.report(error("Z0106", f"unknown labels `{node.text}`", node.span, hint=hint))
        return None
    path = reader.path(node, "the labels file")
    if path is None:
        return None
    if not reader.check_files or (reader.may_be_missing and not path.exists()):
        return None
    return _from_file(path, node.span, span, reader)


def _from_file(path: Path, place: Span, span: Span, reader: Reader) -> Labels | None:
    problem, names = _read_names(path)
    if problem is None:
        return Labels(str(path), names, span)
    code, message, hint = problem
    reader.report(error(code, f"{path.name} {message}", place, hint=hint))
    return None


def _read_names(path: Path) -> tuple[tuple[str, str, str] | None, tuple[str, ...]]:
    """The names, or a problem as (code, message, hint)."""
    one_a_line = "a labels file holds one class name a line, in the order of class ids"
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
            problem = "Z0503", f"holds no name in line {names.index('') + 1}", one_a_line
    except OSError as failure:
        problem = "Z0501", f"cannot be read: {failure.strerror}", "check the file's permissions"
    except UnicodeDecodeError as failure:
        line = failure.object.count(b"\n", 0, failure.start) + 1
        problem = "Z0502", f"is not UTF-8 (line {line})", "save the file as UTF-8"
    return problem, tuple(names)
