"""The tiny contents that the runtime's tests use too."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zooc.package.contents import PackageContents
from zooc.package.emit import emit_package


def _tiny_contents() -> Callable[..., PackageContents]:
    path = Path(__file__).parent.parent / "runtime" / "tiny_package.py"
    spec = importlib.util.spec_from_file_location("tiny_package", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("tiny_package", module)
    spec.loader.exec_module(module)
    made: Callable[..., PackageContents] = module.tiny_contents
    return made


@pytest.fixture(scope="session")
def tiny_contents() -> Callable[..., PackageContents]:
    """Makes contents; see `tests/runtime/tiny_package.py`."""
    return _tiny_contents()


@pytest.fixture(scope="session")
def contents(tiny_contents: Callable[..., PackageContents]) -> PackageContents:
    """The contents in their plainest form."""
    return tiny_contents()


@pytest.fixture
def tinybird(
    tmp_path: Path, tiny_contents: Callable[..., PackageContents], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Writes a package without a compile, and makes its folder's parent the current folder."""
    monkeypatch.chdir(tmp_path)

    def make(**kind: Any) -> Path:
        name = kind.setdefault("name", "tinybird")
        return emit_package(tiny_contents(**kind), tmp_path / "build" / name, force=True) / name

    return make
