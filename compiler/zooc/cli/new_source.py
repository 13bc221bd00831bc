"""The source that `zooc new` is given: a model of a library, or a file, its path alone or in `onnx(...)`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from zooc.cli.model_arguments import read_source, span_of
from zooc.deployment import ModelSource
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.diagnostics.suggest import did_you_mean

__all__ = ["read_new_source"]

FileKind = Literal["onnx", "torch"]

_KINDS: dict[str, FileKind] = {"onnx": "onnx", "torch": "torch"}
_ENDINGS: dict[str, FileKind] = {
    ".onnx": "onnx",
    **dict.fromkeys((".pt2", ".pt", ".pth", ".torchscript", ".ts"), "torch"),
}
_BESIDES = "; or a file that ends in .onnx, .pt2 or .pt"

_CALL = re.compile(
    r"""(?P<kind>\w+)\s*\(\s*(?P<quote>["']?)(?P<path>.*?)(?P=quote)\s*(?P<end>\)?)""", re.DOTALL
)


def read_new_source(text: str) -> ModelSource:
    """Return the source that `text` names; a file's is its absolute path.

    Raises:
        ZoocError: `Z0225`: it is none; `Z0814`: there is no such file.
    """
    call = _CALL.fullmatch(text)
    if call is None:
        kind = _ENDINGS.get(Path(text).suffix.lower())
        return read_source(text, besides=_BESIDES) if kind is None else _file(kind, text, text)
    kind = _KINDS.get(call["kind"])
    if kind is None:
        hint = did_you_mean(call["kind"], _KINDS) or "write onnx(...) or torch(...)"
        raise ZoocError(error("Z0225", f"{text!r} is not a model", span_of("SOURCE", text), hint=hint))
    if not call["end"] or not call["path"] or call["path"][:1] in "\"'" or call["path"][-1:] in "\"'":
        hint = f"""write '{kind}("net.{"onnx" if kind == "onnx" else "pt2"}")' in quotes, or the path alone"""
        message = f"{text!r} is no complete {kind}(...)"
        raise ZoocError(error("Z0225", message, span_of("SOURCE", text), hint=hint))
    return _file(kind, call["path"], text)


def _file(kind: FileKind, path: str, text: str) -> ModelSource:
    file, span = Path(path).expanduser(), span_of("SOURCE", text)
    try:
        found, beside = file.is_file(), sorted(other.name for other in file.parent.iterdir())
    except (OSError, ValueError):
        found, beside = False, []
    if found:
        return ModelSource(kind, str(file.absolute()), span)
    hint = did_you_mean(file.name, beside) or "give the path of a file that is there"
    raise ZoocError(error("Z0814", f"there is no file {path}", span, hint=hint))
