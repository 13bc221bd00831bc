from __future__ import annotations

import re
from pathlib import Path

import pytest

from zooc.diagnostics.diagnostic import SourceFile
from zooc.frontend.semantics.analyze import analyze, variant_names
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.parser import parse
from zooc.frontend.syntax.vocabulary import BLOCKS, FUNCTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```zoo\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_accepted_in_every_variant(text: str, tmp_path: Path) -> None:
    (tmp_path / "calibration").mkdir()
    (tmp_path / "net.onnx").touch()
    tree, diagnostics = parse(SourceFile("example.zoo", text))
    assert tree is not None, diagnostics
    for variant in (None, *variant_names(tree)):
        deployment, diagnostics = analyze(tree, path=tmp_path / "example.zoo", variant=variant)
        assert deployment is not None, diagnostics
        assert diagnostics == []


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_formatted(text: str) -> None:
    assert format_source(text) == text


def test_the_page_names_every_word_of_the_language() -> None:
    words = {*BLOCKS, *FUNCTIONS, *(statement for statements in BLOCKS.values() for statement in statements)}
    assert {word for word in words if not re.search(rf"\b{word}\b", PAGE)} == set()
