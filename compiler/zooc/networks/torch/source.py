"""The sources that torch builds, `timm.NAME`, `torchvision.NAME` and `official.NAME`, exported to ONNX."""

from __future__ import annotations

from typing import Any

from zooc.deployment import FileWeights, InputShape, Model, RandomWeights
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.networks.network import Network
from zooc.networks.source import Progress
from zooc.networks.torch.export_process import export_apart
from zooc.networks.torch.packages import LIBRARIES, require_packages, versions
from zooc.support.cache import file_sha256

__all__ = ["TORCH_SOURCES", "TorchSource", "export_here"]

_EXPORTER = 2
"""Raised whenever the same model would give another graph, so that the cache forgets."""


class TorchSource:
    """Creates the model, gives it its weights, exports it."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._packages = ("torch", LIBRARIES[kind], "onnx", "onnxscript", "numpy")

    def identify(self, model: Model) -> Any:
        """Return the weights' hash, input, classes, and the versions of all that takes part in the export."""
        weights = model.weights
        if isinstance(weights, FileWeights):
            path = weights.path
            try:
                identity: Any = ["file", path.name, file_sha256(path)]
            except OSError as problem:
                raise ZoocError(
                    error(
                        "Z0204",
                        f"cannot read the weights file {path}: {problem.strerror or problem}",
                        weights.span,
                        hint="check the path and its permissions",
                    )
                ) from problem
        elif isinstance(weights, RandomWeights):
            identity = ["random", weights.seed]
        else:
            identity = ["pretrained"]
        shape = _shape(model)
        dims = [shape.batch, shape.channels, shape.height, shape.width]
        return [_EXPORTER, identity, dims, model.classes, versions(self._packages)]

    def load(self, model: Model, on_progress: Progress) -> Network:
        """See `zooc.networks.load_network`."""
        require_packages(model.source)
        return export_apart(model, on_progress)[0]

    def load_counted(self, model: Model, on_progress: Progress) -> tuple[Network, int]:
        """Return the network, and its operations for one image (`zooc.networks.torch.count_operations`)."""
        require_packages(model.source)
        network, operations = export_apart(model, on_progress, count=True)
        return network, operations or 0


TORCH_SOURCES: dict[str, TorchSource] = {kind: TorchSource(kind) for kind in LIBRARIES}
"""By kind."""


def export_here(model: Model, count: bool, on_progress: Progress) -> tuple[Network, int | None]:
    """Import torch into this process and export the model; with `count` its operations too.

    Raises:
        ZoocError: the model or its weights cannot be had, or not exported.
    """
    kind = model.source.kind
    on_progress(f"importing torch and {LIBRARIES[kind]}")
    if kind == "timm":
        from zooc.networks.torch.models.timm import create
    elif kind == "torchvision":
        from zooc.networks.torch.models.torchvision import create
    else:
        from zooc.networks.torch.models.official import create
    from zooc.networks.torch.export import export_module

    name = model.source.shown
    on_progress(f"creating {name}")
    created = create(model)
    shape = _shape(model)
    network = export_module(
        created.module,
        name,
        shape,
        created.classes,
        weights=created.weights,
        weights_sha256=created.weights_sha256,
        span=(model.input.span if model.input else None) or model.source.span,
        on_progress=on_progress,
    )
    if not count:
        return network, None
    from zooc.networks.torch.count_operations import count_operations

    on_progress("counting operations")
    return network, count_operations(created.as_published(created.module), shape)


def _shape(model: Model) -> InputShape:
    return model.input if model.input else InputShape(None, 3, 224, 224)
