"""A compiled package, installed into a fresh environment by pip, works there and guards its files."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the package and its own dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    compile_package(Request(project / "tiny.zoo", folder / "tiny"), Context(Cache(None), Progress()))
    venv.create(folder / "env", with_pip=True)
    interpreter = folder / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    done = call(interpreter, "-m", "pip", "install", "--quiet", str(folder / "tiny"))
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("pip reaches no package registry")
    assert done.returncode == 0, done.stderr
    return interpreter


def call(interpreter: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(interpreter), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=interpreter.parent)


def test_it_brings_nothing_but_its_own_dependencies(python: Path) -> None:
    listed = json.loads(call(python, "-m", "pip", "list", "--format", "json").stdout)
    names = {package["name"].lower() for package in listed}
    assert {"tiny", "numpy", "onnxruntime", "pillow"} <= names
    assert not names & {"zooc", "onnx", "torch", "timm", "jinja2", "lark"}


def test_it_classifies_a_jpeg(python: Path, project: Path) -> None:
    done = call(python, "-m", "tiny", "classify", str(project / "images" / "0.jpg"), "--json")
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in ("ant", "bee", "cat", "dog"))


def test_it_benchmarks_in_vamps_manner(python: Path) -> None:
    flags = ["-i", "2", "-p", "1", "-b", "2", "-s", "[3,64,64]", "--iterations", "20"]
    done = call(python, "-m", "tiny", "bench", *flags, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["throughput_qps"] > 0
    assert set(figures["latency_us"]) >= {"avg", "min", "max", "p50", "p90", "p95", "p99"}
    assert (figures["instances"], figures["processes"], figures["batch_size"]) == (2, 1, 2)
    assert set(figures) >= {"engine", "iterations", "stages_us", "load_ms", "peak_memory_mb"}


def test_it_verifies_until_a_byte_is_flipped_anywhere(python: Path, project: Path) -> None:
    assert call(python, "-m", "tiny", "verify").returncode == 0
    where = call(python, "-c", "import tiny; print(tiny.__file__)").stdout.strip()
    files = [p for p in Path(where).parent.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert len(files) > 20
    tampered = [p for p in files if p.suffix in {".onnx", ".json", ".npz", ".txt", ".sha256"}]
    for path in tampered:
        original = path.read_bytes()
        middle = len(original) // 2
        path.write_bytes(original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1 :])
        try:
            done = call(python, "-m", "tiny", "verify")
            assert done.returncode == 1, f"{path.name} was changed and nobody noticed"
            assert "Traceback" not in done.stderr
            loaded = call(python, "-c", "import tiny; tiny.load()")
            assert loaded.returncode != 0, f"{path.name} was changed and loaded all the same"
        finally:
            path.write_bytes(original)
    assert call(python, "-m", "tiny", "verify").returncode == 0
