"""The files of a package, as one mapping from relative path to bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zooc_runtime
from zooc.deployment import Preprocess
from zooc.package.contents import PackageContents
from zooc.package.report.data import REPORT_DATA
from zooc.package.sbom import SBOM, bill_of_materials
from zooc.package.templates import render
from zooc.resources import resource
from zooc_runtime.package.manifest import MANIFEST, MANIFEST_HASH, manifest_hash_line
from zooc_runtime.preprocessing.nv12 import is_nv12

__all__ = ["package_files"]

_ANSWERS = {
    "classes": """\
    model("{file}").topk                # {forms}; also lists
    model.probabilities(["{file}"])     # float32 [N, classes]
""",
    "labels": """\
    model("{file}").predictions         # {forms}; also lists
    model.probabilities(["{file}"])     # float32 [N, classes]
""",
    "heads": """\
    model("{file}").heads               # each head's result by its name; {forms}
""",
    "embeddings": """\
    model.embed(["{file}"])             # float32 [N, dimensions]; {forms}
""",
}
"""What to ask of an image, by what the package gives."""
_IMAGE_USAGE = """\
    model.scores(["{file}"])            # the graph's own output
    model.run_tensor(pixels)           # the network alone: uint8 [N, {planes}, h, w]"""
_TENSOR_USAGE = """\
    model.run_tensor(x)                # float32 [N, {planes}, h, w], already normalized"""
_IMAGE_FORM = (
    "Decoding is Pillow's, EXIF orientation is not applied, and the preprocessing is part of the graph."
)
_TENSOR_FORM = (
    "This package was compiled without preprocessing: it takes normalized tensors and refuses images."
)

_GRAPHS = {
    "rgb": {
        "interface": "`image`, uint8 `[height, width, 3]`, RGB and of any size, to probabilities or logits "
        "`[1, classes]`",
        "input": "image",
        "dtype": "uint8",
        "dims": "height, width, 3",
        "exactness": "OpenVINO's\npixels are within two grey levels. "
        "`zooc export-web` makes a page of it that classifies in the browser.",
    },
    "bands": {
        "interface": "`image`, uint8 `[height, width, {planes}]` of any size, to probabilities or logits "
        "`[1, classes]`",
        "input": "image",
        "dtype": "uint8",
        "dims": "height, width, {planes}",
        "exactness": "OpenVINO's\npixels are within two grey levels.",
    },
    "frames": {
        "interface": "`image`, an NV12 frame of any size, uint8 `[height * 3 / 2, width]`, to probabilities "
        "or logits `[1, classes]`",
        "input": "image",
        "dtype": "uint8",
        "dims": "height * 3 / 2, width",
        "exactness": "OpenVINO's\npixels are within two grey levels.",
    },
    "tensor": {
        "interface": "`input`, normalized float32 `[batch, {planes}, height, width]`, to probabilities or "
        "logits `[batch, classes]`",
        "input": "input",
        "dtype": "float32",
        "dims": "batch, {planes}, height, width",
        "exactness": "It holds no\npreprocessing.",
    },
}
"""What the README says of `model.onnx` by itself, by what it takes; `planes` are the network's channels."""


def package_files(contents: PackageContents) -> dict[str, bytes]:
    """Return every file of the package, the two manifests included, in sorted order.

    The mapping depends on nothing but `contents` and the runtime's sources.
    """
    package = contents.deployment.package
    inner = _import_package(contents)
    outer = _distribution(contents)
    model_sha256 = hashlib.sha256(contents.model).hexdigest()
    bill = bill_of_materials(contents.manifest, model_sha256, outer["pyproject.toml"].decode())
    inner[SBOM] = _json(bill)
    manifest: dict[str, Any] = {
        **contents.manifest,
        "files": _hashes(inner),
        "distribution_files": _hashes(outer),
    }
    inner[MANIFEST] = _json(manifest)
    inner[MANIFEST_HASH] = manifest_hash_line(inner[MANIFEST])
    files = {**outer, **{f"{package.name}/{path}": data for path, data in inner.items()}}
    return dict(sorted(files.items()))


def _import_package(contents: PackageContents) -> dict[str, bytes]:
    package = contents.deployment.package
    files = {
        name: render(f"package/{name}", name=package.name, version=package.version).encode()
        for name in ("__init__.py", "__main__.py", "bench.py", "serve_app.py")
    }
    files["py.typed"] = b""
    files["model.onnx"] = contents.model
    files[contents.manifest["goldens"]["file"]] = contents.goldens
    for file, names in contents.labels.items():
        files[file] = "".join(f"{_one_line(name)}\n" for name in names).encode()
    labels = [head.labels for head in contents.deployment.heads if head.labels is not None]
    if len(labels) == 1 and labels[0].origin == "imagenet1k":
        # The names of ImageNet's class folders, by which `eval` finds the truth.
        files["synsets.txt"] = resource("data/imagenet1k_synsets.txt").read_bytes().replace(b"\r\n", b"\n")
    if contents.vdsp_params is not None:
        files["vdsp_params.json"] = _json(contents.vdsp_params)
    runtime = Path(zooc_runtime.__file__).parent
    for path in sorted(runtime.rglob("*")):
        if path.suffix in (".py", ".html") or path.name == "py.typed":
            files[f"_runtime/{path.relative_to(runtime).as_posix()}"] = path.read_bytes().replace(
                b"\r\n", b"\n"
            )
    return files


def _distribution(contents: PackageContents) -> dict[str, bytes]:
    package = contents.deployment.package
    source = contents.deployment.model.source
    shown = Path(source.name).name if source.is_file else source.shown
    takes = _takes(contents.deployment.preprocess)
    planes = contents.manifest["model"]["input"]["shape"][1]
    readme = render(
        "README.md",
        name=package.name,
        version=package.version,
        zooc=str(contents.manifest["zooc"]),
        source=shown,
        usage=_usage(takes, contents.manifest, planes),
        form=_TENSOR_FORM if takes == "tensor" else _IMAGE_FORM,
        **{key: text.format(planes=planes) for key, text in _GRAPHS[takes].items()},
    )
    project = render(
        "pyproject.toml",
        name=package.name,
        version=package.version,
        description=f"An image classifier compiled by zooc from {_one_line(shown)}",
    )
    return {
        "README.md": readme.encode(),
        "pyproject.toml": project.encode(),
        "report.html": contents.report_html.encode("utf-8", "replace"),
        **({} if contents.report_json is None else {REPORT_DATA: contents.report_json}),
    }


def _takes(preprocess: Preprocess | None) -> str:
    if preprocess is None:
        return "tensor"
    if preprocess.source == "rgb":
        return "rgb"
    return "frames" if is_nv12(preprocess.source) else "bands"


def _usage(takes: str, manifest: Mapping[str, Any], planes: int) -> str:
    if takes == "tensor":
        return _TENSOR_USAGE.format(planes=planes)
    ends = manifest["postprocess"]
    kinds = {"sigmoid": "labels", "l2_normalize": "embeddings"}
    asked = _ANSWERS["heads" if "heads" in ends else kinds.get(ends["activation"], "classes")]
    bands = takes == "bands"
    forms = f"path, bytes or uint8 [H, W, {planes}]" if bands else "path, bytes, PIL image or uint8 [H, W, 3]"
    return (asked + _IMAGE_USAGE).format(file="a.npy" if bands else "a.jpg", forms=forms, planes=planes)


def _hashes(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    return {
        path: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for path, data in files.items()
    }


def _json(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return f"{text}\n".encode("ascii")


def _one_line(text: str) -> str:
    """The text without line breaks, which mean something in `labels.txt` and in a `description`."""
    return " ".join(text.encode("utf-8", "replace").decode().splitlines())
