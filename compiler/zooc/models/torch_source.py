"""The sources that torch builds, `timm.NAME`, `torchvision.NAME` and `official.NAME`, exported to ONNX."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from zooc.cache import file_sha256
from zooc.deployment import FileWeights, InputShape, Model, RandomWeights
from zooc.diagnostics import Span, ZoocError, error
from zooc.models.network import Network
from zooc.models.source import Progress

if TYPE_CHECKING:
    from zooc.models.give_weights import Created

__all__ = ["TORCH_SOURCES", "TorchSource", "require_packages"]

_EXPORTER = 2
"""Raised whenever the same model would give another graph, so that the cache forgets."""

_LIBRARIES = {"timm": "timm", "torchvision": "torchvision", "official": "timm"}


class TorchSource:
    """Creates the model, gives it its weights, exports it."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._packages = ("torch", _LIBRARIES[kind], "onnx", "onnxscript", "numpy")

    def identify(self, model: Model) -> Any:
        """The weights' hash, input, classes, and the versions of all that takes part in the export."""
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
        return [_EXPORTER, identity, dims, model.classes, [_version(p) for p in self._packages]]

    def load(self, model: Model, on_progress: Progress) -> Network:
        """See `zooc.models.load_network`."""
        return _export(model, self.create(model, on_progress), on_progress)

    def load_counted(self, model: Model, on_progress: Progress) -> tuple[Network, int]:
        """The network, and its operations for one image by `zooc.models.operations`."""
        created = self.create(model, on_progress)
        network = _export(model, created, on_progress)
        from zooc.models.operations import count_operations

        on_progress("counting operations")
        return network, count_operations(created.as_published(created.module), _shape(model))

    def create(self, model: Model, on_progress: Progress) -> Created:
        """The torch module.

        Raises:
            ZoocError: packages are missing (`Z0203`), or the model or its weights cannot be had.
        """
        require_packages(self._kind, model.source.name, model.source.span)
        library = _LIBRARIES[self._kind]
        on_progress(f"importing torch and {library}")
        # Only now: both take seconds to import, and a cached export needs neither.
        if self._kind == "timm":
            from zooc.models.timm_model import create
        elif self._kind == "torchvision":
            from zooc.models.torchvision_model import create
        else:
            from zooc.models.official_model import create
        on_progress(f"creating {self._kind}.{model.source.name}")
        return create(model)


TORCH_SOURCES: dict[str, TorchSource] = {kind: TorchSource(kind) for kind in _LIBRARIES}
"""By kind."""


def require_packages(kind: str, name: str, span: Span | None) -> None:
    """Refuses a source whose libraries this Python lacks.

    Raises:
        ZoocError: `Z0203`.
    """
    needed = ("torch", _LIBRARIES[kind], "onnxscript", "safetensors")
    absent = [p for p in needed if importlib.util.find_spec(p) is None]
    if absent:
        raise ZoocError(
            error(
                "Z0203",
                f"{kind}.{name} needs {' and '.join(absent)}, which this Python lacks",
                span,
                hint='pip install "zooc[models]"',
            )
        )


def _export(model: Model, created: Created, on_progress: Progress) -> Network:
    from zooc.models.torch_export import export_module

    return export_module(
        created.module,
        f"{model.source.kind}.{model.source.name}",
        _shape(model),
        created.classes,
        weights=created.weights,
        weights_sha256=created.weights_sha256,
        span=(model.input.span if model.input else None) or model.source.span,
        on_progress=on_progress,
    )


def _shape(model: Model) -> InputShape:
    return model.input if model.input else InputShape(None, 3, 224, 224)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
