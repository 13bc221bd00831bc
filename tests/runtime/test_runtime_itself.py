"""The runtime as a whole: what it offers, what it needs."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import zooc_runtime
from zooc_runtime.inference import cpu

ALLOWED = {"numpy", "PIL"}
"""Besides the standard library; the engines, and what signatures need, are imported by name."""
SERVING = {"starlette", "uvicorn", "prometheus_client", "opentelemetry"}
"""What `serve` alone imports, and nobody else imports its modules before it is called."""

WHEN_NAMED = {"remote.py": {"fsspec"}, "parquet.py": {"pyarrow"}}
"""What a source of images needs; imported, inside of functions, when such a source is named."""


def _sources() -> list[Path]:
    return sorted(Path(zooc_runtime.__file__).parent.rglob("*.py"))


def test_the_public_names_are_these() -> None:
    assert zooc_runtime.__all__ == ["Model", "PackageError", "Prediction", "Result", "open_package"]
    for name in zooc_runtime.__all__:
        assert getattr(zooc_runtime, name).__module__.startswith("zooc_runtime")
    with pytest.raises(AttributeError, match="no attribute 'Modell'"):
        _ = zooc_runtime.Modell


@pytest.mark.parametrize("path", _sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_modules_import_relatively_and_little(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
        roots = {name.split(".")[0] for name in names}
        more = SERVING if path.parent.name == "serving" else set()
        extra = set() if node in tree.body else WHEN_NAMED.get(path.name, set())
        assert roots <= {*sys.stdlib_module_names, *ALLOWED, *more, *extra}, path


@pytest.mark.parametrize("path", _sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_modules_say_what_they_are_and_what_they_offer(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    if path.name == "__init__.py" and path.parent != Path(zooc_runtime.__file__).parent:
        assert len(tree.body) == 1, "a folder's own file says what the folder holds, and no more"
        return
    offered = next(ast.literal_eval(n.value) for n in tree.body if ast.unparse(n).startswith("__all__"))  # type: ignore[attr-defined]
    assert offered == sorted(offered, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def test_the_machine_has_a_core_and_this_process_memory() -> None:
    assert cpu.available_cores() >= 1
    assert cpu.peak_memory_mb() > 1
