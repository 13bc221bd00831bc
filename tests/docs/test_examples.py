"""The examples compile as they are once their images are made, and until then the error says how."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """The examples as a fresh clone has them: without the images, which a script makes."""
    ignored = shutil.ignore_patterns("data", "build")
    return Path(shutil.copytree(root / "examples", tmp_path / "examples", ignore=ignored))


def check(root: Path, files: list[Path]) -> subprocess.CompletedProcess[str]:
    source = os.pathsep.join((str(root / "compiler"), str(root / "runtime")))
    command = [sys.executable, "-m", "zooc", "check", "--require-files", *map(str, files)]
    environment = {**os.environ, "PYTHONPATH": source, "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_example_without_its_images_names_the_script_that_makes_them(root: Path, clone: Path) -> None:
    files = sorted(clone.rglob("*.zoo"))
    done = check(root, files)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert text.count("made by: python") == text.count("error[Z0119]") == len(files) >= 6
    assert (clone / "digits" / "make_dataset.py").is_file()


def test_an_example_with_its_images_lacks_nothing(root: Path, clone: Path) -> None:
    images = clone / "digits" / "data" / "train" / "0"
    images.mkdir(parents=True)
    (images / "0001.jpg").write_bytes(b"not read by check")
    done = check(root, sorted(clone.rglob("*.zoo")))
    assert done.returncode == 0, done.stdout + done.stderr
