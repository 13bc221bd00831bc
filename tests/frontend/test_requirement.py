from __future__ import annotations

from pathlib import Path

import pytest

from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import SourceFile
from zooc.frontend.semantics.analyze import analyze
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.parser import parse

TEXT = """
let loss = 0.5%
model {{ source timm.x  weights random()  input [batch, 3, 64, 64]  classes 10 }}
preprocess {{ ECenterCrop(64)  ToTensor() }}
quantize int8 {{ data images("val")  {} }}
variant loose {{ quantize.require = 2% }}
variant none {{ quantize.require = false }}
variant float {{ quantize = fp32 }}
"""
REQUIRE = 'require drop <= loss on images("val", count=1000)'


def quantize(statements: str, folder: Path, variant: str | None = None, *overrides: str) -> Quantize:
    (folder / "val").mkdir(exist_ok=True)
    tree, diagnostics = parse(SourceFile("a.zoo", TEXT.format(statements)))
    assert tree is not None, diagnostics
    deployment, diagnostics = analyze(tree, path=folder / "a.zoo", variant=variant, overrides=overrides)
    assert deployment is not None, diagnostics
    return deployment.quantize


def value(text: str) -> ast.Expr:
    tree, diagnostics = parse(SourceFile("a.zoo", f"let a = {text}\n"))
    assert tree is not None, diagnostics
    let = tree.items[0]
    assert isinstance(let, ast.Let)
    return let.value


@pytest.mark.parametrize(
    ("text", "share"), [("0.5%", 0.005), ("100%", 1.0), ("1e-1%", 0.001), ("(7%)", 0.07)]
)
def test_percent_behind_a_number_is_a_hundredth(text: str, share: float) -> None:
    node = value(text)
    node = node.inner if isinstance(node, ast.Group) else node
    assert isinstance(node, ast.Number)
    assert node.value == pytest.approx(share)


@pytest.mark.parametrize("text", ["7 % 3", "7%3", "(7)% 3", "7 %3"])
def test_percent_between_values_is_the_remainder(text: str) -> None:
    node = value(text)
    assert isinstance(node, ast.Chain)
    assert node.operators == ("%",)


def test_a_requirement_is_limit_images_and_labels(tmp_path: Path) -> None:
    require = quantize(REQUIRE, tmp_path).require
    assert require is not None
    assert require.drop == pytest.approx(0.005)
    assert (require.images.folder, require.images.count) == (tmp_path / "val", 1000)
    assert require.labels == "auto"


@pytest.mark.parametrize(
    ("written", "meant"), [("folders", "folders"), ("none", "none"), ('"val/list.txt"', Path("val/list.txt"))]
)
def test_labels_are_folders_a_file_or_none(written: str, meant: str | Path, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "list.txt").touch()
    statement = f'require drop <= loss on images("val", labels={written})'
    require = quantize(statement, tmp_path).require
    assert require is not None
    assert require.labels == (tmp_path / meant if isinstance(meant, Path) else meant)


def test_a_variant_changes_the_limit_or_drops_the_contract(tmp_path: Path) -> None:
    loose = quantize(REQUIRE, tmp_path, "loose", "loss=1%").require
    assert loose is not None
    assert (loose.drop, loose.images.count) == (0.02, 1000)
    assert quantize(REQUIRE, tmp_path, "none").require is None
    assert quantize(REQUIRE + " keep fp32 auto", tmp_path, "float") == Quantize("fp32")
    other = quantize(REQUIRE, tmp_path, None, "loss=1%").require
    assert other is not None
    assert other.drop == 0.01


def test_keep_auto_is_no_pattern(tmp_path: Path) -> None:
    kept = quantize(REQUIRE + " keep fp32 auto", tmp_path)
    assert (kept.keep, kept.keep_auto) == ((), True)


def test_a_requirement_keeps_its_layout() -> None:
    text = 'quantize int8 {\n  require drop <= 0.5% on images("val", count=10)\n}\n'
    assert format_source(text) == text
    assert format_source(text.replace(" <= ", "<=")) == text
