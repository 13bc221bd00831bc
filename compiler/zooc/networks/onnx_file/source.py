"""The source `onnx("file.onnx")`: any classifier that is one ONNX file already."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx

from zooc.deployment import Model
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.networks.network import Network, read_network, write_network
from zooc.networks.onnx_file.convert import convert
from zooc.networks.onnx_file.guess import Guess, guess
from zooc.networks.onnx_file.interface import find_interface
from zooc.networks.onnx_file.operators import drop_initializer_inputs
from zooc.networks.onnx_file.reader import hash_onnx, read_onnx
from zooc.networks.source import Progress
from zooc.support.confined import call_confined

__all__ = ["OnnxFileSource", "guess_here", "load_here"]

_CONVERSION = 4
"""Raised whenever the same file would give another network, so that the cache forgets."""


class OnnxFileSource:
    """Reads the file, checks that it is one image classifier, and brings it to the compiler's form."""

    def identify(self, model: Model) -> Any:
        """Return the file's hash, its external data's, what the description says of it, and tool versions."""
        path = Path(model.source.name)
        shape = model.input
        asked = [model.classes, model.layout, [output.text for output in model.outputs]]
        dims = [shape.batch, shape.channels, shape.height, shape.width] if shape else None
        return [_CONVERSION, onnx.__version__, hash_onnx(path, model.source.span), dims, *asked]

    def load(self, model: Model, on_progress: Progress) -> Network:
        """See `zooc.networks.load_network`."""
        return _apart("load_here", model, on_progress)[0]

    def load_guessed(self, model: Model, on_progress: Progress) -> tuple[Guess, Network]:
        """Load the network of a description that says no more than its source, and guess the rest.

        Raises:
            ZoocError: as for `guess`, and what reading raises.
        """
        network, found = _apart("guess_here", model, on_progress)
        return found, network


def _apart(task: str, model: Model, on_progress: Progress) -> tuple[Network, Any]:
    """The file is read, converted and run first where it can do no harm (`zooc.support.confined`)."""
    path, span = Path(model.source.name), model.source.span
    on_progress(f"reading and checking {path.name}")
    try:
        with tempfile.TemporaryDirectory(prefix="zooc-") as folder:
            file = Path(folder, "network")
            answer = call_confined(f"{__name__}:{task}", model, file, what=path.name, span=span)
            return read_network(file, span), answer
    except OSError as problem:
        raise ZoocError(
            error(
                "Z0702",
                f"cannot write the converted network: {problem.strerror or problem}",
                hint=f"free space in {tempfile.gettempdir()}, or set TMPDIR to another folder",
            )
        ) from problem


def load_here(model: Model, file: Path) -> None:
    """Load the described network in this process, and write it to `file`."""
    path, original, digest = _read(model)
    interface = find_interface(original, path.name, model)
    write_network(convert(original, interface, model, path.name, digest), file)


def guess_here(model: Model, file: Path) -> Guess:
    """Return what can be told of a file, and write its network to `file`."""
    path, original, digest = _read(model)
    found, network = guess(original, model, path.name, digest)
    write_network(network, file)
    return found


def _read(model: Model) -> tuple[Path, onnx.ModelProto, str]:
    path = Path(model.source.name)
    original = read_onnx(path, model.source.span)
    drop_initializer_inputs(original)
    return path, original, hash_onnx(path, model.source.span)
