"""`zooc init` in a session of questions, and `zooc watch` while a file changes."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zooc.cli.app import app


def _answer(project: Any, answers: str, *arguments: str) -> Any:
    place = Path.cwd()
    os.chdir(project.folder)
    try:
        environment = {"ZOOC_CACHE": str(project.cache), "COLUMNS": "200"}
        return CliRunner().invoke(app, ["init", *arguments], input=answers, env=environment)
    finally:
        os.chdir(place)


def test_a_file_answers_most_questions_and_empty_lines_take_the_defaults(project: Any) -> None:
    done = _answer(project, "\n\n\n")
    assert done.exit_code == 0, done.stderr
    assert "model [net.onnx]" in done.stderr
    assert 'onnx("net.onnx") takes 3 channels of 32 x 32 pixels and gives 4 classes.' in done.stderr
    assert "number of classes" not in done.stderr
    assert "wrote net.zoo" in done.stdout
    project.zooc("check", "net.zoo").succeeded()


def test_wrong_answers_are_asked_for_again(project: Any) -> None:
    wrong = ["net.onx", "official.resnst50", "official.resnest50", "mine.pth", "random", "many", "7"]
    done = _answer(project, "\n".join([*wrong, "imags", "images", "tiny.zoo", "maybe", "no", "r.zoo"]) + "\n")
    assert done.exit_code == 0, done.stderr
    for said in (
        "'net.onx' is not a model",
        "did you mean `resnest50`",
        "there is no weights file mine.pth",
        "a whole number from 1",
        "there is no folder imags",
        "yes or no",
    ):
        assert said in done.stderr
    text = (project.folder / "r.zoo").read_text()
    assert "classes 7" in text
    assert "random(seed=0)" in text
    assert 'images("images"' in text
    assert "model { source onnx" in (project.folder / "tiny.zoo").read_text()


def test_what_is_given_is_not_asked(project: Any) -> None:
    arguments = ("net.onnx", "--data", "images", "-o", "i.zoo", "--interactive", "--json")
    assert project.zooc("new", *arguments).json["file"] == "i.zoo"
    project.zooc("new").misused("--interactive")
    project.zooc("init", "nte.onnx").refused("Z0814", "net.onnx")
    project.zooc("init", "net.onnx", "--outptu", "x").misused("--outptu")


def test_an_input_that_ends_is_an_error(project: Any) -> None:
    done = _answer(project, "\n")
    assert done.exit_code == 1
    assert "Z0127" in done.stderr
    assert project.names() >= {"tiny.zoo"}
    assert not (project.folder / "net.zoo").exists()


def test_a_session_in_a_terminal(project: Any) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "ZOOC_CACHE": str(project.cache)}
    with subprocess.Popen(
        [sys.executable, "-m", "zooc", "init", "net.onnx"],
        cwd=project.folder,
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
    ) as process:
        os.close(follower)
        seen = ""
        for question, answer in (("calibration images", "images\r"), ("file to write", "\r"), ("wrote", "")):
            while question not in seen:
                seen += os.read(leader, 4096).decode()
            os.write(leader, answer.encode())
        assert process.wait(30) == 0
    os.close(leader)
    assert 'images("images"' in (project.folder / "net.zoo").read_text()


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    value = json.loads(process.stdout.readline())
    assert isinstance(value, dict)
    return value


def test_watch_checks_and_compiles_again_on_each_change_until_interrupted(project: Any) -> None:
    file = project.write(quantize="quantize fp32")
    options = ("--compile", "-o", "out", "--interval", "0.05", "--json")
    ok = {"ok": True, "file": "tiny.zoo", "diagnostics": []}
    with project.start("watch", "tiny.zoo", *options) as process:
        assert _line(process) == {**ok, "package": str(project.folder / "out")}
        first = (project.folder / "out" / "report.html").stat().st_mtime_ns
        project.write(quantize="quantize fp23")
        assert [d["code"] for d in _line(process)["diagnostics"]] == ["Z0106"]
        file.unlink()
        assert [d["code"] for d in _line(process)["diagnostics"]] == ["Z0007"]
        project.write(quantize="quantize fp16")
        assert _line(process)["ok"] is True
        assert (project.folder / "out" / "report.html").stat().st_mtime_ns > first
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip() == "stopped"


def test_watch_replaces_only_packages_of_its_own(project: Any) -> None:
    project.compile(quantize="quantize fp32").succeeded()
    with project.start("watch", "tiny.zoo", "--compile", "-o", "out", "--json") as process:
        assert [d["code"] for d in _line(process)["diagnostics"]] == ["Z0601"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    project.zooc("watch", "tiny.zoo", "-o", "out").misused("--output", "--compile")
    project.zooc("watch", "tiny.zoo", "--interval", "0").misused("--interval")


def test_lsp_without_pygls_says_what_to_install(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    project.zooc("lsp").refused("Z0126", 'pip install "zooc[editor]"')
