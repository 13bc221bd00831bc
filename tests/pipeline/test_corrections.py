"""The corrections that are measured on images, through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import numpy_helper

from zooc.calibration.table import format_table
from zooc.compilation import Compilation, Request
from zooc.pipeline.compile import run
from zooc.support.cache import Cache
from zooc.support.progress import Progress

ROUNDING = ("quantize.corrections=[equalization, rounding, bias]",)


def compile_it(project: Path, overrides: tuple[str, ...] = (), ranges: Path | None = None) -> Compilation:
    request = Request(project / "tiny.zoo", overrides=overrides, ranges=ranges, stop_before="assemble_graph")
    return run(Compilation(request, Cache(None), Progress()))


def weights(c: Compilation) -> dict[str, np.ndarray]:
    stored = {t.name: numpy_helper.to_array(t) for t in c.body.graph.initializer}
    return {name: values for name, values in stored.items() if name.endswith("/weight_quantized")}


def test_rounding_moves_weights_by_one_level_only_when_asked_for(project: Path) -> None:
    nearest, rounded = compile_it(project), compile_it(project, ROUNDING)
    moved = [rounded_to - weights(nearest)[name] for name, rounded_to in weights(rounded).items()]
    assert {-1, 0, 1} == set(np.unique(np.concatenate([m.reshape(-1) for m in moved])))
    assert nearest.images is not None and rounded.correction_batches is not None
    assert len(rounded.correction_batches) == len(nearest.images.paths)


def test_without_images_a_warning_names_the_corrections_left_out(project: Path, tmp_path: Path) -> None:
    found = compile_it(project).ranges
    assert found is not None
    table = tmp_path / "all.ranges"
    table.write_text(format_table(found), encoding="utf-8")
    (tmp_path / "empty").mkdir()
    data = f'quantize.data=images("{(tmp_path / "empty").as_posix()}")'
    done = compile_it(project, (*ROUNDING, data), table)
    (told,) = [w for w in done.warnings if w.code == "Z0481"]
    assert "`rounding` and `bias`" in told.message
