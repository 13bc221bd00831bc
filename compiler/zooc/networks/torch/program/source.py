"""The source `torch("net.pt2")`: a network that torch saved whole, exported to ONNX in its own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zooc.deployment import Model
from zooc.networks.file_kind import file_kind, is_program
from zooc.networks.network import Network
from zooc.networks.onnx_file.guess import Guess
from zooc.networks.source import Progress
from zooc.networks.torch.export_process import export_apart, guess_apart
from zooc.networks.torch.packages import require_packages, versions
from zooc.networks.torch.program.errors import no_program, unreadable
from zooc.support.cache import file_sha256

__all__ = ["TorchFileSource"]

_EXPORTER = 1
"""Raised whenever the same file would give another network, so that the cache forgets."""

_PACKAGES = ("torch", "onnx", "onnxscript", "numpy")


class TorchFileSource:
    """Opens the program, exports it, and treats the result as the ONNX file that it then is."""

    def identify(self, model: Model) -> Any:
        """Return the file's hash, what the description says of it, and tool versions."""
        path = Path(model.source.name)
        try:
            digest = file_sha256(path)
        except OSError as problem:
            raise unreadable(path, model.source.span, problem.strerror or str(problem)) from problem
        shape = model.input
        asked = [model.classes, model.layout, [output.text for output in model.outputs]]
        dims = [shape.batch, shape.channels, shape.height, shape.width] if shape else None
        return [_EXPORTER, digest, dims, *asked, versions(_PACKAGES)]

    def load(self, model: Model, on_progress: Progress) -> Network:
        """See `zooc.networks.load_network`."""
        _refuse_others(model)
        return export_apart(model, on_progress)[0]

    def load_guessed(self, model: Model, on_progress: Progress) -> tuple[Guess, Network]:
        """See `OnnxFileSource.load_guessed`."""
        _refuse_others(model)
        return guess_apart(model, on_progress)


def _refuse_others(model: Model) -> None:
    """Before torch is imported, which takes seconds."""
    path = Path(model.source.name)
    kind = file_kind(path)
    if not is_program(kind):
        raise no_program(path, kind, model.source.span)
    require_packages(model.source)
