"""`ranges source`: the word, its place, and what may not stand beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import Diagnostic, SourceFile
from zooc.frontend.semantics.analyze import analyze
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.parser import parse

MODEL = 'model { source onnx("net.onnx")  input [batch, 3, 8, 8] }\n'
HEAD = MODEL + "preprocess { Resize([8, 8])  ToTensor() }\n"


def read(text: str, folder: Path, *overrides: str) -> tuple[Quantize | None, list[Diagnostic]]:
    (folder / "net.onnx").touch()
    (folder / "images").mkdir(exist_ok=True)
    tree, diagnostics = parse(SourceFile("net.zoo", text))
    assert tree is not None, diagnostics
    deployment, diagnostics = analyze(tree, path=folder / "net.zoo", overrides=overrides)
    return deployment.quantize if deployment else None, diagnostics


def refused(text: str, folder: Path, *overrides: str) -> Diagnostic:
    quantize, diagnostics = read(text, folder, *overrides)
    assert quantize is None
    assert len(diagnostics) == 1, diagnostics
    assert diagnostics[0].span is not None
    return diagnostics[0]


def test_it_needs_no_data(tmp_path: Path) -> None:
    quantize, diagnostics = read(HEAD + "quantize int8 { ranges source }", tmp_path)
    assert diagnostics == []
    assert quantize is not None
    assert (quantize.dtype, quantize.ranges, quantize.data) == ("int8", "source", None)


def test_without_it_ranges_are_measured(tmp_path: Path) -> None:
    quantize, _ = read(HEAD + 'quantize int8 { data images("images") }', tmp_path)
    assert quantize is not None
    assert quantize.ranges == "measured"


def test_it_needs_no_preprocessing_but_a_contract_does(tmp_path: Path) -> None:
    model = 'model { source onnx("net.onnx")  input [batch, 3, 8, 8] }\n'
    assert read(model + "quantize int8 { ranges source }", tmp_path)[0] is not None
    contract = 'quantize int8 { ranges source  require drop <= 1% on images("images") }'
    assert refused(model + contract, tmp_path).code == "Z0455"
    assert read(HEAD + contract, tmp_path)[0] is not None


@pytest.mark.parametrize(
    "statement, code, hint",
    [
        ("ranges sorce", "Z0106", "did you mean `source`?"),
        ('ranges "x"', "Z0106", None),
        ("ranges 3", "Z0109", None),
        ("ranges measured", "Z0106", None),
        ("ranges source(1)", "Z0104", None),
        ("ranges", "Z0114", None),
    ],
)
def test_a_mistyped_origin_is_an_error_at_its_place(
    tmp_path: Path, statement: str, code: str, hint: str | None
) -> None:
    quantize, diagnostics = read(HEAD + f"quantize int8 {{ {statement} }}", tmp_path)
    assert quantize is None
    assert all(found.severity == "error" and found.span for found in diagnostics)
    assert code in {found.code for found in diagnostics}
    assert hint is None or hint in [found.hint for found in diagnostics]


def test_a_mistyped_statement_is_recognized(tmp_path: Path) -> None:
    quantize, diagnostics = read(HEAD + "quantize int8 { range source }", tmp_path)
    assert quantize is None
    assert "did you mean `ranges`?" in [found.hint for found in diagnostics]


@pytest.mark.parametrize(
    "statement",
    [
        'data images("images")',
        "activations symmetric",
        "weights per_tensor",
        "calibrate max",
        "calibrate_mode max",
        "corrections []",
        "target cpu(any)",
        'keep fp32 ["fc"]',
    ],
)
def test_what_the_file_says_already_is_refused_beside_it(tmp_path: Path, statement: str) -> None:
    found = refused(HEAD + f"quantize int8 {{ ranges source  {statement} }}", tmp_path)
    assert found.code == "Z0123"
    assert found.span is not None
    assert found.span.text == statement
    assert "ranges source" in found.message


def test_it_is_refused_with_other_data_types(tmp_path: Path) -> None:
    assert refused(HEAD + "quantize fp16 { ranges source }", tmp_path).code == "Z0123"


def test_overrides(tmp_path: Path) -> None:
    quantize, _ = read(HEAD + "quantize int8 { ranges source }", tmp_path, "quantize=fp32")
    assert quantize == Quantize("fp32")
    quantize, _ = read(HEAD + "quantize int8 { }", tmp_path, "quantize.ranges=source")
    assert quantize is not None
    assert quantize.ranges == "source"


def test_networks_of_torch_have_no_ranges(tmp_path: Path) -> None:
    text = HEAD.replace('onnx("net.onnx")', "timm.resnet18  weights random()")
    found = refused(text + "quantize int8 { ranges source }", tmp_path)
    assert found.code == "Z0482"
    assert found.span is not None
    assert found.span.text == "ranges source"


def test_the_word_cannot_be_redefined(tmp_path: Path) -> None:
    _, diagnostics = read("let source = 3\n" + HEAD + "quantize int8 { ranges source }", tmp_path)
    assert [found for found in diagnostics if found.severity == "error"]


def test_the_formatter_keeps_it() -> None:
    text = "quantize int8 {\n  ranges source\n}\n"
    assert format_source(text) == text
