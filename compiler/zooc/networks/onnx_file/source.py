"""The source `onnx("file.onnx")`: any classifier that is one ONNX file already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from zooc.deployment import Model
from zooc.networks.network import Network
from zooc.networks.onnx_file.convert import convert
from zooc.networks.onnx_file.guess import Guess, guess
from zooc.networks.onnx_file.interface import find_interface
from zooc.networks.onnx_file.operators import drop_initializer_inputs
from zooc.networks.onnx_file.reader import hash_onnx, read_onnx
from zooc.networks.source import Progress

__all__ = ["OnnxFileSource"]

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
        path = Path(model.source.name)
        on_progress(f"reading {path.name}")
        original = read_onnx(path, model.source.span)
        drop_initializer_inputs(original)
        interface = find_interface(original, path.name, model)
        on_progress(f"checking {path.name}")
        return convert(original, interface, model, path.name, hash_onnx(path, model.source.span))

    def load_guessed(self, model: Model, on_progress: Progress) -> tuple[Guess, Network]:
        """Load the network of a description that says no more than its source, and guess the rest.

        Raises:
            ZoocError: as for `guess`, and what reading raises.
        """
        path = Path(model.source.name)
        on_progress(f"reading {path.name}")
        original = read_onnx(path, model.source.span)
        drop_initializer_inputs(original)
        on_progress(f"checking {path.name}")
        return guess(original, model, path.name, hash_onnx(path, model.source.span))
