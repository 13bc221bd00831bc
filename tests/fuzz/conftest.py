"""The modules of this folder, which are no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fuzzing() -> ModuleType:
    """The script `run.py`, with all that it imports."""
    sys.path.insert(0, str(FOLDER))
    try:
        return _module("run")
    finally:
        sys.path.remove(str(FOLDER))
