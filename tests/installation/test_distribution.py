"""What is published: the wheel has everything that zooc needs, and the sdist makes the same wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.metadata import Metadata

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SOURCES = {
    "compiler/zooc": "zooc",
    "runtime/zooc_runtime": "zooc_runtime",
    "grammar": "zooc/grammar",
    "templates": "zooc/templates",
    "docs/errors": "zooc/docs/errors",
}
"""What of the tree becomes what of the wheel."""


def _build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = target.iterdir()
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def _tree() -> Iterator[tuple[str, Path]]:
    for source, target in SOURCES.items():
        for path in sorted((ROOT / source).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{target}/{path.relative_to(ROOT / source).as_posix()}", path
    yield "zooc/docs/language.md", ROOT / "docs" / "language.md"


def test_the_wheel_has_every_file_and_no_other(wheel: Path) -> None:
    expected = dict(_tree())
    assert {"zooc/grammar/zooc.lark", "zooc/docs/errors/Z0103.md", "zooc/py.typed"} < expected.keys()
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == expected.keys()
        different = [name for name, path in expected.items() if archive.read(name) != path.read_bytes()]
    assert different == []


def test_the_sdist_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "sdist", filter="data")
    (source,) = (tmp_path / "sdist").iterdir()
    assert _build("wheel", source, tmp_path / "wheel").read_bytes() == wheel.read_bytes()
    assert [path.name for path in source.iterdir() if path.name.startswith(".")] in ([], [".gitignore"])
    assert (source / "tests").is_dir() and not list(source.rglob("node_modules"))


def test_the_metadata_is_valid(wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        text = archive.read(name)
    with tarfile.open(sdist) as archive:
        file = archive.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert file is not None and file.read() == text
    metadata = Metadata.from_email(text, validate=True)
    assert metadata.name == "zooc" and metadata.description_content_type == "text/markdown"
    assert metadata.description and metadata.license_expression == "Apache-2.0"
    assert {"models", "openvino"} <= set(metadata.provides_extra or ())


def test_the_wheel_works_without_the_tree(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    example = shutil.copy(ROOT / "examples" / "resnest50.zoo", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "ZOOC_CACHE": str(tmp_path / "cache")}

    def zooc(*arguments: str) -> str:
        command = [sys.executable, "-m", "zooc", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [sys.executable, "-c", "import zooc, zooc_runtime; print(zooc.__file__, zooc_runtime.__file__)"]
    said = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.count(str(tmp_path / "site")) == 2
    zooc("check", str(example))
    assert "Z0103" in zooc("explain", "Z0103")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_whole(workflow: Path) -> None:
    """It parses, pins each action to a version, may do no more than it must, and its scripts are bash."""
    content = yaml.safe_load(workflow.read_text("utf-8"))
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] and set(job.get("needs", "").split()) <= content["jobs"].keys()
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", step.get("uses", "a/b@v1.2.3"))
            _check_script(step.get("run", ""))


def _check_script(script: str) -> None:
    if shutil.which("bash"):
        plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
        subprocess.run(["bash", "-n"], input=plain, text=True, check=True)
    for target in re.findall(r"^make (\w+)", script, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_only_the_job_that_publishes_may_prove_who_it_is() -> None:
    content: dict[str, Any] = yaml.safe_load(
        (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    )
    jobs = content["jobs"]
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["publish"]
    publish = jobs["publish"]
    assert publish["if"] == "github.ref_type == 'tag'" and publish["needs"] == "try"
    (step,) = (one for one in publish["steps"] if one["uses"].startswith("pypa/gh-action-pypi-publish@"))
    assert step["with"] == {"attestations": True}
