"""The files beside this one are the specification of diagnostics: NAME.zoo and what it says, NAME.expected.

A first line `# run: --variant NAME --set A=B` gives the command line.
ZOOC_UPDATE_EXPECTED=1 rewrites the expectations.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
from pathlib import Path

import pytest

from zooc.diagnostics.diagnostic import Diagnostic
from zooc.diagnostics.render import print_diagnostics, render, to_json
from zooc.frontend.semantics.analyze import load_deployment

FOLDER = Path(__file__).parent
CASES = sorted(path.stem for path in FOLDER.glob("*.zoo"))
WARNINGS_ONLY = {"name_unused", "flow_crop_may_be_too_large", "flow_mean_in_pixels"}


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def findings(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, list[Diagnostic]]:
    monkeypatch.chdir(FOLDER)
    first = Path(f"{name}.zoo").read_text(encoding="utf-8").split("\n", 1)[0]
    words = shlex.split(first.removeprefix("# run:"), posix=False) if first.startswith("# run:") else []
    options = list(zip(words[::2], words[1::2], strict=True))
    variant = next((value for option, value in options if option == "--variant"), None)
    overrides = [value for option, value in options if option == "--set"]
    deployment, diagnostics = load_deployment(f"{name}.zoo", variant, overrides)
    return deployment is not None, diagnostics


@pytest.mark.parametrize("name", CASES)
def test_the_output_is_as_expected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted, diagnostics = findings(name, monkeypatch)
    text = "\n\n".join(render(diagnostic) for diagnostic in diagnostics) + "\n"
    expected = FOLDER / f"{name}.expected"
    if os.environ.get("ZOOC_UPDATE_EXPECTED") == "1":
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
    assert diagnostics
    assert accepted == (name in WARNINGS_ONLY)


@pytest.mark.parametrize("name", CASES)
def test_colour_adds_nothing_but_colour(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, diagnostics = findings(name, monkeypatch)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    plain, coloured = io.StringIO(), Terminal()
    print_diagnostics(diagnostics, plain)
    print_diagnostics(diagnostics, coloured)
    assert "\x1b[" in coloured.getvalue()
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured.getvalue())
    assert [line.rstrip() for line in stripped.split("\n")] == [
        line.rstrip() for line in plain.getvalue().split("\n")
    ]
    assert "\x1b" not in plain.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_json_has_the_same_places(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, diagnostics = findings(name, monkeypatch)
    for diagnostic in diagnostics:
        values = to_json(diagnostic)
        assert values["code"] in render(diagnostic)
        if diagnostic.span is not None:
            assert f"{values['file']}:{values['line']}:{values['column']}" in render(diagnostic)
            assert (values["end_line"], values["end_column"]) >= (values["line"], values["column"])


@pytest.mark.parametrize("name", CASES)
def test_no_output_names_a_folder_of_this_machine(name: str) -> None:
    assert str(Path.home()) not in (FOLDER / f"{name}.expected").read_text(encoding="utf-8")
    assert str(FOLDER.parent) not in (FOLDER / f"{name}.expected").read_text(encoding="utf-8")


def test_credentials_in_an_address_are_in_no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    override = 'quantize.data=images("https://me:hush@host/val.tar", suffix=3)'
    for overrides in ([], [override]):
        _, diagnostics = load_deployment("images_password.zoo", None, overrides)
        assert "Z0328" in {diagnostic.code for diagnostic in diagnostics}
        shown = [text for one in diagnostics for text in (render(one), json.dumps(to_json(one)))]
        assert "hush" not in "".join(shown)
