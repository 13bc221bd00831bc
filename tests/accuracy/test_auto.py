"""`calibrate auto` from the description to the package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from zooc.accuracy.search.candidates import METHODS
from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.kept import KeptTrials
from zooc.support.progress import Progress

AUTO = ("quantize.calibrate=auto", "quantize.corrections=[equalization, bias]")


def test_the_saved_ranges_compile_to_the_same_bytes(digits: Any, tmp_path: Path) -> None:
    file, table = digits.describe(file="auto.zoo"), tmp_path / "auto.ranges"
    contexts = [Context(Cache(None), Progress()) for _ in range(2)]
    first = compile_package(Request(file, tmp_path / "a", overrides=AUTO, save_ranges=table), contexts[0])
    second = compile_package(Request(file, tmp_path / "b", overrides=AUTO, ranges=table), contexts[1])
    assert first.compiled.model == second.compiled.model
    search = first.compiled.int8.calibrated.search  # type: ignore[union-attr]
    assert search is not None
    assert (search.search_images, search.held_images) == (12, 12)
    assert search.held_db >= max(held for _, held in search.methods.values())
    manifest = json.loads((tmp_path / "a" / "digits" / "manifest.json").read_text("utf-8"))
    assert manifest["quantization"]["search"] == contexts[0].facts["search"] == search.to_json()
    assert search.start in (tmp_path / "a" / "report.html").read_text("utf-8")


class Interrupted(Progress):
    """Ctrl-C after so many networks."""

    def __init__(self, after: int) -> None:
        self.left, self.tried = after, 0

    @contextmanager
    def track(self, description: str, total: int) -> Iterator[Any]:
        def advance(count: int) -> None:
            if description == "searching ranges":
                self.left, self.tried = self.left - count, self.tried + count
                if self.left == 0:
                    raise KeyboardInterrupt

        yield advance


def test_an_interrupted_search_goes_on(digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, cache = digits.describe(file="interrupted.zoo"), Cache(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        compile_package(Request(file, tmp_path / "a", overrides=AUTO), Context(cache, Interrupted(20)))
    assert not (tmp_path / "a").exists()
    kept: list[int] = []
    load = KeptTrials.load

    def counted(self: KeptTrials) -> dict[str, list[float]]:
        found = load(self)
        kept.append(len(found))
        return found

    monkeypatch.setattr(KeptTrials, "load", counted)
    resumed = compile_package(Request(file, tmp_path / "a", overrides=AUTO), Context(cache, Progress()))
    whole = compile_package(Request(file, tmp_path / "b", overrides=AUTO), Context(Cache(None), Progress()))
    assert 0 < kept[0] < len(METHODS) * 2 + 64
    assert resumed.compiled.model == whole.compiled.model


def test_few_images_are_all_searched_on(digits: Any) -> None:
    file = digits.describe(file="few.zoo")
    few = 'quantize.data=images("train", count=5)'
    found = digits.compile(file, overrides=(*AUTO, few))
    (warned,) = [one for one in found.warnings if one.code == "Z0479"]
    assert "5 different images" in warned.message


def test_without_images_histograms_decide(digits: Any, tmp_path: Path) -> None:
    from zooc.pipeline.calibrate import measure, prepare
    from zooc_runtime.support.shards import WHOLE

    file = digits.describe(file="elsewhere.zoo")
    context = Context(Cache(None), Progress())
    quantizer = prepare(Request(file, overrides=AUTO), context)
    measure(quantizer, WHOLE, context).save(tmp_path / "all.calib")
    elsewhere = (*AUTO, 'quantize.data=images("nowhere")')
    found = digits.compile(file, ranges=tmp_path / "all.calib", overrides=elsewhere)
    assert [one.code for one in found.warnings if one.code == "Z0478"] == ["Z0478"]
