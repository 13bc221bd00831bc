from __future__ import annotations

import re
from pathlib import Path

import pytest

from zooc.diagnostics.diagnostic import SourceFile
from zooc.diagnostics.pages import explain, known_codes, near_codes
from zooc.frontend.semantics.analyze import analyze
from zooc.frontend.syntax.parser import parse

ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "compiler").rglob("*.py"))]
USED = {code for text in SOURCES for code in re.findall(r"\bZ\d{4}\b", text)}
OWN = [code for code in known_codes() if code[:3] in ("Z00", "Z01", "Z03", "Z05")]


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert set(known_codes()) == USED


@pytest.mark.parametrize("code", known_codes())
def test_a_page_begins_with_its_code_and_says_what_to_do(code: str) -> None:
    page = explain(code)
    assert page is not None
    assert re.match(rf"# {code}: \S", page)
    assert len(page.splitlines()) >= 3


@pytest.mark.parametrize("code", OWN)
def test_the_example_provokes_the_code(code: str, tmp_path: Path) -> None:
    page = explain(code) or ""
    example = re.search(r"```zoo\n(.*?)\n```", page, flags=re.DOTALL)
    if example is None or code in ("Z0310", "Z0311", "Z0326", "Z0501", "Z0502", "Z0503"):
        return  # commands, what a compile finds, texts that do not parse, and examples that need such a file
    (tmp_path / "params.json").touch()
    (tmp_path / "net.onnx").touch()
    text = example[1]
    if code == "Z0108":
        pass  # here the model is what is missing
    elif "model" not in text:
        text = f"model {{ source timm.x  weights random()  input [batch, 3, 224, 224] }}\n{text}"
    elif "source" not in text:
        text = re.sub(r"model \{", "model { source timm.x  weights random()", text)
        text = text if "input" in text else text.replace("weights", "input [batch, 3, 224, 224]  weights", 1)
    text = text.replace('weights random() weights "', 'weights "')
    tree, diagnostics = parse(SourceFile("example.zoo", text))
    if tree is not None:
        _, diagnostics = analyze(tree, path=tmp_path / "example.zoo")
    assert code in {diagnostic.code for diagnostic in diagnostics}, diagnostics


@pytest.mark.parametrize("code", ["Z0001", "Z0002", "Z0003", "Z0004", "Z0005", "Z0006"])
def test_the_example_of_a_syntax_error_provokes_it(code: str) -> None:
    example = re.search(r"```text\n(.*?)\n```", explain(code) or "", flags=re.DOTALL)
    assert example is not None
    _, diagnostics = parse(SourceFile("example.zoo", example[1]))
    assert code in {diagnostic.code for diagnostic in diagnostics}


def test_codes_are_found_in_any_case_and_others_are_none() -> None:
    assert explain(" z0001 ") == explain("Z0001")
    for code in ("Z9999", "../../README", "", "0001", "Z00011"):
        assert explain(code) is None


def test_near_codes_are_suggested() -> None:
    assert near_codes("Z0100")[0].startswith("Z010")
    assert "Z0001" in near_codes("1")
    assert near_codes("hello") == []
