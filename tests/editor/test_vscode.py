"""The extension for Visual Studio Code: its grammar against the compiler's lists, its snippets and files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zooc.editor.document import Document
from zooc.frontend.syntax import vocabulary as words
from zooc.resources import resource

EXTENSION = Path(__file__).parents[2] / "editors" / "vscode"
GRAMMAR = json.loads(resource("grammar/zooc.tmLanguage.json").read_text(encoding="utf-8"))["repository"]
STATEMENTS = {*words.HEAD, *(name for block in words.BLOCKS.values() for name in block)}
UNITS = {"ms", "us", "s"}


def _alternatives(rule: str) -> set[str]:
    found = re.search(r"\(\?:(\w+(?:\|\w+)+)\)", GRAMMAR[rule]["match"])
    assert found is not None
    return set(found[1].split("|"))


def test_the_grammar_has_the_compilers_blocks_statements_and_functions() -> None:
    assert _alternatives("block") == set(words.BLOCKS)
    assert _alternatives("statement") == STATEMENTS
    assert _alternatives("function") == set(words.FUNCTIONS)


def test_the_grammar_has_the_compilers_words() -> None:
    bare = {"imagenet1k", "percentile", *words.GRANULARITIES, "this_machine", "auto"}
    constants = words.RESERVED - set(words.FUNCTIONS) - set(words.BLOCKS) - {"let"} | bare
    missing = constants - _alternatives("word") - STATEMENTS
    assert missing == set()
    extra = {*constants, *STATEMENTS, *words.SPEEDS, *words.CLIPS, *UNITS, "first", "onnx", "torch"}
    assert _alternatives("word") - extra == set()


def _settings() -> Any:
    return json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))


def test_every_file_that_the_extension_names_is_there_or_is_built() -> None:
    contributes = _settings()["contributes"]
    named = [entry["configuration"] for entry in contributes["languages"]]
    named += [entry["path"] for entry in contributes["snippets"]]
    assert all((EXTENSION / name).is_file() for name in named)
    kept = (EXTENSION / ".vscodeignore").read_text(encoding="utf-8").splitlines()
    assert "!dist/extension.js" in kept


@pytest.mark.parametrize(
    "name", json.loads((EXTENSION / "snippets" / "zoo.json").read_text(encoding="utf-8"))
)
def test_every_snippet_is_what_the_compiler_accepts(name: str) -> None:
    snippets = json.loads((EXTENSION / "snippets" / "zoo.json").read_text(encoding="utf-8"))
    text = re.sub(r"\$\{\d+:([^}]*)\}", r"\1", "\n".join(snippets[name]["body"]))
    if "model" not in text:
        text += "\nmodel { source timm.x  weights random()  input [batch, 3, 224, 224] }\nlet size = 224\n"
        text += "" if "preprocess" in text else "preprocess { Resize([size, 224])  ToTensor() }\n"
    errors = [f for f in Document(EXTENSION / "x.zoo", text).findings if f.severity == "error"]
    assert errors == []


def test_the_grammar_colours_as_its_own_tool_expects(tmp_path: Path) -> None:
    if shutil.which("npx") is None:
        pytest.skip("Node.js is not installed")
    if not (EXTENSION / "node_modules" / "vscode-tmgrammar-test").is_dir():
        pytest.skip("vscode-tmgrammar-test is not installed: make vsix")
    grammar = resource("grammar/zooc.tmLanguage.json")
    (tmp_path / "package.json").write_text("{}")  # not the extension's, which names a copy of the grammar
    given = ["--config", str(tmp_path / "package.json"), "--grammar", str(grammar)]
    done = subprocess.run(
        ["npx", "--no-install", "vscode-tmgrammar-test", *given, "test/*.zoo"],
        cwd=EXTENSION,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _activate(*command: str) -> str:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    if not (EXTENSION / "dist" / "extension.js").is_file():
        pytest.skip("the extension is not built: make vsix")
    given = ["node", "test/stand_in.cjs", *command]
    done = subprocess.run(given, cwd=EXTENSION, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_built_extension_meets_the_server() -> None:
    said = _activate(sys.executable, "-m", "zooc", "lsp")
    assert said.splitlines() == ["activated with 3 subscriptions", "deactivated"]


def test_the_built_extension_says_what_to_do_where_the_server_does_not_start() -> None:
    said = _activate("/nowhere/zooc", "lsp")
    assert '"/nowhere/zooc" does not start' in said
    assert 'pip install "zooc[editor]"' in said
