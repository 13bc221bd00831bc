"""A poor result cannot be overlooked: warning, exit code, report, JSON and manifest say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zooc.accuracy.poor import flat_share, flat_warning
from zooc.compilation import Request
from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import ZoocError
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime.package.heads import Head

POOR = "warn below(agreement=97%, sqnr=60)"


def test_it_is_said_everywhere(digits: Any, tmp_path: Path) -> None:
    context = Context(Cache(None), Progress())
    file = digits.describe(POOR, file="poor.zoo")
    done = compile_package(Request(file, tmp_path / "out"), context)
    (warned,) = [one for one in context.warnings if one.code == "Z0486"]
    assert "60 asked for" in warned.message
    assert len(warned.notes) == 3
    assert "auto(effort=high)" in (warned.hint or "")
    assert done.verified.poor is not None
    report = (done.folder / "report.html").read_text("utf-8")
    assert report.index("verdict bad") < report.index('class="cards"')
    assert report.count("Int8 is poor") == 1
    manifest = json.loads((done.folder / "digits" / "manifest.json").read_text("utf-8"))
    poor = manifest["quantization"]["poor"]
    assert poor == context.facts["poor"]
    decibels = [layer["sqnr_db"] for layer in poor["layers"]]
    assert decibels == sorted(decibels)


def test_strict_writes_no_package(digits: Any, tmp_path: Path) -> None:
    file = digits.describe(POOR, file="strict.zoo")
    with pytest.raises(ZoocError) as refused:
        compile_package(Request(file, tmp_path / "out", strict=True), Context(Cache(None), Progress()))
    (found,) = refused.value.diagnostics
    assert found.code == "Z0486"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("statements", ["", "warn none", "warn below(sqnr=1, agreement=50%)"])
def test_good_or_switched_off(digits: Any, tmp_path: Path, statements: str) -> None:
    context = Context(Cache(None), Progress())
    file = digits.describe(statements, file="good.zoo")
    done = compile_package(Request(file, tmp_path / "out", strict=True), context)
    assert context.warnings == []
    assert context.facts["poor"] is None
    assert "verdict bad" not in (done.folder / "report.html").read_text("utf-8").partition("</style>")[2]


@pytest.mark.parametrize(
    "statement, code, words",
    [
        ("warn belwo(sqnr=3)", "Z0109", "below"),
        ("warn nome", "Z0109", "none"),
        ("warn below(agreement=97)", "Z0110", "97%"),
        ("warn below(snqr=20)", "Z0105", "sqnr"),
        ('warn below(sqnr="high")', "Z0109", "number"),
        ("keep fp32 auto(time=30)", "Z0110", "30%"),
        ("keep fp32 auto(tmie=30%)", "Z0105", "time"),
        ("calibrate auto(effort=hihg)", "Z0106", "high"),
        ("calibrate auto(efort=high)", "Z0105", "effort"),
    ],
)
def test_mistyped_statements(digits: Any, statement: str, code: str, words: str) -> None:
    file = digits.describe("", file="mistyped.zoo")
    text = file.read_text("utf-8")
    replaced = text.replace("  calibrate max\n", "") if statement.startswith("calibrate") else text
    file.write_text(replaced.replace("data images", f"{statement}\n  data images"), "utf-8")
    with pytest.raises(ZoocError) as refused:
        compile_package(Request(file), Context(Cache(None), Progress()))
    (found,) = refused.value.diagnostics
    assert found.code == code
    assert words in f"{found.message} {found.hint} {found.notes}"


def test_flat_logits() -> None:
    rng = np.random.default_rng(0)
    classes = rng.normal(0, 5, (1, 10))
    assert flat_share(classes + rng.normal(0, 0.1, (20, 10))) == pytest.approx(0.0004, abs=0.0003)
    assert (flat_share(rng.normal(0, 5, (20, 10))) or 0) > 0.8
    assert flat_share(np.zeros((20, 10))) == 0.0
    assert flat_share(classes) is None


def test_images_of_one_class() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (24, 10))
    heads, quantize = (Head(10),), Quantize("int8")
    assert flat_warning(quantize, logits, heads) is None
    logits[:, 3] = 50
    found = flat_warning(quantize, logits, heads)
    assert found is not None and "the same of all 24 images" in found.message
    assert flat_warning(quantize, logits[:12], heads) is None
    assert flat_warning(Quantize("int8", warn=None), logits, heads) is None
    assert flat_warning(quantize, logits, (Head(10, activation="l2_normalize"),)) is None
