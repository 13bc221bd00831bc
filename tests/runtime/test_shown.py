"""How results and models look in notebooks, and that labels cannot write markup."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from zooc_runtime.commands.main import main
from zooc_runtime.inference.model import open_package
from zooc_runtime.inference.results import Prediction, Result

EVIL = '<script>alert("1")</script>&'
SCORES = np.array([0.2, 0.8], np.float32)


def _cells(html: str) -> list[str]:
    """The texts of the cells; parsing fails where markup is not closed or not escaped."""
    root = ElementTree.fromstring(f"<div>{html}</div>")
    assert not list(root.iter("script"))
    return ["".join(cell.itertext()) for tag in ("th", "td", "p") for cell in root.iter(tag)]


def test_a_result_is_a_table_with_the_labels_escaped() -> None:
    best, other = Prediction(1, EVIL, 0.8), Prediction(0, "naïve", 0.2)
    result = Result((best, other), SCORES, (best,))
    html = result._repr_html_()
    assert _cells(html)[3:] == ["1", EVIL, "80.0%", "0", "naïve", "20.0%"]
    assert html.count("<b>") == 1
    several = Result((), SCORES, (), {EVIL: result, "b": Result((), SCORES)})
    assert {EVIL, "an embedding of 2 dimensions"} <= set(_cells(several._repr_html_()))


def test_rich_prints_answers_and_not_all_probabilities() -> None:
    best = Prediction(1, "[red]bird", 0.8)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(Result((best,), SCORES, ()))
        console.print(Result((), SCORES, (), {"age": Result((best,), SCORES, (best,))}))
    said = captured.get()
    assert "('[red]bird', 0.8)" in said
    assert "float32 [2]" in said
    assert "predictions=[]" in said
    assert "'age': Result(" in said


def test_a_model_says_what_it_is(package: Path) -> None:
    with open_package(package) as model:
        assert "package tinybird" in repr(model)
        cells = _cells(model._repr_html_())
        assert {"input", "[N, 3, 8, 8]", "classes", "7", "onnxruntime on CPUExecutionProvider"} <= set(cells)
        assert dict(model.__rich_repr__())["takes"] == "images"


def test_eval_fails_below_its_limit_and_writes_junit(
    pristine: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "result.txt"
    line = "{}: Relay top-0 id: 2, prob: 0.9, class name: x\n"
    results.write_text("".join(line.format(name) for name in ("a.jpg", "b.jpg")), "utf-8")
    truth = tmp_path / "truth.txt"
    truth.write_text("a.jpg 2\nb.jpg 3\n", "utf-8")
    report = tmp_path / "eval.xml"
    arguments = ["eval", str(results), "--truth", str(truth), "--json", "--junit", str(report)]
    package = pristine()
    assert main(package, [*arguments, "--at-least", "top1_rate=50"]) == 0
    assert json.loads(capsys.readouterr().out)["top1_rate"] == 50
    assert main(package, [*arguments, "--at-least", "top1_rate=50.1"]) == 1
    assert "top1_rate is 50.000, below the 50.1" in capsys.readouterr().err
    assert ElementTree.parse(report).getroot().get("failures") == "1"
    assert main(package, [*arguments, "--at-least", "top1rate=5"]) == 1
    assert "did you mean top1_rate?" in capsys.readouterr().err
    assert main(package, [*arguments[:-1], str(truth)]) == 1
    assert "is not XML and is never replaced" in capsys.readouterr().err
    assert truth.read_text("utf-8") == "a.jpg 2\nb.jpg 3\n"
