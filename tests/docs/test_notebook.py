"""The notebook runs from its first cell to its last."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

for needed in ("nbclient", "ipykernel", "sklearn"):
    pytest.importorskip(needed)


@pytest.mark.slow
def test_the_notebook_runs(root: Path, tmp_path: Path) -> None:
    for name in ("make_dataset.py", "digits_resnest.onnx", "labels.txt"):
        (tmp_path / "examples" / "digits").mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "examples" / "digits" / name, tmp_path / "examples" / "digits")
    notebook = shutil.copy(root / "docs" / "notebooks" / "compile.ipynb", tmp_path)
    source = os.pathsep.join((str(root / "compiler"), str(root / "runtime")))
    environment = {**os.environ, "PYTHONPATH": source, "IPYTHONDIR": str(tmp_path / "ipython")}
    run = "from nbclient.cli import main; main()"
    command = [sys.executable, "-c", run, "--inplace", str(notebook)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    printed = "".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", ()))
    assert "of 32 images" in printed
    assert "Z01" in printed  # the mistake that it shows


def test_the_notebook_is_kept_without_outputs(root: Path) -> None:
    for path in (root / "docs" / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")], (
            path.name
        )
