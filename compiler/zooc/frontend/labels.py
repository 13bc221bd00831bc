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
    if not reader.check_files:
        return None
    return _from_file(path, node.span, span, reader)


def _from_file(path: Path, place: Span, span: Span, reader: Reader) -> Labels | None:
    def refuse(code: str, message: str, hint: str) -> None:
        reader.report(error(code, message, place, hint=hint))

    one_a_line = "a labels file holds one class name a line, in the order of class ids"
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as failure:
        return refuse("Z0501", f"cannot read {path.name}: {failure.strerror}", "check the file's permissions")
    if len(data) > _MAX_BYTES:
        return refuse("Z0501", f"{path.name} is larger than {_MAX_BYTES:,} bytes", one_a_line)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = data.count(b"\n", 0, failure.start) + 1
        return refuse("Z0502", f"{path.name} is not UTF-8 (line {line})", "save the file as UTF-8")
    names = [line.strip() for line in text.rstrip().split("\n")]
    if names == [""]:
        return refuse("Z0503", f"{path.name} is empty", one_a_line)
    if "" in names:
        return refuse("Z0503", f"line {names.index('') + 1} of {path.name} is blank", one_a_line)
    return Labels(str(path), tuple(names), span)
