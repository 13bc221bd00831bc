"""`zooc doctor`: what it says of broken, old and missing libraries, and of the machine around them."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.installation import surroundings
from zooc.installation.finding import Finding
from zooc.installation.libraries import find_libraries
from zooc.installation.machine import _memory, find_machine
from zooc.installation.probe import probe
from zooc.installation.surroundings import find_folders, find_programs

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution at the front of the path: its metadata, and one module of its name."""
    monkeypatch.syspath_prepend(str(tmp_path / "path"))

    def put(name: str, version: str, code: str | None = "", **headers: list[str]) -> None:
        folder = tmp_path / "path" / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = [f"{key.replace('_', '-')}: {value}" for key, values in headers.items() for value in values]
        text = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines])
        (folder / "METADATA").write_text(text + "\n")
        if code is not None:
            (folder / "top_level.txt").write_text(name)
            (tmp_path / "path" / f"{name}.py").write_text(code)

    return put


def _look(limit: float = 60.0) -> dict[str, Finding]:
    return {one.name: one for one in find_libraries(lambda _: None, limit)}


def _zooc(install: Install, *requires: str, python: str = ">=3.10") -> None:
    extras = ["models", "dev"]
    install(
        "zooc", "9.9", None, Requires_Dist=list(requires), Requires_Python=[python], Provides_Extra=extras
    )


def test_a_library_that_works(install: Install) -> None:
    _zooc(install, "fine>=1.0")
    install("fine", "1.5")
    found = _look()
    assert found["zooc"].detail == "9.9" and found["Python"].status == "ok"
    assert found["fine"].status == "ok" and found["fine"].facts["version"] == "1.5"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("def f(:", "SyntaxError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes Python (SIGSEGV)"),
        ("import os; os._exit(3)", "ends Python (3)"),
        ("import os; os._exit(0)", "ends Python"),
        ("import sys; print('noise'); sys.exit('no licence')", "no licence"),
    ],
)
def test_a_library_that_breaks_or_crashes_is_named_with_the_reason(
    install: Install, code: str, says: str
) -> None:
    _zooc(install, "broken>=1.0")
    install("broken", "1.5", code)
    found = _look()["broken"]
    assert found.status == "broken" and says in found.detail and found.detail.startswith("1.5")
    assert found.remedy.endswith("-m pip install --force-reinstall 'broken>=1.0'")


def test_a_library_that_hangs_is_given_up(install: Install) -> None:
    _zooc(install, "hanging>=1.0")
    install("hanging", "1.5", "import time; time.sleep(60)")
    assert "did not end within 0.5 seconds" in _look(limit=0.5)["hanging"].detail


def test_noise_of_an_import_does_no_harm(install: Install) -> None:
    install("noisy", "1", "import sys; sys.stdout.write('{no json'); print('warning', file=sys.stderr)")
    assert probe("noisy").failure is None


def test_a_library_that_is_too_old(install: Install) -> None:
    _zooc(install, "old>=2.0", "older[x]>=2.0; extra == 'models'")
    install("old", "1.9.9")
    install("older", "1.0")
    found = _look()
    for name in ("old", "older"):
        assert found[name].status == "old" and f"zooc needs {name}>=2.0" in found[name].detail
    assert found["old"].remedy == f"{sys.executable} -m pip install --upgrade 'old>=2.0'"


def test_missing_libraries(install: Install) -> None:
    _zooc(
        install,
        "zooc_needs_this>=2.0",
        "zooc_can_use_this>=3; extra == 'models'",
        "never_looked_at>=1; extra == 'dev'",
        "of_another_python>=1; python_version < '3'",
    )
    found = _look()
    assert found.keys() == {"zooc", "Python", "zooc_needs_this", "zooc_can_use_this"}
    assert found["zooc_needs_this"].status == "broken" and found["zooc_needs_this"].stops_work
    assert found["zooc_can_use_this"].status == "absent" and not found["zooc_can_use_this"].stops_work
    assert found["zooc_can_use_this"].remedy.endswith("-m pip install 'zooc_can_use_this>=3'")
    assert found["zooc_can_use_this"].facts["extra"] == "models"


def test_a_python_that_is_too_old(install: Install) -> None:
    _zooc(install, python=">=4.0")
    assert _look()["Python"].status == "old"


def test_another_build_of_an_engine_stands_for_it(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _zooc(install, "onnxruntime>=1.23")
    install("onnxruntime_gpu", "1.24", None)
    code = "def get_available_providers(): return ['CUDAExecutionProvider', 'CPUExecutionProvider']"
    (tmp_path / "path" / "onnxruntime.py").write_text(code)
    (tmp_path / "path" / "onnxruntime_gpu-1.24.dist-info" / "top_level.txt").write_text("onnxruntime")
    importlib.import_module("packaging.requirements")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "path")])  # without the build that is installed here
    found = _look()
    assert found["onnxruntime"].detail == "1.24, of onnxruntime_gpu: CUDA, CPU"


def test_the_machine() -> None:
    found = {one.name: one for one in find_machine()}
    assert 1 <= found["cores"].facts["usable"] <= found["cores"].facts["all"]
    assert found["processor"].facts["cpu"] and found["processor"].status == "ok"
    assert found["memory"].facts["bytes"] > 0


def test_a_containers_limit_is_what_may_be_used(tmp_path: Path) -> None:
    for name, text in (("max", "max\n"), ("little", f"{1 << 30}\n")):
        (tmp_path / name).write_text(text)
    paths = tuple(str(tmp_path / name) for name in ("max", "little", "absent"))
    found = _memory(paths)
    assert found.facts["bytes"] == 1 << 30 and found.status == "warning"
    assert "the container's limit" in found.detail and not found.stops_work


def test_the_cache_is_measured_and_nothing_is_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "entry").write_bytes(bytes(1_500_000))
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path))
    cache = {one.name: one for one in find_folders()}["cache"]
    assert cache.facts == {"folder": str(tmp_path), "bytes": 1_500_000, "writable": True}
    assert [path.name for path in tmp_path.rglob("*")] == ["export", "entry"]
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "yet" / "to" / "come"))
    assert {one.name: one for one in find_folders()}["cache"].status == "ok"
    assert not (tmp_path / "yet").exists()


def test_an_unwritable_cache_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "file" / "cache"))
    cache = {one.name: one for one in find_folders()}["cache"]
    assert cache.status == "warning" and not cache.stops_work and cache.facts["writable"] is False
    assert "cannot be written (Not a directory)" in cache.detail and "ZOOC_CACHE" in cache.remedy


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_cache_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    assert {one.name: one for one in find_folders()}["cache"].status == "warning"


def test_an_incomplete_installation_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "_DATA", ("grammar/no_such.lark",))
    found = find_folders()[0]
    assert found.status == "broken" and "lacks grammar/no_such.lark" in found.detail


def _script(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="programs are shell scripts here")
def test_programs_and_node_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    _script(tmp_path / "bin", "node", "echo v22.1.0")
    _script(tmp_path / "bin", "apt-get", "exit 1")
    (tmp_path / "node_modules" / "onnxruntime-web").mkdir(parents=True)
    (tmp_path / "node_modules" / "onnxruntime-web" / "package.json").write_text("{}")
    (tmp_path / "below").mkdir()
    found = {one.name: one for one in find_programs(tmp_path / "below")}
    assert found["Node.js"].status == "ok" and found["Node.js"].facts["version"] == "v22.1.0"
    assert (
        found["Chromium"].status == "absent" and found["Chromium"].remedy == "sudo apt-get install chromium"
    )
    assert found["onnxruntime-web"].status == "ok" and found["onnxruntime-node"].status == "absent"
    assert found["onnxruntime-node"].remedy == "npm install onnxruntime-node"
    _script(tmp_path / "bin", "node", "exit 1")
    assert {one.name: one for one in find_programs(tmp_path)}["Node.js"].status == "warning"
    (tmp_path / "bin" / "apt-get").unlink()
    assert "nodejs.org" in {one.name: one for one in find_programs(tmp_path)}["npm"].remedy


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_the_command_says_that_all_is_well(install: Install) -> None:
    _zooc(install, "fine>=1.0")
    install("fine", "1.5")
    done = _run()
    assert done.exit_code == 0 and done.stdout.endswith("zooc works here\n")
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == [
        "libraries",
        "machine",
        "folders",
        "programs",
        "zooc works here",
    ]
    assert _run("--quiet").stdout == "zooc works here\n"


def test_the_command_leaves_with_1_and_says_why(install: Install) -> None:
    _zooc(install, "broken>=1.0")
    install("broken", "1.5", "raise RuntimeError('boom')")
    done = _run("--quiet")
    assert done.exit_code == 1
    first, second, *_ = done.stdout.splitlines()[1:]
    assert first.split() == ["BROKEN", "broken", "1.5:", "RuntimeError:", "boom"]
    assert "pip install" in second


def test_json_has_the_same(install: Install) -> None:
    _zooc(install, "old>=2.0")
    install("old", "1.0")
    done = _run("--format", "json")
    document = json.loads(done.stdout)
    assert done.exit_code == 1 and document["ok"] is False
    old = next(one for one in document["findings"] if one["name"] == "old")
    assert old["status"] == "old" and old["version"] == "1.0" and old["asked_for"] == ">=2.0"
    assert {one["section"] for one in document["findings"]} == {"libraries", "machine", "folders", "programs"}


@pytest.mark.parametrize(
    "arguments", [["--format", "xml"], ["--node-modules", "/no/such/folder"], ["extra"]], ids=str
)
def test_mistyped_arguments_are_usage_errors(arguments: list[str]) -> None:
    assert _run(*arguments).exit_code == 2
