"""What a package is made of, as a software bill of materials: CycloneDX 1.6, JSON.

Format: ECMA-424, the schema `bom-1.6.schema.json` of the CycloneDX project. Nothing in it depends on the time
or the machine: the serial number is made of the content.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["SBOM", "bill_of_materials"]

SBOM = "sbom.cdx.json"
"""Its file in the import package; CycloneDX's tools know the ending."""

_SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Component = dict[str, Any]


def bill_of_materials(manifest: Mapping[str, Any], model_sha256: str, project: str) -> dict[str, Any]:
    """Return the document, plain data for JSON; equal arguments give equal documents.

    Args:
        manifest: `manifest.json`'s entries; no hashes of files are needed.
        model_sha256: of `model.onnx`, hex.
        project: the package's `pyproject.toml`, whose lists of requirements are each on one line.
    """
    data = _calibration(manifest)
    libraries = list(_libraries(project))
    runtime = _component("library", "runtime", "zooc_runtime", manifest["zooc"])
    components = [_model(manifest, model_sha256, data), *([data] if data else []), runtime, *libraries]
    needed = ["model", "runtime", *(one["bom-ref"] for one in libraries if one["scope"] == "required")]
    document: dict[str, Any] = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": list(_tools(manifest))},
            "component": _component("library", "package", manifest["name"], manifest["version"]),
        },
        "components": components,
        "dependencies": [{"ref": "package", "dependsOn": sorted(needed)}],
    }
    content = json.dumps(document, sort_keys=True)
    return {**document, "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"}


def _component(kind: str, ref: str, name: str, version: str | None = None, **more: Any) -> Component:
    found = {"type": kind, "bom-ref": ref, "name": name, **more}
    return found if version is None else {**found, "version": version}


def _sha256(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _properties(**values: object) -> list[dict[str, str]]:
    return [{"name": f"zooc:{key}", "value": str(value)} for key, value in values.items()]


def _model(manifest: Mapping[str, Any], sha256: str, data: Component | None) -> Component:
    model, quantization = manifest["model"], manifest["quantization"]
    embeds = manifest["postprocess"].get("activation") == "l2_normalize"
    shape = ", ".join("N" if size is None else str(size) for size in model["input"]["shape"])
    taken = "image" if manifest["form"] == "image" else f"{model['input']['dtype']} [{shape}]"
    card: dict[str, Any] = {
        "modelParameters": {
            "task": "image-embedding" if embeds else "image-classification",
            "modelArchitecture": model["source"],
            "inputs": [{"format": taken}],
            "outputs": [{"format": f"float32 [N, {model['classes']}]"}],
            **({"datasets": [{"ref": data["bom-ref"]}]} if data else {}),
        }
    }
    if agreement := quantization.get("agreement"):
        measured = {
            "logits against float32, SQNR in dB": agreement["sqnr_db"],
            "top-1 equal to float32's": agreement["top1_agreement"],
        }
        metrics = [
            {"type": kind, "value": str(value)} for kind, value in measured.items() if value is not None
        ]
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    origin = _component("machine-learning-model", "weights", model["source"])
    if model["weights_sha256"]:
        origin["hashes"] = _sha256(model["weights_sha256"])
    if model["weights"]:
        origin["properties"] = _properties(weights=model["weights"])
    return _component(
        "machine-learning-model",
        "model",
        "model.onnx",
        manifest["version"],
        hashes=_sha256(sha256),
        modelCard=card,
        pedigree={"ancestors": [origin]},
        properties=_properties(
            dtype=quantization["dtype"],
            parameters=model["parameters"],
            description_sha256=manifest["source"]["sha256"],
        ),
    )


def _calibration(manifest: Mapping[str, Any]) -> Component | None:
    found = manifest.get("calibration")
    if found is None:
        return None
    facts = {key: value for key, value in found.items() if value is not None}
    dataset = {
        "type": "dataset",
        "name": "calibration images",
        "contents": {"properties": _properties(**facts)},
    }
    component = _component("data", "calibration", "calibration images", data=[dataset])
    if found["sha256"]:
        component["hashes"] = _sha256(found["sha256"])
    return component


def _tools(manifest: Mapping[str, Any]) -> Iterator[Component]:
    yield {"type": "application", "name": "zooc", "version": manifest["zooc"]}
    for name, version in sorted(manifest["tools"].items()):
        yield {"type": "library", "name": name, "version": version}


def _libraries(project: str) -> Iterator[Component]:
    """The requirements of `pyproject.toml`: those that are always needed, then those of its extras."""
    section, seen = "", set[str]()
    for line in project.splitlines():
        if line.startswith("["):
            section = line
        key, equals, value = line.partition(" = ")
        required = (section, key) == ("[project]", "dependencies")
        if not equals or not (required or section == "[project.optional-dependencies]"):
            continue
        for requirement in json.loads(value):
            found = _REQUIREMENT.match(requirement)
            if found is None or found[0] in seen:
                continue
            name = found[0]
            seen.add(name)
            facts = {"requirement": requirement} if required else {"requirement": requirement, "extra": key}
            yield _component(
                "library",
                f"pypi:{name}",
                name,
                scope="required" if required else "optional",
                purl=f"pkg:pypi/{name.lower().replace('_', '-')}",
                properties=_properties(**facts),
            )
