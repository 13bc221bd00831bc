"""Names that cannot be packages are refused; strings with code in them do no harm where they end up."""

from __future__ import annotations

import ast
import html.parser
import json
import shutil
import sys
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EVIL = (
    "q\"'`{{ 7*191 }}{% raw %}{# x #}${x}</script><script>alert(1)</script>\\\"\"\"'''; "
    '__import__("os").system("touch pwned") # ]]>--><img src=x onerror=alert(2)>&amp;'
)
"""Breaks out of whatever quotes it carelessly."""


def quoted(text: str) -> str:
    """As a string of the language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@pytest.mark.parametrize(
    ("name", "why", "remedy"),
    [
        ("class", "is a keyword of Python", "class_net"),
        ('"None"', "is a keyword of Python", "none"),
        ("json", "would shadow a module of Python's standard library", "json_net"),
        ("numpy", "would shadow a package that the generated package needs", "numpy_net"),
        ('"a b"', "is not made of ASCII letters", "a_b"),
        ('"a-b"', "is not made of ASCII letters", "a_b"),
        ('"1st"', "is not made of ASCII letters", "choose another name, for example"),
        ('"../up"', "is not made of ASCII letters", "up"),
        ('"x\\n__import__(1)"', "is not made of ASCII letters", "choose another name, for example"),
        ('"{{ 7*7 }}"', "is not made of ASCII letters", "choose another name, for example"),
        ('"__init__"', "begins or ends with `_`", "init"),
        ('""', "Z0120", "choose another name, for example"),
    ],
)
def test_a_name_that_is_no_package_is_refused(project: Any, name: str, why: str, remedy: str) -> None:
    project.compile(package=f"package {{ name {name} }}").refused("Z0120", "tiny.zoo:5:16", why, remedy)
    assert project.wrote_nothing()


@pytest.mark.parametrize(
    "version", ['1.0"; import os #', "1.0{{ 7*7 }}", "1.0\n", "", "latest", "1.0 </script>"]
)
def test_a_version_that_is_none_is_refused(project: Any, version: str) -> None:
    project.compile(package=f"package {{ name tiny  version {quoted(version)} }}").refused(
        "Z0121", "is not a version", "PEP 440"
    )
    assert project.wrote_nothing()


class _Page(html.parser.HTMLParser):
    """Collects the tags of a page and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.scripts += [dict(attrs).get("type")] if tag == "script" else []
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_strings_with_code_in_them_do_no_harm(project: Any) -> None:
    folder = project.folder
    network, images, labels = (EVIL.replace("/", "|") + end for end in (".onnx", "", ".txt"))
    (folder / "net.onnx").rename(folder / network)
    shutil.copytree(folder / "images", folder / images)
    (folder / images / (EVIL.replace("/", "|")[:200] + ".jpg")).write_bytes(b"no image")
    names = [EVIL, "two\u2028lines\x1b[31m", "{{ 7*191 }}", "</pre><script>"]
    (folder / labels).write_text("\n".join(names), "utf-8")
    outcome = project.compile(
        model=f"# {EVIL} \u202e\nmodel {{ source onnx({quoted(network)}) }}",
        quantize=f"quantize int8 {{ data images({quoted(images)}) }}",
        postprocess=f"postprocess {{ topk 4  labels {quoted(labels)} }}",
    )
    outcome.warned("Z0454", "1 of 7 calibration images were left out")
    assert "\x1b" not in outcome.err + outcome.out
    out = folder / "out"
    for file in out.rglob("*.py"):
        ast.parse(file.read_text("utf-8"))
    project_file = tomllib.loads((out / "pyproject.toml").read_text("utf-8"))
    assert project_file["project"]["description"].endswith(network)
    page = _Page()
    page.feed((out / "report.html").read_text("utf-8"))
    assert not page.attributes & {"onerror", "onclick", "style"}
    assert all(kind in {None, "application/json"} for kind in page.scripts) and len(page.scripts) == 2
    assert EVIL in page.text and "1337" not in page.text
    readme = (out / "README.md").read_text("utf-8")
    assert "<script>" not in readme.replace("\\<", "") and "1337" not in readme
    manifest = json.loads((out / "tiny" / "manifest.json").read_text("utf-8"))
    assert manifest["source"]["text"] == (folder / "tiny.zoo").read_text("utf-8")
    answer = project.package("classify", "--json", folder / "images" / "1.jpg").succeeded()
    given = {entry["label"] for entry in _predictions(json.loads(answer.out))}
    assert EVIL in given and "{{ 7*191 }}" in given and "</pre><script>" in given
    project.package("verify").succeeded()
    project.package("info").succeeded()
    assert not list(folder.rglob("pwned"))


def _predictions(value: Any) -> list[dict[str, Any]]:
    """Every object with a label in a JSON document."""
    if isinstance(value, dict):
        found = [value] if "label" in value else []
        return found + [p for child in value.values() for p in _predictions(child)]
    return [p for child in value for p in _predictions(child)] if isinstance(value, list) else []


def test_a_file_with_bom_and_crlf_compiles(project: Any) -> None:
    file = project.folder / "tiny.zoo"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    project.compile().succeeded()


def test_names_beyond_ascii_are_shown_on_a_terminal_that_has_none(project: Any) -> None:
    (project.folder / "net.onnx").rename(project.folder / "né t.onnx")
    project.write(model='model { source onnx("né t.onnx") }')
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    project.process("compile", "tiny.zoo", "-o", "oüt", env=ascii_only).succeeded()
    outcome = project.process("compile", "tiny.zoo", "-o", "oüt", "--format", "json", env=ascii_only)
    assert outcome.code == 1
    assert outcome.json["diagnostics"][0]["code"] == "Z0601"
