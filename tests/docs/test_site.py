"""The site is built without a warning: no broken link, no page that is nowhere, no unknown name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

for needed in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(needed)


def build(root: Path, site: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site), *more]
    source = os.pathsep.join((str(root / "compiler"), str(root / "runtime")))
    environment = {**os.environ, "PYTHONPATH": source, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(root: Path, tmp_path: Path) -> None:
    done = build(root, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert 'href="language.html"' in home
    pages = {page.stem for page in (tmp_path / "site" / "errors").glob("Z*.html")}
    assert pages == {page.stem for page in (root / "docs" / "errors").glob("Z*.md")}
    python = (tmp_path / "site" / "reference" / "python.html").read_text(encoding="utf-8")
    for name in ("open_package", "Model.stream", "Result", "PackageError", "compile_package", "Request"):
        assert f"{name}" in python
    loaded = re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', home)
    assert not loaded, "the site loads from elsewhere"


def test_every_command_has_its_section(root: Path, site_module: ModuleType, commands: ModuleType) -> None:
    page = site_module.zooc_page()
    for name in commands.zooc_commands():
        assert f"\n## {name}\n" in page
    assert "`--variant NAME`" in page
    assert "One of `human`, `json`. Default: `human`." in page
    package = site_module.package_page()
    for name in ("classify", "serve", "bench", "tune", "npz", "decode", "eval", "verify", "info"):
        assert f"\n## python -m PKG {name}\n" in package


def test_the_index_of_errors_has_every_page(root: Path, site_module: ModuleType) -> None:
    page = site_module.errors_page(root / "docs" / "errors")
    assert "| [Z0103](Z0103.md) | " in page
    assert page.count("| [Z") == len(list((root / "docs" / "errors").glob("Z*.md")))


def test_a_broken_link_and_a_broken_anchor_are_found(root: Path, tmp_path: Path) -> None:
    config = (root / "mkdocs.yml").read_text(encoding="utf-8")
    validation = re.search(r"^validation:\n(?:  .*\n)+", config, re.MULTILINE)
    assert validation
    (tmp_path / "docs").mkdir()
    links = "[a](other.md), [b](#nowhere), [c](../missing/x.md)"
    (tmp_path / "docs" / "index.md").write_text(f"# Page\n\n{links}\n")
    (tmp_path / "mkdocs.yml").write_text(f"site_name: test\n{validation[0]}")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    for target in ("other.md", "#nowhere", "missing/x.md"):
        assert target in done.stderr
