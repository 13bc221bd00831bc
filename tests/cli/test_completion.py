"""Completion in the shell, through typer's protocol for bash, as the installed function calls zooc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zooc.cli import completion
from zooc.networks.torch.official_names import OFFICIAL

ZOOC = "import sys; sys.argv = ['zooc']; from zooc.__main__ import main; main()"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("alpha.zoo", "beta.zoo", "nets/gamma.zoo", "notes.txt", "net.onnx", ".hidden/x.zoo"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for package in ("build/bird", "build/plane"):
        inner = tmp_path / package / Path(package).name
        inner.mkdir(parents=True)
        (inner / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _complete(line: str, folder: Path) -> list[str]:
    words = line.split(" ")
    environment = {
        **os.environ,
        "_ZOOC_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", ZOOC], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("zooc comp", ["compile", "compare"]),
        ("zooc compile ", ["alpha.zoo", "beta.zoo", "build/", "nets/"]),
        ("zooc check alpha.zoo b", ["beta.zoo", "build/"]),
        ("zooc compile alpha.zoo --for ", ["node", "openvino", "web"]),
        ("zooc compare build/bird build/p", ["build/plane"]),
        ("zooc new official.iresnet1", ["official.iresnet101", "official.iresnet152"]),
        ("zooc explain Z070", ["Z0701", "Z0702", "Z0703", "Z0704", "Z0705"]),
    ],
)
def test_bash_is_told_what_fits(line: str, choices: list[str], folder: Path) -> None:
    assert sorted(_complete(line, folder)) == sorted(choices)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_what_typer_installs_works_in_bash(folder: Path) -> None:
    """The function that `--show-completion` prints, sourced, calls the command and fills `COMPREPLY`."""
    program = folder / "bin" / "zooc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{ZOOC}"\n')
    program.chmod(0o755)
    script = """
        source <(_ZOOC_COMPLETE=source_bash zooc)
        complete -p zooc
        COMP_WORDS=(zooc compile al) COMP_CWORD=2
        _zooc_completion zooc
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["complete -o default -F _zooc_completion zooc", "alpha.zoo"]


def test_a_folder_that_is_the_only_choice_is_entered(folder: Path) -> None:
    assert completion.descriptions("ne") == ["nets/gamma.zoo"]
    assert completion.packages("bu") == ["build/bird", "build/plane"]
    assert completion.packages("build/bird/") == ["build/bird/bird"]


def test_hidden_files_are_shown_when_asked_for(folder: Path) -> None:
    assert completion.descriptions(".h") == [".hidden/x.zoo"]


def test_what_is_not_there_completes_to_nothing(folder: Path) -> None:
    for wrong in ("no/such/folder/x", "alpha.zoo/", "~no_such_user/x", "\0"):
        assert completion.descriptions(wrong) == []


def test_inspect_takes_onnx_files_too(folder: Path) -> None:
    assert completion.inspectable("ne") == ["net.onnx", "nets/"]
    assert completion.descriptions_or_packages("n") == ["nets/gamma.zoo"]


def test_official_models_and_files_are_sources(folder: Path) -> None:
    assert completion.sources("official.") == sorted(f"official.{name}" for name in OFFICIAL)
    assert completion.sources("net.") == ["net.onnx"] and "official." in completion.sources("")
    assert completion.models("net.") == [] and completion.models("nothing.") == []


def test_models_of_a_library_are_read_without_importing_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = folder / "lib" / "torchvision" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (models / "a.py").write_text(
        "def helper(): ...\n\n@register_model()\n@handle_legacy_interface(\n    weights=(1, 2)\n)\n"
        "def resnet18(*, weights=None): ...\n\n@register_model\ndef resnet34(): ...\n"
    )
    monkeypatch.syspath_prepend(str(folder / "lib"))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)  # other tests import it
    found = ["torchvision.resnet18", "torchvision.resnet34"]
    assert completion.models("torchvision.res") == found
    assert completion.models("torchvision.resnet3") == found[1:]


@pytest.mark.slow
def test_every_name_of_torchvision_is_one_that_it_has() -> None:
    torchvision = pytest.importorskip("torchvision")
    known = {f"torchvision.{name}" for name in torchvision.models.list_models(torchvision.models)}
    assert set(completion.models("torchvision.")) == known
