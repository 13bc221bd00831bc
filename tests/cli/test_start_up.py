"""The quick commands stay quick: they import little, and read the grammar's tables from the cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "resnest50.zoo"
HEAVY = {"PIL", "jinja2", "numpy", "onnx", "onnxruntime", "sklearn", "torch"}


def _run(cache: Path, *arguments: str) -> str:
    """What the command prints, and in the last line the heavy modules that it imported."""
    code = (
        f"import sys; sys.argv[1:] = {list(arguments)}\n"
        "from zooc.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    environment = {**os.environ, "ZOOC_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return done.stderr + done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["check", str(EXAMPLE)]])
def test_help_and_check_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert _run(tmp_path, *arguments).splitlines()[-1] == "[]"


def test_a_damaged_table_of_the_grammar_is_built_again_without_a_word(tmp_path: Path) -> None:
    fresh = _run(tmp_path, "check", str(EXAMPLE))
    (tables,) = (tmp_path / "grammar").iterdir()
    whole = tables.read_bytes()
    tables.write_bytes(whole[: len(whole) // 2])
    assert _run(tmp_path, "check", str(EXAMPLE)) == fresh
    assert len(tables.read_bytes()) > 0.9 * len(whole)
