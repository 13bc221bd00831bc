"""`zooc compile --for` and `zooc export-web`: what they refuse, and how they say it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


def write_node_package(folder: Path, name: str, create: str) -> None:
    """A package whose sessions are what `create`, the body of a JavaScript function, makes of a file."""
    place = folder / "node_modules" / name
    place.mkdir(parents=True)
    (place / "package.json").write_text(json.dumps({"name": name, "version": "9.8.7", "main": "index.js"}))
    (place / "index.js").write_text(
        f"""
        exports.env = {{ versions: {{ node: "9.8.7", web: "9.8.7" }}, wasm: {{}} }};
        exports.Tensor = class {{
          constructor(type, data, dims) {{ Object.assign(this, {{ type, data, dims }}); }}
        }};
        exports.InferenceSession = {{ async create(file) {{ {create} }} }};
        """
    )


ANSWERING_ZERO = """
return {
  inputNames: ["image"],
  outputNames: ["probabilities", "pixels", "logits"],
  async run() {
    return {
      probabilities: { type: "float32", dims: [1, 4], data: new Float32Array(4) },
      pixels: { type: "uint8", dims: [1, 3, 24, 24], data: new Uint8Array(3 * 24 * 24) },
      logits: { type: "float32", dims: [1, 4], data: new Float32Array(4) },
    };
  },
};
"""


@needs_node
@pytest.mark.parametrize(
    "message, operator",
    [
        ("Could not find an implementation for Conv(11) node with name 'stem/Conv'", "Conv"),
        ("Fatal error: com.acme:Swirl(-1) is not a registered function/op", "Swirl"),
        ("Non-zero status code returned while running Gather node. Name:'Gather'", "Gather"),
    ],
)
def test_a_refusal_names_operator_runtime_and_version(workplace: Any, message: str, operator: str) -> None:
    write_node_package(workplace.folder, "onnxruntime-node", f"throw new Error({json.dumps(message)});")
    said = workplace.refused("Z0704", "compile", "tiny.zoo", "--for", "node")
    assert f"onnxruntime-node 9.8.7 refuses this graph because of {operator}" in said
    assert not (workplace.folder / "build").exists()


@needs_node
def test_a_refusal_without_an_operator_has_the_runtimes_own_words(workplace: Any) -> None:
    write_node_package(workplace.folder, "onnxruntime-web", 'throw new Error("Inferred=8 Declared=2");')
    said = workplace.refused("Z0704", "compile", "tiny.zoo", "--for", "web")
    assert "onnxruntime-web 9.8.7 refuses this graph" in said
    assert "Inferred=8 Declared=2" in said


@needs_node
def test_other_answers_are_an_error(workplace: Any) -> None:
    write_node_package(workplace.folder, "onnxruntime-web", ANSWERING_ZERO)
    said = workplace.refused("Z0705", "compile", "tiny.zoo", "--for", "web")
    assert "onnxruntime-web 9.8.7 gives other results" in said
    assert "pixels differ by" in said


@needs_node
def test_a_package_that_does_not_even_load_is_refused(workplace: Any) -> None:
    write_node_package(workplace.folder, "onnxruntime-node", "")
    (workplace.folder / "node_modules" / "onnxruntime-node" / "index.js").write_text(
        "throw new Error('no binary')"
    )
    assert "no binary" in workplace.refused("Z0704", "compile", "tiny.zoo", "--for", "node")


@needs_node
def test_a_missing_package_is_named_with_the_command_that_installs_it(workplace: Any) -> None:
    said = workplace.refused("Z0703", "compile", "tiny.zoo", "--for", "web")
    assert f"finds no package onnxruntime-web from {workplace.folder}" in said
    assert "npm install onnxruntime-web" in said


def test_without_node_it_is_node_that_is_missing(workplace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zooc.consumers.in_node.shutil.which", lambda _: None)
    assert "Node.js is not installed" in workplace.refused("Z0703", "compile", "tiny.zoo", "--for", "node")


def openvino(read_model: Any) -> ModuleType:
    module = ModuleType("openvino")
    module.__version__ = "2099.1.0-123"  # type: ignore[attr-defined]
    module.Core = type("Core", (), {"read_model": read_model, "compile_model": None})  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(
    "message",
    [
        "Summary:\n-- No conversion rule found for operations: MaxUnpool-20\nTo facilitate",
        "OpenVINO does not support the following ONNX operations: MaxUnpool\n  at line 7",
    ],
)
def test_openvino_names_the_operation(workplace: Any, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setitem(sys.modules, "openvino", openvino(refuse))
    said = workplace.refused("Z0704", "compile", "tiny.zoo", "--for", "openvino")
    assert "openvino 2099.1.0 refuses this graph because of MaxUnpool" in said


def test_openvino_missing(workplace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert "pip install openvino" in workplace.refused("Z0703", "compile", "tiny.zoo", "--for", "openvino")


@pytest.mark.parametrize("wrong, near", [("wep", "web"), ("nodejs", "node"), ("open-vino", "openvino")])
def test_a_mistyped_runtime(workplace: Any, wrong: str, near: str) -> None:
    said = workplace.zooc("compile", "tiny.zoo", "--for", wrong, code=2)
    assert f"did you mean `{near}`?" in said


def test_a_missing_folder_of_node_modules(workplace: Any) -> None:
    assert "there is no folder" in workplace.zooc(
        "compile", "tiny.zoo", "--for", "web", "--node-modules", "nowhere", code=2
    )


@pytest.fixture
def web(workplace: Any) -> Any:
    """The package compiled, and something in the place of onnxruntime-web."""
    place = workplace.folder / "node_modules" / "onnxruntime-web" / "dist"
    place.mkdir(parents=True)
    (place.parent / "package.json").write_text('{"version": "9.8.7"}')
    for name, wasm in (
        ("ort.wasm", "ort-wasm-simd-threaded.wasm"),
        ("ort", "ort-wasm-simd-threaded.jsep.wasm"),
    ):
        script = f'const file = "{wasm}";\n//# sourceMappingURL={name}.bundle.min.mjs.map\n'
        (place / f"{name}.bundle.min.mjs").write_text(script)
        (place / wasm).write_bytes(b"\0asm")
    workplace.zooc("compile", "tiny.zoo", "--quiet")
    return workplace


def test_a_page_has_the_package_and_what_the_browser_loads(web: Any) -> None:
    web.zooc("export-web", "build/tiny", "-o", "page")
    page = web.folder / "page"
    described = json.loads((page / "model.json").read_text())
    assert described["runtime"] == "onnxruntime-web 9.8.7"
    assert described["wasm"] == "ort-wasm-simd-threaded.wasm"
    assert described["bytes"] == (page / "model.onnx").stat().st_size
    assert (page / "model.onnx").read_bytes() == web.bytes("build/tiny/tiny/model.onnx")
    assert "sourceMappingURL" not in (page / "ort" / "ort.mjs").read_text()
    kept = json.loads((page / "files.js").read_text().removeprefix("self.PAGE = ").removesuffix(";\n"))
    there = {p.relative_to(page).as_posix() for p in page.rglob("*") if p.is_file()}
    assert set(kept["files"]) == there - {"files.js"}


def test_a_page_is_replaced_only_on_demand_and_nothing_else_ever(web: Any) -> None:
    web.zooc("export-web", "build/tiny", "-o", "page")
    assert "--force" in web.refused("Z0601", "export-web", "build/tiny", "-o", "page")
    web.zooc("export-web", "build/tiny", "-o", "page", "--force")
    (web.folder / "page" / "mine.txt").write_text("mine")
    said = web.refused("Z0602", "export-web", "build/tiny", "-o", "page", "--force")
    assert "mine.txt" in said
    assert "Z0602" in web.refused("Z0602", "export-web", "build/tiny", "-o", "build/tiny", "--force")


def test_webgpu_is_for_float(web: Any) -> None:
    assert "int8" in web.refused("Z0813", "export-web", "build/tiny", "-o", "page", "--backend", "webgpu")
    web.zooc("compile", "tiny.zoo", "--quiet", "--force", "--set", "quantize=fp32")
    web.zooc("export-web", "build/tiny", "-o", "page", "--backend", "webgpu")
    described = json.loads((web.folder / "page" / "model.json").read_text())
    assert described["providers"] == ["webgpu", "wasm"]
    assert described["wasm"] == "ort-wasm-simd-threaded.jsep.wasm"


def test_a_package_that_takes_no_images_is_refused(web: Any) -> None:
    text = (web.folder / "tiny.zoo").read_text()
    frames = text.replace("ECenterCrop(size)", "NV12(bt601) Resize([24, 24])")
    (web.folder / "frames.zoo").write_text(frames)
    web.zooc("compile", "frames.zoo", "-o", "frames", "--quiet")
    assert "NV12" in web.refused("Z0813", "export-web", "frames", "-o", "page")
    lines = [
        line for line in text.splitlines() if not line.startswith(("preprocess", "quantize", "let mean"))
    ]
    (web.folder / "tensor.zoo").write_text("\n".join(lines))
    web.zooc("compile", "tensor.zoo", "-o", "tensor", "--quiet")
    assert "tensors" in web.refused("Z0813", "export-web", "tensor", "-o", "page")
    assert not (web.folder / "page").exists()


def test_a_damaged_package_is_refused(web: Any) -> None:
    model = web.folder / "build" / "tiny" / "tiny" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    assert "changed since it was compiled" in web.refused("Z0222", "export-web", "build/tiny", "-o", "page")
    assert "not a package" in web.refused("Z0222", "export-web", "images", "-o", "page")


def test_a_missing_or_damaged_runtime_is_named(web: Any) -> None:
    (web.folder / "elsewhere").mkdir()
    dist = web.folder / "node_modules" / "onnxruntime-web" / "dist"
    (dist / "ort-wasm-simd-threaded.wasm").unlink()
    assert "damaged" in web.refused("Z0703", "export-web", "build/tiny", "-o", "page")
    shutil.rmtree(web.folder / "node_modules")
    said = web.refused("Z0703", "export-web", "build/tiny", "-o", "page", "--node-modules", "elsewhere")
    assert "npm install onnxruntime-web" in said
