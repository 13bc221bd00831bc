"""The GitHub Action and the hooks for pre-commit: their commands are run as these would run them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_passes_good_files_and_stops_bad_ones(name: str, project: Any) -> None:
    hook = HOOKS[name]
    command = shlex.split(hook["entry"])
    assert command.pop(0) == "zooc"
    assert re.search(hook["files"], "a/tiny.zoo")
    project.zooc("fmt", "tiny.zoo")
    project.zooc(*command, "tiny.zoo").succeeded()
    project.write("modle {", name="bad.zoo")
    assert project.zooc(*command, "tiny.zoo", "bad.zoo").code == 1


def _run_action(project: Any, **given: str) -> subprocess.CompletedProcess[str]:
    """Run the action's second step; the first, which installs zooc, is stood in for by a script."""
    inputs = {name: entry["default"] for name, entry in ACTION["inputs"].items()} | given
    step = ACTION["runs"]["steps"][1]
    environment = {
        key: inputs[re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)[1]]  # type: ignore[index]
        for key, value in step["env"].items()
    }
    assert "${{" not in step["run"], "an input in the script itself could run commands"
    program = project.folder.parent / "zooc" / "bin" / "zooc"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m zooc "$@"\n')
    program.chmod(0o755)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=project.folder,
        env={**os.environ, **environment, "RUNNER_TEMP": str(program.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_reports_and_fails_on_errors(project: Any) -> None:
    project.write("modle { }", name="bad.zoo")
    done = _run_action(project, **{"junit-file": "junit.xml"})
    assert done.returncode == 1
    assert "Z0102" in done.stderr
    log = json.loads((project.folder / "zooc.sarif").read_text())
    assert {result["ruleId"] for result in log["runs"][0]["results"]} == {"Z0102", "Z0108"}
    assert (project.folder / "junit.xml").exists()


def test_the_action_passes_what_is_right_and_runs_no_input_as_a_command(project: Any) -> None:
    done = _run_action(project, files="tiny.zoo $(touch${IFS}evil)")
    assert not (project.folder / "evil").exists()
    assert done.returncode == 1
    assert _run_action(project, **{"files": "tiny.zoo", "format-check": "false"}).returncode == 0
    assert _run_action(project, files="*.nothing").returncode == 1
