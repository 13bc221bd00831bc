"""The oldest versions that pyproject.toml admits compile, and run what today's versions compile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
Packages = Callable[[str], Any]


def floors() -> dict[str, str]:
    """Each dependency's lower bound, the extra `openvino` included."""
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["openvino"]]
    parsed = [Requirement(text) for text in wanted]
    return {r.name: next(s.version for s in r.specifier if s.operator == ">=") for r in parsed}


@pytest.fixture(scope="session")
def oldest(shared: Path) -> Path:
    """The interpreter of an environment with these versions, made once for all workers."""
    folder = shared / "floors"
    interpreter = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    with FileLock(shared / "floors.lock"):
        if not (folder / "ready").exists():
            venv.create(folder, with_pip=True, clear=True)
            exact = [f"{name}=={version}" for name, version in floors().items()]
            done = call(interpreter, "-m", "pip", "install", "--quiet", *exact)
            if done.returncode and re.search("No matching distribution|Connection", done.stderr):
                pytest.skip(f"pip finds no such versions for this Python: {done.stderr.splitlines()[-1]}")
            assert done.returncode == 0, done.stderr
            (folder / "ready").touch()
    return interpreter


def call(interpreter: Path, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    sources = os.pathsep.join(str(ROOT / part) for part in ("compiler", "runtime"))
    environment = {**os.environ, "PYTHONPATH": sources}
    return subprocess.run(
        [str(interpreter), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


def test_packages_ask_for_the_same_versions() -> None:
    bound = re.compile(r'"([A-Za-z-]+)(?:\[\w+\])?>=([\d.]+)"')
    asked = dict(bound.findall((ROOT / "templates" / "pyproject.toml.j2").read_text("utf-8")))
    known = dict(bound.findall((ROOT / "pyproject.toml").read_text("utf-8")))
    assert asked.pop("hatchling")
    assert {"numpy", "onnxruntime", "Pillow", "openvino", "uvicorn", "fsspec", "ray"} < asked.keys()
    assert asked == {name: known[name] for name in asked}


def test_they_compile(oldest: Path, shared: Path, tmp_path: Path, package: Packages) -> None:
    package("digits")  # writes its description, beside the images
    description, output = str(shared / "digits.zoo"), str(tmp_path / "old")
    options = ["-o", output, "--no-cache", "--for", "openvino"]
    done = call(oldest, "-m", "zooc", "compile", description, *options)
    assert done.returncode == 0, done.stderr
    for engine in ("onnxruntime", "openvino"):
        verified = call(oldest, "-m", "digits", "verify", "--engine", engine, folder=tmp_path / "old")
        assert verified.returncode == 0, verified.stderr


def test_they_run_todays_packages(oldest: Path, given: Any) -> None:
    """Stage by stage and whole: equal to the bit to each other, within the tolerance to today's answers."""
    done = call(oldest, "-m", given.name, "verify", "--engine", "onnxruntime", folder=given.folder.parent)
    assert done.returncode == 0, done.stdout + done.stderr
