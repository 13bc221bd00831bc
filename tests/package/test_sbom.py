"""The bill of materials is CycloneDX by its own schema, complete, and the same for the same package."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from zooc.package.contents import PackageContents
from zooc.package.files import package_files

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

CALIBRATION = {"images": 12, "sha256": "ab" * 32, "names_and_sizes_sha256": "cd" * 32}
AGREEMENT = {"sqnr_db": 31.5, "top1_agreement": 0.99}
HOSTILE = 'say "hi" {{ 7 * 7 }}\n<script> \ud800'


def bill(contents: PackageContents) -> dict[str, Any]:
    data = package_files(contents)["tinybird/sbom.cdx.json"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    document: dict[str, Any] = json.loads(data)
    return document


def by_ref(document: dict[str, Any]) -> dict[str, Any]:
    return {component["bom-ref"]: component for component in document["components"]}


def calibrated(contents: PackageContents, **entries: Any) -> PackageContents:
    quantization = {"dtype": "int8", "agreement": AGREEMENT}
    model = {**contents.manifest["model"], "weights": "net.pth", "weights_sha256": "ef" * 32}
    more = {
        "calibration": CALIBRATION,
        "quantization": quantization,
        "model": model,
        "tools": {"onnx": "1.21"},
    }
    return replace(contents, manifest={**contents.manifest, **more, **entries})


@pytest.mark.parametrize("options", [{}, {"tensor": True}, {"labels": None}, {"version": HOSTILE}], ids=str)
def test_it_is_valid_in_every_form(
    tiny_contents: Callable[..., PackageContents], options: dict[str, Any]
) -> None:
    document = bill(tiny_contents(**options))
    assert document["metadata"]["component"]["name"] == "tinybird"
    assert "calibration" not in by_ref(document)


def test_it_names_model_weights_images_and_tools_with_their_hashes(contents: PackageContents) -> None:
    document = bill(calibrated(contents))
    parts = by_ref(document)
    model, data = parts["model"], parts["calibration"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(contents.model).hexdigest()}]
    (ancestor,) = model["pedigree"]["ancestors"]
    assert (ancestor["name"], ancestor["hashes"][0]["content"]) == ("tiny.onnx", "ef" * 32)
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": "calibration"}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [metric["value"] for metric in metrics] == ["31.5", "0.99"]
    assert (data["type"], data["hashes"][0]["content"]) == ("data", "ab" * 32)
    assert {"name": "zooc:images", "value": "12"} in data["data"][0]["contents"]["properties"]
    tools = document["metadata"]["tools"]["components"]
    assert [(tool["name"], tool["version"]) for tool in tools] == [("zooc", "0.1.0"), ("onnx", "1.21")]


def test_images_whose_contents_were_not_read_have_no_hash(contents: PackageContents) -> None:
    document = bill(calibrated(contents, calibration={**CALIBRATION, "sha256": None}))
    assert "hashes" not in by_ref(document)["calibration"]


def test_its_libraries_are_the_requirements_of_the_project(contents: PackageContents) -> None:
    project = tomllib.loads(package_files(contents)["pyproject.toml"].decode())["project"]
    found: dict[str, set[str]] = {"required": set(), "optional": set()}
    for component in bill(contents)["components"]:
        if component["bom-ref"].startswith("pypi:"):
            (requirement,) = (p["value"] for p in component["properties"] if p["name"] == "zooc:requirement")
            found[component["scope"]].add(requirement)
    assert found["required"] == set(project["dependencies"])
    extras = {one for group in project["optional-dependencies"].values() for one in group}
    assert found["optional"] == extras - found["required"]


def test_equal_packages_have_equal_bills_and_others_another_number(
    tiny_contents: Callable[..., PackageContents],
) -> None:
    numbers = [bill(tiny_contents(version=version))["serialNumber"] for version in ("1", "1", "2")]
    assert numbers[0] == numbers[1] != numbers[2]
    assert "timestamp" not in bill(tiny_contents())["metadata"]
