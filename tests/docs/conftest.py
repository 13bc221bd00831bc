"""The documents, and the modules that make the site of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "tools" / "site"


def documents() -> list[Path]:
    """All Markdown files of the repository."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    found += [*(ROOT / "examples").rglob("*.md"), *(ROOT / "editors").rglob("*.md")]
    return sorted(path for path in found if "node_modules" not in path.parts)


def load(name: str) -> ModuleType:
    """Import a module of the site's tools, which import each other by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        return importlib.import_module(name)


@pytest.fixture(scope="session")
def blocks() -> ModuleType:
    """Finds code in Markdown."""
    return load("blocks")


@pytest.fixture(scope="session")
def commands() -> ModuleType:
    """Tells the commands and their options."""
    return load("commands")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def pages() -> list[Path]:
    return documents()


@pytest.fixture(scope="session")
def site_module() -> ModuleType:
    """Makes the generated pages."""
    pytest.importorskip("mkdocs")
    return load("generated")
