"""The source `timm.NAME`: a model of PyTorch Image Models, exported to ONNX."""

from __future__ import annotations

import difflib
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from zooc.cache import file_sha256
from zooc.deployment import FileWeights, InputShape, Model, RandomWeights
from zooc.diagnostics import ZoocError, error
from zooc.models.network import Network
from zooc.models.source import Progress

__all__ = ["TimmSource", "near_names"]

_EXPORTER = 1
"""Raised whenever the same model would give another graph, so that the cache forgets."""

_PACKAGES = ("torch", "timm", "onnx", "onnxscript", "numpy")


class TimmSource:
    """Creates the model, gives it its weights, exports it."""

    def identify(self, model: Model) -> Any:
        """The weights' hash, input, classes, and the versions of all that takes part in the export."""
        weights = model.weights
        if isinstance(weights, FileWeights):
            try:
                identity: Any = ["file", weights.path.name, file_sha256(weights.path)]
            except OSError as problem:
                raise ZoocError(
                    error(
                        "Z0204",
                        f"cannot read the weights file {weights.path}: {problem.strerror or problem}",
                        weights.span,
                        hint="paths are relative to the .zoo file",
                    )
                ) from problem
        elif isinstance(weights, RandomWeights):
            identity = ["random", weights.seed]
        else:
            identity = ["pretrained"]
        shape = _shape(model)
        dims = [shape.batch, shape.channels, shape.height, shape.width]
        return [_EXPORTER, identity, dims, model.classes, [_version(p) for p in _PACKAGES]]

    def load(self, model: Model, on_progress: Progress) -> Network:
        """See `zooc.models.load_network`."""
        _require_packages(model)
        on_progress("importing torch and timm")
        # Only now: both take seconds to import, and a cached export needs neither.
        from zooc.models import timm_model
        from zooc.models.torch_export import export_module

        name = f"timm.{model.source.name}"
        on_progress(f"creating {name}")
        module, words, digest, classes = timm_model.create(model)
        return export_module(
            module,
            name,
            _shape(model),
            classes,
            weights=words,
            weights_sha256=digest,
            span=(model.input.span if model.input else None) or model.source.span,
            on_progress=on_progress,
        )


def near_names(name: str, known: list[str]) -> list[str]:
    """Names to suggest for an unknown one, best first: close spellings, then those that contain it."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.75)
    containing = sorted((k for k in known if name and name in k), key=lambda k: (len(k), k))
    return list(dict.fromkeys([*close, *containing]))[:5]


def _shape(model: Model) -> InputShape:
    return model.input if model.input else InputShape(None, 3, 224, 224)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _require_packages(model: Model) -> None:
    needed = ("torch", "timm", "onnxscript", "safetensors")
    absent = [p for p in needed if importlib.util.find_spec(p) is None]
    if absent:
        raise ZoocError(
            error(
                "Z0203",
                f"timm.{model.source.name} needs {' and '.join(absent)}, which this Python lacks",
                model.source.span,
                hint='pip install "zooc[models]"',
            )
        )
