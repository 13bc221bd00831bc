"""A page that classifies images in the browser: a package's graph, `onnxruntime-web`, and a little script.

Nothing is fetched from elsewhere. The graph holds the preprocessing, so the script only decodes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.package.exports.reading import read_compiled
from zooc.resources import resource
from zooc_runtime.package.heads import Head
from zooc_runtime.package.manifest import Manifest
from zooc_runtime.preprocessing.sources import bands_of

__all__ = ["not_of_a_page", "runtime_files", "web_page"]

_PACKAGE = "onnxruntime-web"
_SCRIPTS = {"wasm": "ort.wasm.bundle.min.mjs", "webgpu": "ort.bundle.min.mjs"}
"""Of the builds with WebGPU, `ort.webgpu` (1.30) lacks the operators on float64 that resizing needs."""
_PROVIDERS = {"wasm": ["wasm"], "webgpu": ["webgpu", "wasm"]}
_STATIC = ("index.html", "style.css", "classify.mjs", "page.mjs", "offline.js")
_WASM = re.compile(r"ort-wasm-simd-threaded(?:\.\w+)?\.wasm")
_MARK = "model.json"


def web_page(package: Path, backend: str, base: Path) -> dict[str, bytes]:
    """Return the page's files by relative path.

    Args:
        package: the folder that `zooc compile` wrote, or the import package in it.
        backend: `wasm`, or `webgpu`, which falls back to `wasm` where a browser has none.
        base: the folder from which `node_modules/onnxruntime-web` is looked for, there and above.

    Raises:
        ZoocError: Z0222, no package, or a damaged one; Z0813, a package whose graph takes no images, or
            an int8 one for WebGPU; Z0703,
            `onnxruntime-web` is not installed.
    """
    compiled = read_compiled(package)
    manifest, graph, heads = compiled.manifest, compiled.graph, compiled.heads
    _refuse_other_inputs(manifest)
    _refuse_integers(manifest, backend)
    head = _class_head(manifest, heads)
    version, runtime = runtime_files(backend, base)
    files = {name: resource(f"templates/web/{name}").read_bytes() for name in _STATIC}
    files |= {"model.onnx": graph, **runtime}
    files[_MARK] = _json(
        {
            "name": manifest["name"],
            "version": manifest["version"],
            "zooc": manifest["zooc"],
            "classes": manifest["model"]["classes"],
            "dtype": manifest["quantization"]["dtype"],
            "topk": head.topk,
            "activation": head.activation,
            "labels": list(head.labels) or None,
            "bytes": len(graph),
            "runtime": f"{_PACKAGE} {version}",
            "providers": _PROVIDERS[backend],
            "wasm": next(name for name in runtime if name.endswith(".wasm")).removeprefix("ort/"),
        }
    )
    return files | {"files.js": _listing(files)}


def not_of_a_page(directory: Path) -> str | None:
    """Return the name of an entry that no exported page has, `None` for a folder that holds such a page."""
    known = {*_STATIC, _MARK, "model.onnx", "files.js", "ort"}
    stranger = next((p.name for p in sorted(directory.iterdir()) if p.name not in known), None)
    if stranger is not None:
        return stranger
    return None if (directory / _MARK).is_file() else f"no {_MARK}"


def _class_head(manifest: Manifest, heads: tuple[Head, ...]) -> Head:
    if heads[0].name or heads[0].embeds:
        what = "embeddings" if heads[0].embeds else "the answers of several heads"
        raise ZoocError(
            error(
                "Z0813",
                f"{manifest['name']} cannot become a page: it gives {what}, and the page shows classes",
                hint="use the package itself, or model.onnx with a page of your own",
            )
        )
    return heads[0]


def _refuse_other_inputs(manifest: Manifest) -> None:
    preprocess = manifest["preprocess"]
    if preprocess is None:
        what = "tensors, because it was compiled without a `preprocess` block"
    elif (bands := bands_of(preprocess.get("source", "rgb"))) is not None:
        what = f"images of {bands} channels, which a browser does not decode"
    elif preprocess.get("source", "rgb") != "rgb":
        what = "NV12 frames, which a browser cannot make from an image"
    else:
        return
    raise ZoocError(
        error(
            "Z0813",
            f"{manifest['name']} cannot become a page for images: its graph takes {what}",
            hint="compile the network again with a `preprocess` block that takes RGB images",
        )
    )


def _refuse_integers(manifest: Manifest, backend: str) -> None:
    if backend == "webgpu" and manifest["quantization"]["dtype"] == "int8":
        raise ZoocError(
            error(
                "Z0813",
                f"{manifest['name']} is int8, which {_PACKAGE} computes wrongly on WebGPU (seen in 1.30)",
                hint="export it with --backend wasm, or compile it with `quantize fp16` or `quantize fp32`",
            )
        )


def runtime_files(backend: str, base: Path) -> tuple[str, dict[str, bytes]]:
    """Return the version of `onnxruntime-web`, and those of its files that the page loads."""
    base = base.absolute()
    places = [base / _PACKAGE, *(folder / "node_modules" / _PACKAGE for folder in (base, *base.parents))]
    folder = next((place for place in places if (place / "package.json").is_file()), None)
    if folder is None:
        raise ZoocError(
            error(
                "Z0703",
                f"there is no {_PACKAGE} in node_modules of {base}, or of a folder above",
                hint=f"npm install {_PACKAGE}, there or in a folder given with --node-modules",
            )
        )
    try:
        version = str(json.loads((folder / "package.json").read_text("utf-8"))["version"])
        script = (folder / "dist" / _SCRIPTS[backend]).read_bytes()
        names = set(_WASM.findall(script.decode("utf-8")))
        if len(names) != 1:
            raise ValueError(f"{_SCRIPTS[backend]} names {len(names)} WebAssembly files")
        (wasm,) = names
        binary = (folder / "dist" / wasm).read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ZoocError(
            error(
                "Z0703",
                f"{folder} is damaged, or too old to be used: {problem}",
                hint=f"npm install {_PACKAGE}@latest",
            )
        ) from None
    # The map beside the script is not copied.
    script = re.sub(rb"\n//# sourceMappingURL=\S+\s*$", b"\n", script)
    return version, {"ort/ort.mjs": script, f"ort/{wasm}": binary}


def _listing(files: Mapping[str, bytes]) -> bytes:
    """What the service worker keeps, under a version that changes with any file."""
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    page = {"version": digest.hexdigest()[:16], "files": sorted(files)}
    return f"self.PAGE = {json.dumps(page)};\n".encode("ascii")


def _json(value: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(value, indent=2, ensure_ascii=True)}\n".encode("ascii")
