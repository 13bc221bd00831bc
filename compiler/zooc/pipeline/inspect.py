"""Finds out what a path holds, and describes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zooc.deployment import Deployment
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.frontend.semantics.analyze import load_deployment
from zooc.inspection.describe import Inspection, inspect_model
from zooc.networks.load import load_network
from zooc.networks.onnx_file.reader import read_onnx
from zooc.support.cache import Cache, default_root
from zooc.support.confined import call_confined

__all__ = ["inspect_deployment", "inspect_file", "inspect_graph", "inspect_path"]


def inspect_path(path: Path, *, variant: str | None = None, overrides: Sequence[str] = ()) -> Inspection:
    """Describe a `.zoo` file's network, an ONNX file, or a package's folder.

    Args:
        path: the file or folder. A package may be given by its import package (with `manifest.json`) or by
            the project folder around it.
        variant: of a `.zoo` file.
        overrides: of a `.zoo` file, `NAME=VALUE` each.

    Raises:
        ZoocError: the path holds none of these (`Z0222`), or what it holds has errors.
    """
    path = Path(path)
    if path.is_dir():
        return _inspect_package(path)
    if path.suffix == ".zoo":
        deployment, diagnostics = load_deployment(path, variant, overrides)
        if deployment is None:
            raise ZoocError(*(d for d in diagnostics if d.severity == "error"))
        return inspect_deployment(deployment, Cache(default_root()))
    return _confined("inspect_file", path, path.name)


def inspect_deployment(
    deployment: Deployment, cache: Cache, on_progress: Callable[[str], None] = lambda _: None
) -> Inspection:
    """Describe the float network that `deployment` names.

    Raises:
        ZoocError: the network cannot be loaded.
    """
    network = load_network(deployment.model, cache, on_progress=on_progress)
    facts = {
        "source": network.origin,
        "weights": network.weights,
        "classes": str(network.classes),
        "quantize": deployment.quantize.dtype,
        "package": f"{deployment.package.name} {deployment.package.version}",
    }
    return inspect_model(
        network.model,
        kind="description",
        name=deployment.path.name,
        facts=facts,
        parameters=network.parameters,
    )


def _inspect_package(folder: Path) -> Inspection:
    found = [folder / "manifest.json", *sorted(folder.glob("*/manifest.json"))]
    manifest_path = next((p for p in found if p.is_file()), None)
    if manifest_path is None:
        raise ZoocError(
            error(
                "Z0222",
                f"{folder} is not a package of zooc: it has no manifest.json",
                hint="give a .zoo file, an ONNX file, or the folder that `zooc compile` wrote",
            )
        )
    inner = manifest_path.parent
    try:
        manifest = json.loads(manifest_path.read_text("utf-8"))
        name, model = str(manifest["name"]), manifest["model"]
        facts = {
            "version": str(manifest["version"]),
            "compiled by": f"zooc {manifest['zooc']}",
            "form": str(manifest["form"]),
            "source": str(model["source"]),
            "weights": str(model["weights"]),
            "classes": str(model["classes"]),
            "quantization": str(manifest["quantization"]["dtype"]),
        }
        parameters = int(model["parameters"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ZoocError(
            error(
                "Z0222",
                f"{manifest_path} is damaged or of another schema",
                notes=(f"{type(problem).__name__}: {problem}",),
                hint="compile the package again",
            )
        ) from problem
    files = {
        p.relative_to(inner).as_posix(): p.stat().st_size
        for p in sorted(inner.rglob("*"))
        if p.is_file() and "__pycache__" not in p.parts
    }
    return _confined("inspect_graph", inner / "model.onnx", name, facts, files, parameters)


def inspect_file(path: Path, name: str) -> Inspection:
    """Describe an ONNX file, in this process."""
    model = read_onnx(path, None)
    facts = {"producer": " ".join(p for p in (model.producer_name, model.producer_version) if p) or "unknown"}
    return inspect_model(model, kind="onnx", name=name, facts=facts, files={name: path.stat().st_size})


def inspect_graph(
    path: Path, name: str, facts: dict[str, str], files: dict[str, int], parameters: int
) -> Inspection:
    """Describe a package's graph, in this process."""
    graph = read_onnx(path, None)
    return inspect_model(graph, kind="package", name=name, facts=facts, files=files, parameters=parameters)


def _confined(task: str, path: Path, *arguments: Any) -> Inspection:
    found: Inspection = call_confined(f"{__name__}:{task}", path, *arguments, what=path.name, span=None)
    return found
