"""Every command speaks alike: hyphens, `--format json` and `--json`; findings as SARIF and JUnit."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from zooc.cli.app import app
from zooc.diagnostics.diagnostic import SourceFile, Span, error
from zooc.diagnostics.sarif import to_sarif
from zooc_runtime.commands.limits import hold_limits, read_limits
from zooc_runtime.errors import PackageError
from zooc_runtime.support.junit import Case, junit

OWN_PARSERS = {"npz", "decode", "eval"}
SCHEMA = Path(__file__).parent / "data" / "sarif-2.1.0-rtm.5.json"


def _commands(group: Any, name: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, command in group.commands.items():
        path = f"{name} {key}".strip()
        found |= _commands(command, path) if hasattr(command, "commands") else {path: command}
    return found


COMMANDS = _commands(typer.main.get_command(app))


@pytest.mark.parametrize("name", COMMANDS)
def test_options_have_hyphens_and_every_command_has_a_format(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert not [option for option in options if "_" in option and option.startswith("-")]
    if name not in {*OWN_PARSERS, "lsp"}:
        assert "--format" in options


def test_json_is_short_for_the_format(project: Any) -> None:
    short, long = (
        project.zooc("check", "tiny.zoo", "--json"),
        project.zooc("check", "tiny.zoo", "--format", "json"),
    )
    assert short.json == long.json == {"ok": True, "diagnostics": []}
    project.write("let a=1", name="a.zoo")
    assert project.zooc("fmt", "--check", "a.zoo", "--json").json == {"ok": False, "changed": ["a.zoo"]}
    assert project.zooc("cache", "clear", "--json").json["ok"] is True
    assert project.zooc("cache", "clear", "--json").json == {"ok": True, "bytes": 0}
    project.zooc("check", "tiny.zoo", "--jsn").misused("--jsn")
    project.zooc("check", "--", "--json").refused("Z0007", "cannot read --json")


def test_sarif_fits_the_published_schema(project: Any) -> None:
    text = project.write(
        postprocess='postprocess { softmx  topk 5  topk 5  labels "lables.txt" }'
    ).read_text()
    project.write(text, name="größe 1.zoo")
    done = project.zooc("check", "größe 1.zoo", "tiny.zoo", "--format", "sarif")
    log = json.loads(done.out)
    assert done.code == 1
    jsonschema.Draft4Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(log)
    (run,) = log["runs"]
    assert [a["location"]["uri"] for a in run["artifacts"]] == ["gr%C3%B6%C3%9Fe%201.zoo", "tiny.zoo"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert {"Z0103", "Z0107"} <= set(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
    first = next(r for r in run["results"] if r["ruleId"] == "Z0103")
    region = first["locations"][0]["physicalLocation"]["region"]
    line = text.splitlines()[region["startLine"] - 1]
    assert line[region["startColumn"] - 1 : region["endColumn"] - 1] == "softmx"
    assert "did you mean `softmax`" in first["message"]["text"]
    twice = next(r for r in run["results"] if r["ruleId"] == "Z0107")
    assert twice["relatedLocations"][0]["message"]["text"] == "first here"


def test_sarif_of_nothing_and_of_a_place_in_no_file_fits_too(project: Any) -> None:
    validator = jsonschema.Draft4Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    log = json.loads(project.zooc("check", "tiny.zoo", "--format", "sarif").out)
    validator.validate(log)
    assert log["runs"][0]["results"] == []
    place = Span(SourceFile("--set", "a=1"), 0, 1)
    log = to_sarif([error("Z0115", "x", place)], [Path("/a b/c.zoo")])
    validator.validate(log)
    assert "locations" not in log["runs"][0]["results"][0]
    assert log["runs"][0]["artifacts"][0]["location"]["uri"] == "file:///a%20b/c.zoo"


def test_check_writes_junit(project: Any) -> None:
    project.write("modle { }", name="bad.zoo")
    assert project.zooc("check", "tiny.zoo", "bad.zoo", "--junit", "out/check.xml").code == 1
    root = ElementTree.parse(project.folder / "out" / "check.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    good, bad = root.iter("testcase")
    assert good.get("name") == "tiny.zoo"
    assert good.find("failure") is None
    assert "Z0102" in (bad.findtext("failure") or "")
    project.zooc("check", "tiny.zoo", "--junit", ".").refused("Z0702")
    project.zooc("check", "tiny.zoo", "bad.zoo", "--junit", "out/check.xml")


@pytest.mark.parametrize("command", ["check", "compile"])
def test_a_report_replaces_no_description(project: Any, command: str) -> None:
    project.write("modle { }", name="bad.zoo")
    project.zooc(command, "bad.zoo", "--junit", "bad.zoo").refused("Z0702")
    assert (project.folder / "bad.zoo").read_text("utf-8").startswith("modle")


def test_compile_writes_junit_whether_it_succeeds_or_not(project: Any) -> None:
    project.compile("--junit", "compile.xml", quantize="quantize fp32").succeeded()
    assert ElementTree.parse(project.folder / "compile.xml").getroot().get("failures") == "0"
    project.compile("--junit", "compile.xml").refused("Z0601")
    failure = next(ElementTree.parse(project.folder / "compile.xml").getroot().iter("failure"))
    assert "Z0601" in (failure.get("message") or "")


def test_junit_holds_whatever_a_message_has() -> None:
    odd = 'a<b>&"\x00\x1b\ud800]]>\U0001f600'
    root = ElementTree.fromstring(junit(odd, [Case(odd, failure=odd), Case("b", skipped="why", output=odd)]))
    assert "\U0001f600" in (next(root.iter("failure")).text or "")
    assert (root.get("failures"), root.get("skipped")) == ("1", "1")


RATES = {"top1_rate": 75.0, "top5_rate": 90.0, "images": 8, "skipped": ["x.jpg: damaged"]}


def test_an_evaluation_is_held_to_its_limits(tmp_path: Path) -> None:
    report = tmp_path / "eval.xml"
    assert hold_limits(RATES, read_limits(["top1_rate=75"]), report) == []
    root = ElementTree.parse(report).getroot()
    assert [root.get(key) for key in ("tests", "failures", "skipped")] == ["3", "0", "1"]
    with pytest.raises(PackageError, match="it is a folder"):
        hold_limits(RATES, {}, tmp_path)
    (missed,) = hold_limits(RATES, read_limits(["top1_rate=75.5", "top5_rate=1"]), report)
    assert missed == "top1_rate is 75.000, below the 75.5 of --at-least"
    assert ElementTree.parse(report).getroot().get("failures") == "1"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (["top1"], "NAME=VALUE is expected"),
        (["top1_rate=x"], "NAME=VALUE is expected"),
        (["top1_rate=nan"], "NAME=VALUE is expected"),
        (["top1_rate=101"], "NAME=VALUE is expected"),
        (["=3"], "NAME=VALUE is expected"),
        (["top_rate=3"], "did you mean top"),
        (["images=3"], "there is no such rate; the rates are top1_rate, top5_rate"),
    ],
)
def test_a_mistyped_limit_is_refused(limits: list[str], says: str) -> None:
    with pytest.raises(PackageError, match=says):
        hold_limits(RATES, read_limits(limits), None)
