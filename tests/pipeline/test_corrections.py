"""The corrections that are measured on images, through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import numpy_helper

from zooc.calibration.table import format_table
from zooc.compilation import Compilation, Request
from zooc.pipeline.compile import compile_graph
from zooc.pipeline.context import Context
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
