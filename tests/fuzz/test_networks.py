"""Strange ONNX files: the process that reads them answers, whatever they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def test_strange_networks_and_those_found_once_are_answered() -> None:
    """In a process without threads, because it forks for each file."""
    command = [sys.executable, "-W", "ignore", str(FOLDER / "run.py"), "--only", "network"]
    command += ["--corpus", "--count", "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| network |" in done.stdout
