from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc.calibration import image_set
from zooc.calibration import images as calibration
from zooc.calibration.images import CalibrationImages, pixel_batches
from zooc.deployment import ImageSet, Normalize, Preprocess
from zooc.preprocessing.prelude import build_prelude
from zooc_runtime.preprocessing.steps import Resize
from zooc_runtime.support.shards import WHOLE, Shard, joined, missing, overlap


class Listed(Sequence[Path]):
    """A list whose paths are made when asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if index >= len(self):
            raise IndexError
        return self.folder / f"{index:07}.jpg"


@pytest.fixture
def million(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder said to hold a million images."""
    folder = Path("nowhere")
    monkeypatch.setattr(image_set, "list_images", lambda _folder, _suffix: Listed(folder))
    return folder


def test_a_draw_from_a_million_images_touches_only_what_it_draws(million: Path) -> None:
    start = time.perf_counter()
    tracemalloc.start()
    images = CalibrationImages.find(ImageSet(million, count=50))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(images.paths) == 50
    assert time.perf_counter() - start < 10
    assert peak < 100e6


@pytest.mark.slow
def test_a_million_images_are_batched_one_at_a_time(million: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "open_session", lambda *_args, **_more: None)
    images = CalibrationImages.find(ImageSet(million), shard=Shard(2, 2))
    assert len(images.paths) == 500_000
    assert images.fingerprint() != ""
    tracemalloc.start()
    items = calibration.pixel_items(None, images, 1, None, frozenset(range(1000)))  # type: ignore[arg-type]
    assert [item.indices for item in islice(items, 2)] == [(1000,), (1001,)]
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_the_hash_of_the_draw_is_that_of_every_shard_and_changes_with_the_images(tmp_path: Path) -> None:
    for index in range(5):
        (tmp_path / f"{index}.jpg").write_bytes(bytes(index))
    whole = CalibrationImages.find(ImageSet(tmp_path))
    parts = [CalibrationImages.find(ImageSet(tmp_path), shard=Shard(2, i)) for i in (1, 2)]
    assert {part.content for part in parts} == {whole.content}
    assert sorted(p for part in parts for p in part.paths) == whole.paths
    assert len({whole.fingerprint(), *(part.fingerprint() for part in parts)}) == 3
    (tmp_path / "3.jpg").write_bytes(b"other")
    assert CalibrationImages.find(ImageSet(tmp_path)).content != whole.content


def test_a_fixed_batch_is_filled_up_with_all_of_its_images_in_turn(tmp_path: Path) -> None:
    for index in range(3):
        Image.new("RGB", (8, 8), (index, index, index)).save(tmp_path / f"{index}.png")
    prelude = build_prelude(Preprocess((Resize(4, "bilinear"),), Normalize()), 4, 4, "pillow-13")
    (batch,) = pixel_batches(prelude, CalibrationImages.find(ImageSet(tmp_path)), 7)
    assert np.array_equal(batch[:, 0, 0, 0], [0, 1, 2, 0, 1, 2, 0])


def test_shards_know_what_overlaps_and_what_lacks() -> None:
    def many(*texts: str) -> list[Shard]:
        return [Shard.parse(text) for text in texts]

    assert missing(many("1/2", "2/4", "4/4")) == []
    assert missing(many("1/2", "2/4")) == many("4/4")
    assert missing(many("1/2", "2/6")) == many("4/6", "6/6")
    assert overlap(*many("1/2", "3/4"))
    assert not overlap(*many("1/2", "2/4"))
    assert overlap(*many("1/2", "1/3"))
    assert joined(many("3/3", "1/3", "2/3")) == (WHOLE,)
    assert joined(many("3/3", "1/3")) == tuple(many("1/3", "3/3"))
