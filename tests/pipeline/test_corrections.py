"""The corrections that are measured on images, through the whole pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from zooc.calibration.table import format_table
from zooc.compilation import Compilation, Request
from zooc.deployment import CalibrationMethod, Quantize
from zooc.pipeline import search
from zooc.pipeline.compile import compile_graph
from zooc.pipeline.context import Context
from zooc.quantization.corrections import apply
from zooc.support.cache import Cache
from zooc.support.progress import Progress

ROUNDING = ("quantize.corrections=[equalization, rounding, bias]",)


def compile_it(project: Path, overrides: tuple[str, ...] = ()) -> Compilation:
    return compile_graph(Request(project / "tiny.zoo", overrides=overrides), Context(Cache(None), Progress()))


def weights(c: Compilation) -> dict[str, np.ndarray]:
    stored = {t.name: numpy_helper.to_array(t) for t in c.body.graph.initializer}
    return {name: values for name, values in stored.items() if name.endswith("/weight_quantized")}


def test_rounding_moves_weights_by_one_level_only_when_asked_for(project: Path) -> None:
    nearest, rounded = compile_it(project), compile_it(project, ROUNDING)
    moved = [rounded_to - weights(nearest)[name] for name, rounded_to in weights(rounded).items()]
    assert {-1, 0, 1} == set(np.unique(np.concatenate([m.reshape(-1) for m in moved])))
    assert nearest.images is not None and rounded.int8 is not None
    assert rounded.int8.correction_images == len(nearest.images.paths)


def test_without_images_a_warning_names_the_corrections_left_out(project: Path, tmp_path: Path) -> None:
    compiled = compile_it(project)
    assert compiled.int8 is not None
    found = compiled.int8.calibrated.ranges
    table = tmp_path / "all.ranges"
    table.write_text(format_table(found), encoding="utf-8")
    (tmp_path / "empty").mkdir()
    data = f'quantize.data=images("{(tmp_path / "empty").as_posix()}")'
    context = Context(Cache(None), Progress())
    compile_graph(Request(project / "tiny.zoo", overrides=(*ROUNDING, data), ranges=table), context)
    (told,) = [w for w in context.warnings if w.code == "Z0481"]
    assert "`rounding` and `bias`" in told.message


@pytest.mark.parametrize(("torch_there", "said"), [(False, "torch cannot be imported"), (True, "too few")])
def test_reconstruction_that_cannot_be_had_is_rounding_and_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, torch_there: bool, said: str
) -> None:
    monkeypatch.setattr(apply, "can_learn", lambda: torch_there)
    monkeypatch.setattr(apply, "FEWEST_IMAGES", 1000 if torch_there else 1)
    context = Context(Cache(None), Progress())
    overrides = ("quantize.corrections=[equalization, bias, reconstruction]",)
    compiled = compile_graph(Request(project / "tiny.zoo", overrides=overrides), context)
    (told,) = [w for w in context.warnings if w.code == "Z0488"]
    assert said in told.message
    rounded = weights(compile_it(project, ROUNDING))
    assert all(np.array_equal(values, rounded[name]) for name, values in weights(compiled).items())


@pytest.mark.parametrize(
    ("effort", "torch_there", "macs", "images", "expected"),
    [
        ("fast", True, 1, 64, None),
        ("normal", True, 1, 64, "rounding"),
        ("normal", True, 10**10, 64, None),
        ("high", True, 10**10, 64, "reconstruction"),
        ("high", True, 10**10, 7, "rounding"),
        ("high", False, 10**10, 64, "rounding"),
    ],
)
def test_auto_tries_one_more_correction(
    monkeypatch: pytest.MonkeyPatch,
    effort: Any,
    torch_there: bool,
    macs: int,
    images: int,
    expected: str | None,
) -> None:
    monkeypatch.setattr(apply, "can_learn", lambda: torch_there)
    quantize = Quantize(dtype="int8", calibrate=CalibrationMethod("auto", effort=effort))
    assert search.another_correction(quantize, macs, images) == expected
