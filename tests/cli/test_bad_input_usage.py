"""Mistakes on the command line, in the cache and in the surroundings of the process."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (("compil", "tiny.zoo"), ("No such command 'compil'", "compile")),
        (("compile",), ("Missing argument",)),
        (("compile", "tiny.zoo", "other.zoo", "--measure"), ("--measure", "for a single compile")),
        (("compile", "tiny.zoo", "--forse"), ("No such option: --forse", "--force")),
        (("compile", "tiny.zoo", "--format", "xml"), ("--format", "'xml' is not one of 'human', 'json'")),
        (
            ("compile", "tiny.zoo", "--stop-before", "quantise"),
            ("'quantise' is no stage", "quantize_network", "--stop-before"),
        ),
        (("cache", "claer"), ("No such command 'claer'", "clear")),
        (("explain", "Z9999"), ("there is no code 'Z9999'", "did you mean Z")),
        (("explain", "nonsense"), ("there is no code 'nonsense'",)),
        (("check",), ("Missing argument",)),
    ],
)
def test_wrong_usage_exits_with_2_and_says_how(
    project: Any, arguments: tuple[str, ...], fragments: tuple[str, ...]
) -> None:
    project.zooc(*arguments).misused("Usage: zooc", *fragments)
    assert project.wrote_nothing()


@pytest.mark.parametrize(
    ("arguments", "code", "fragments"),
    [
        (("--variant", "big"), "Z0116", ("unknown variant `big`", "the file has no variants")),
        (("--set", "size"), "Z0117", ("is not of the form NAME=VALUE", "write --set NAME=VALUE")),
        (("--set", "model.classes="), "Z0117", ("is not of the form NAME=VALUE",)),
        (("--set", "size=3"), "Z0115", ("unknown override target `size`",)),
        (("--set", "model.clases=3"), "Z0115", ("did you mean `model.classes`?",)),
        (("--set", "model.classes=many"), "Z0101", ("--set:1:15", "unknown name `many`", "quote it")),
        (("--set", "model.classes=2.5"), "Z0109", ("--set:1:15", "must be a whole number")),
        (("--set", "quantize.calibrate=percentile(200)"), "Z0110", ("--set:1:",)),
    ],
)
def test_bad_overrides_are_shown_where_they_were_written(
    project: Any, arguments: tuple[str, ...], code: str, fragments: tuple[str, ...]
) -> None:
    project.compile(*arguments).refused(code, *fragments)
    assert project.wrote_nothing()


@pytest.mark.parametrize(
    ("file", "message"), [("nope.zoo", "there is no such file"), ("images", "it is a folder")]
)
def test_a_description_that_cannot_be_read_is_named(project: Any, file: str, message: str) -> None:
    project.zooc("compile", file).refused("Z0007", f"cannot read {file}: {message}")


@pytest.mark.parametrize("name", ["net.onnx", "images/1.jpg"])
def test_a_file_that_is_no_description_is_refused(project: Any, name: str) -> None:
    project.zooc("compile", name).refused("Z0008", f"{name} is not UTF-8")
    assert project.wrote_nothing()


def test_inspect_names_what_it_cannot_find_or_read(project: Any) -> None:
    project.zooc("inspect", "nope").refused("Z0210", "there is no file nope")
    project.zooc("inspect", "labels.txt").refused("Z0210", "labels.txt is not a readable ONNX model")
    project.zooc("inspect", "images").refused("Z0222", "images")


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        ({"model": 'model { source onnx("labels.txt") }'}, "Z0210"),
        ({"package": "package { name class }"}, "Z0120"),
        ({"quantize": 'quantize int8 { data images("images", suffix="PNG") }'}, "Z0451"),
        ({"model": 'model { sorce onnx("net.onnx") }'}, "Z0103"),
    ],
)
def test_json_holds_the_same_diagnostics_as_the_text(project: Any, blocks: dict[str, str], code: str) -> None:
    text = project.compile(**blocks).refused(code)
    outcome = project.compile("--format", "json")
    assert outcome.code == 1 and not outcome.json["ok"]
    assert outcome.err == "", "tools read standard output; nothing else is said"
    diagnostics = outcome.json["diagnostics"]
    assert code in [d["code"] for d in diagnostics]
    for diagnostic in diagnostics:
        assert f"[{diagnostic['code']}]: {diagnostic['message']}" in text.err
        assert diagnostic["file"] == "tiny.zoo" and diagnostic["line"] >= 1


def test_json_of_a_success_tells_where_the_package_is(project: Any) -> None:
    (project.folder / "images" / "1.jpg").write_bytes(b"")
    value = project.compile("--format", "json").succeeded().json
    assert value["ok"] and Path(value["package"]).samefile(project.folder / "out")
    assert [(d["code"], d["severity"]) for d in value["diagnostics"]] == [("Z0454", "warning")]


def test_quiet_says_only_where_the_package_is(project: Any) -> None:
    outcome = project.compile("-q").succeeded()
    assert Path(outcome.out.strip()).samefile(project.folder / "out") and outcome.err == ""


def test_a_cache_that_cannot_be_written_is_one_warning(project: Any) -> None:
    project.cache.write_text("a file where a folder should be")
    outcome = project.compile().warned("Z0701", "cannot write the cache in", "ZOOC_CACHE")
    assert outcome.err.count("Z0701") == 1


@pytest.mark.parametrize("what", ["content", "checksum"])
def test_damaged_cache_entries_are_made_anew(project: Any, what: str) -> None:
    project.compile().succeeded()
    for file in project.cache.rglob("*"):
        if file.is_file() and (file.suffix == ".sha256") == (what == "checksum"):
            file.write_bytes(b"junk")
    again = project.compile("--force").succeeded()
    assert "reading and checking net.onnx" in again.err and "cache" not in again.err
    assert "calibration from the cache" in project.compile("--force").succeeded().err


def test_the_cache_can_be_cleared_or_left_out(project: Any) -> None:
    first = project.compile().succeeded()
    model = hashlib.sha256((project.folder / "out" / "tiny" / "model.onnx").read_bytes()).digest()
    project.zooc("cache", "info").succeeded()
    project.zooc("cache", "clear").succeeded()
    assert not [path for path in project.cache.rglob("*") if path.is_file()]
    project.compile("--force", "--no-cache").succeeded()
    assert not [path for path in project.cache.rglob("*") if path.is_file()]
    again = (project.folder / "out" / "tiny" / "model.onnx").read_bytes()
    assert hashlib.sha256(again).digest() == model and first.code == 0


def test_odd_surroundings_do(project: Any) -> None:
    nowhere: dict[str, str | None] = {"HOME": "/nonexistent/home", "ZOOC_CACHE": None, "XDG_CACHE_HOME": None}
    outcome = project.process("compile", "tiny.zoo", "-o", "out", env={**nowhere, "NO_COLOR": "1"})
    outcome.succeeded()
    assert "\x1b" not in outcome.out + outcome.err
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    narrow = {"COLUMNS": "20", "TERM": "dumb"}
    strict = ("-OO", "-W", "error")
    other = project.process("compile", project.folder / "tiny.zoo", env=narrow, python=strict, cwd=elsewhere)
    other.succeeded()
    assert (elsewhere / "build" / "tiny" / "tiny" / "model.onnx").exists()


def test_a_current_folder_that_is_gone_is_told(project: Any) -> None:
    code = "import os; os.mkdir('a'); os.chdir('a'); os.rmdir('../a'); from zooc.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "compile", str(project.folder / "tiny.zoo")],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "error: the current folder no longer exists; change to another one\n"


def test_closed_or_full_standard_streams_are_no_bug_of_ours(project: Any) -> None:
    command = f"{sys.executable} -c 'from zooc.cli.app import main; main()' "
    for line, wanted in (
        ("compile tiny.zoo -o a >&- 2>&-", 0),
        ("compile nope.zoo 2>&-", 1),
        ("explain Z0001 >/dev/full", 1),
        ("explain Z0001 | head -n 1", 0),
    ):
        done = subprocess.run(
            ["bash", "-c", command + line],
            cwd=project.folder,
            env={"ZOOC_CACHE": str(project.cache), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == wanted, (line, done.stderr)
        assert "Traceback" not in done.stderr and "bug" not in done.stderr and "Exception" not in done.stderr
    assert (project.folder / "a" / "tiny" / "model.onnx").exists()
