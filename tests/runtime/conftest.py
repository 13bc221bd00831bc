"""Fixtures: tiny packages, emitted once a session, and images to feed them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zooc.package.emit import emit_package
from zooc_runtime.commands.main import main


def _tiny_package() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_package", Path(__file__).with_name("tiny_package.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_package"] = module
    spec.loader.exec_module(module)
    return module


tiny = _tiny_package()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, so that what was tuned on this machine does not count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOOC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Import-package folders by `tiny_contents`' arguments; never change them, copy them."""
    made: dict[str, Path] = {}

    def get(**options: Any) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("package") / "build"
            made[key] = emit_package(tiny.tiny_contents(**options), folder, force=False) / "tinybird"
        return made[key]

    return get


@pytest.fixture(scope="session")
def package(pristine: Callable[..., Path]) -> Path:
    """The import package in its plainest form; not to be changed."""
    return pristine()


@pytest.fixture
def run(package: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: exit code, stdout, stderr."""

    def call(*arguments: str | Path, directory: Path = package) -> tuple[int, str, str]:
        try:
            code = main(directory, [str(a) for a in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def copied(package: Path, tmp_path: Path) -> Path:
    """A copy of the whole build folder; its import package, to be changed at will."""
    return shutil.copytree(package.parent, tmp_path / "build") / "tinybird"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small JPEG."""
    path = tmp_path / "photo.jpg"
    random_image(40, 30).save(path)
    return path


def random_image(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
