"""What is written: layout, determinism, harmless strings."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zooc.package.contents import PackageContents, golden_bytes
from zooc.package.emit import emit_package
from zooc.package.files import package_files
from zooc.package.templates import render

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

HOSTILE = (
    'say "hi"',
    "it's",
    "two\nlines",
    "{{ 7 * 7 }} {% raw %} {# c #}",
    '"""; import os; os._exit(3)',
    "back\\slash",
    "<script>alert(1)</script>",
    "x\x00\x7f\ud800 \u2028y",
)


def test_the_layout_is_the_designs(contents: PackageContents) -> None:
    files = package_files(contents)
    assert {name for name in files if "/" not in name} == {"README.md", "pyproject.toml", "report.html"}
    inner = {name.removeprefix("tinybird/") for name in files if name.startswith("tinybird/")}
    assert {
        "__init__.py",
        "__main__.py",
        "bench.py",
        "py.typed",
        "serve_app.py",
        "model.onnx",
        "labels.txt",
        "goldens.npz",
        "manifest.json",
        "manifest.sha256",
        "_runtime/__init__.py",
        "_runtime/inference/model.py",
        "_runtime/py.typed",
    } <= inner
    assert not any("__pycache__" in name for name in inner)
    manifest = json.loads(files["tinybird/manifest.json"])
    assert set(manifest["files"]) == inner - {"manifest.json", "manifest.sha256"}
    assert set(manifest["distribution_files"]) == {"README.md", "pyproject.toml", "report.html"}
    assert manifest["postprocess"]["labels"] == "labels.txt"


def test_two_emissions_are_byte_identical_whatever_the_umask(
    tiny_contents: Callable[..., PackageContents], tmp_path: Path
) -> None:
    emit_package(tiny_contents(), tmp_path / "a", force=False)
    before = os.umask(0o077)
    try:
        emit_package(tiny_contents(), tmp_path / "b", force=False)
    finally:
        os.umask(before)
    trees = [
        {
            p.relative_to(root).as_posix(): (p.stat().st_mode, p.read_bytes() if p.is_file() else b"")
            for p in root.rglob("*")
        }
        for root in (tmp_path / "a", tmp_path / "b")
    ]
    assert trees[0] == trees[1]
    assert {mode & 0o777 for mode, _ in trees[0].values()} == {0o644, 0o755}


def test_text_files_have_lf_line_ends_and_no_machine_paths(contents: PackageContents) -> None:
    for name, data in package_files(contents).items():
        if name.endswith((".py", ".md", ".toml", ".json", ".txt", ".html")):
            assert b"\r" not in data, name
            assert str(Path.cwd()).encode() not in data, name


def test_every_generated_module_compiles_and_imports_relatively(contents: PackageContents) -> None:
    for name, data in package_files(contents).items():
        if name.endswith(".py"):
            for node in ast.walk(ast.parse(data, name)):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0:
                    names.append(node.module or "")
                assert not any(n.split(".")[0] in ("zooc", "zooc_runtime", "onnx") for n in names), name


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_do_no_harm(
    tiny_contents: Callable[..., PackageContents], tmp_path: Path, text: str
) -> None:
    labels = (text, *("ok",) * 6)
    made = tiny_contents(labels=labels, version=text, source=text.replace("/", "_"), report=text)
    files = package_files(made)
    project = tomllib.loads(files["pyproject.toml"].decode())
    assert project["project"]["version"] == text.encode("utf-8", "replace").decode()
    assert project["project"]["dependencies"] and project["build-system"]
    module = ast.parse(files["tinybird/__init__.py"])
    (version,) = (
        n.value for n in module.body if isinstance(n, ast.Assign) and n.targets[0].id == "__version__"
    )  # type: ignore[attr-defined]
    assert ast.literal_eval(version) == text
    assert files["tinybird/labels.txt"].count(b"\n") == 7
    readme = files["README.md"].decode()
    assert "<script>" not in readme
    assert len(readme.splitlines()) == len(package_files(tiny_contents())["README.md"].decode().splitlines())
    emit_package(made, tmp_path / "out", force=False)


def test_a_template_with_an_unknown_variable_is_an_error() -> None:
    import jinja2

    with pytest.raises(jinja2.UndefinedError):
        render("pyproject.toml", name="x")


def test_goldens_are_deterministic_and_readable() -> None:
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3).T, "a": np.zeros((0, 2), np.uint8)}
    data = golden_bytes(arrays)
    assert data == golden_bytes(dict(reversed(arrays.items())))
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        for name, value in arrays.items():
            np.testing.assert_array_equal(archive[name], value)
            assert archive[name].dtype == value.dtype


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python without this environment's path settings, beside the package: zooc must not be needed."""
    code = "import sys; sys.modules['zooc'] = sys.modules['zooc_runtime'] = sys.modules['onnx'] = None; "
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-W", "error", "-c", code + arguments[0], *arguments[1:]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_package_runs_without_zooc(contents: PackageContents, tmp_path: Path) -> None:
    folder = emit_package(contents, tmp_path / "out", force=False)
    code = "import tinybird, numpy as np; image = np.zeros((9, 9, 3), np.uint8); "
    code += "print(tinybird.load()(image).topk[0].index)"
    done = _run(folder, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().isdecimal()


def test_importing_the_package_imports_nothing_heavy(contents: PackageContents, tmp_path: Path) -> None:
    folder = emit_package(contents, tmp_path / "out", force=False)
    code = "import tinybird; print([m for m in ('numpy', 'onnxruntime', 'PIL') if m in sys.modules])"
    assert _run(folder, code).stdout.strip() == "[]"


@pytest.mark.slow
def test_the_package_passes_mypy_strict(contents: PackageContents, tmp_path: Path) -> None:
    folder = emit_package(contents, tmp_path / "out", force=False)
    user = folder / "user.py"
    user.write_text(
        "import tinybird\n"
        "model: tinybird.Model = tinybird.load(threads=1)\n"
        "one: tinybird.Result = model('a.jpg')\n"
        "many: list[tinybird.Result] = model(['a.jpg', b''])\n"
        "best: tinybird.Prediction = one.topk[0]\n"
        "label: str = best.label\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "tinybird", "user.py"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
