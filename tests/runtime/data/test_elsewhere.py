"""Every source in parts, continued, and read by processes with another working folder."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zooc_runtime.commands.main import main
from zooc_runtime.data.elsewhere import as_written, portable
from zooc_runtime.data.opening import all_images, open_source
from zooc_runtime.data.source import Item, StoredImage
from zooc_runtime.data.tar import TarShards
from zooc_runtime.data.zip import ZipArchives
from zooc_runtime.errors import PackageError, SourceError
from zooc_runtime.evaluation.part import images_hash
from zooc_runtime.inference.model import open_package
from zooc_runtime.inference.spread import SpreadPackage, outcomes
from zooc_runtime.package.manifest import Manifest

FORMS = ["folder", "pattern", "tar", "shards", "zip", "list", "parquet"]

Forms = dict[str, Path | str]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(package: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `eval` in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(package, ["eval", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


class Elsewhere:
    """Workers in another folder, to and from which everything is pickled; the last shard is done first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def map(self, job: Any, shards: Any) -> Iterator[tuple[int, Any]]:
        sent = [pickle.dumps(one) for one in (job, *shards)]
        here = Path.cwd()
        os.chdir(self.folder)
        try:
            opened = pickle.loads(sent[0]).open()
            found = [pickle.dumps(opened(pickle.loads(shard))) for shard in sent[1:]]
        finally:
            os.chdir(here)
        for place in reversed(range(len(found))):
            yield place, pickle.loads(found[place])


def form_of(forms: Forms, name: str) -> str:
    if name not in forms:
        pytest.skip("pyarrow is not installed")
    return str(forms[name])


def merged(run: Run, folder: Path, *places: object) -> Any:
    """What two shards merge to, of the same images at two places."""
    files = [folder / "1", folder / "2"]
    for number, (place, file) in enumerate(zip(places, files, strict=True), 1):
        code, out, err = run(place, "--shard", f"{number}/2", "-o", file, "--json")
        assert code == 0, err
        assert json.loads(out) == {
            "part": str(file),
            "shard": f"{number}/2",
            "done": 7,
            "images": 14,
            "skipped": [],
        }
    code, out, err = run("merge", *files, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize("form", FORMS)
def test_shards_of_a_source_merge_to_the_whole(form: str, forms: Forms, run: Run, tmp_path: Path) -> None:
    place = form_of(forms, form)
    assert merged(run, tmp_path, place, place) == json.loads(run(place, "--json")[1])


def test_shards_of_an_address_merge_with_those_of_its_copy(
    forms: Forms, run: Run, bucket: str, tmp_path: Path
) -> None:
    whole = json.loads(run(forms["folder"], "--json")[1])
    assert merged(run, tmp_path, f"{bucket}/val/", forms["folder"]) == whole
    for file in tmp_path.iterdir():
        file.unlink()
    assert merged(run, tmp_path, f"{bucket}/val.tar", forms["tar"]) == whole


def test_a_source_that_fails_keeps_what_is_done(
    forms: Forms, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = ZipArchives.read, []

    def failing(self: ZipArchives, item: Item) -> bytes:
        asked.append(item.name)
        if len(asked) == 6:
            raise SourceError("the host does not answer")
        return read(self, item)

    monkeypatch.setattr(ZipArchives, "read", failing)
    code, _, err = run(forms["zip"], "-o", tmp_path / "part", "--batch-size", "1")
    assert code == 1 and "the host does not answer" in err
    assert "5 of 14 images are kept; the same command continues" in err
    begun = len(asked)
    code, out, err = run(forms["zip"], "-o", tmp_path / "part", "--batch-size", "1", "--json")
    assert code == 0 and "5 of 14 images done" in err
    assert len(asked) - begun == 9
    assert json.loads(out) == json.loads(run(forms["zip"], "--json")[1])


def test_other_images_in_an_archive_are_noticed(
    tar_of: Callable[..., Path], members: list[tuple[str, bytes]], run: Run, tmp_path: Path
) -> None:
    place = tar_of(tmp_path / "val.tar", members)
    assert run(place, "--shard", "1/2", "-o", tmp_path / "1")[0] == 0
    tar_of(place, [*members[:-1], (members[-1][0], members[0][1])])
    assert run(place, "--shard", "2/2", "-o", tmp_path / "2")[0] == 0
    code, _, err = run("merge", tmp_path / "1", tmp_path / "2")
    assert code == 1 and "parts of different evaluations: another set of images" in err


def test_images_are_known_by_names_and_sizes_of_files_that_are_there(forms: Forms, tmp_path: Path) -> None:
    found, gone = (
        images_hash(list(open_source(f"list:{place}").items()))
        for place in (str(forms["list"]).removeprefix("list:"), copied_list(forms, tmp_path))
    )
    assert found != gone


def copied_list(forms: Forms, folder: Path) -> Path:
    """The list alone, without the images that it names."""
    text = Path(str(forms["list"]).removeprefix("list:")).read_text()
    (folder / "val.txt").write_text(text)
    return folder / "val.txt"


@pytest.mark.parametrize("form", FORMS)
def test_workers_elsewhere_answer_the_same(
    form: str, forms: Forms, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zooc_runtime.inference.spread.SHARD", 4)
    monkeypatch.chdir(Path(forms["folder"]).parent)
    images = all_images(open_source(form_of(forms, form).replace(f"{Path.cwd()}/", "")))
    spread = SpreadPackage(Manifest(package), {}, Elsewhere(tmp_path))
    with open_package(package) as model:
        for here, there in zip(outcomes(model, images, 5), spread.outcomes(images, 5), strict=True):
            assert not isinstance(here, PackageError) and not isinstance(there, PackageError)
            assert there.topk == here.topk
            np.testing.assert_array_equal(there.probabilities, here.probabilities)


def test_workers_elsewhere_name_an_image_as_it_was_written(
    tar_of: Callable[..., Path], package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tar_of(tmp_path / "val.tar", [("a.png", b"nothing")])
    (tmp_path / "b.png").write_bytes(b"nothing")
    images = [*all_images(open_source("val.tar")), "b.png", Path("b.png")]
    spread = SpreadPackage(Manifest(package), {}, Elsewhere(tmp_path.parent))
    with open_package(package) as model:
        here, there = (
            [str(one) for one in found] for found in (outcomes(model, images, 5), spread.outcomes(images, 5))
        )
    assert here == there
    assert [one.partition(": ")[0] for one in there] == ["val.tar/a.png", "b.png", "b.png"]


def test_a_source_that_fails_elsewhere_fails_here(
    tar_of: Callable[..., Path], members: list[tuple[str, bytes]], package: Path, tmp_path: Path
) -> None:
    place = tar_of(tmp_path / "val.tar", members)
    images = all_images(open_source(place))
    place.unlink()
    spread = SpreadPackage(Manifest(package), {}, Elsewhere(tmp_path))
    with pytest.raises(SourceError, match=r"val\.tar: no such file"):
        list(spread.outcomes(images, 5))


def test_an_address_stays_as_it_is(bucket: str) -> None:
    (image, *_rest) = all_images(open_source(f"{bucket}/val-{{0000..0001}}.tar"))
    sent = portable(image)
    assert isinstance(sent, StoredImage) and isinstance(image, StoredImage)
    assert sent.item == image.item and sent.read() == image.read()
    assert as_written(f"{sent.title}: damaged", image) == f"{bucket}/val-0000.tar/0000.png: damaged"


def test_what_is_sent_of_an_image_does_not_grow_with_its_source(forms: Forms) -> None:
    image = all_images(open_source(forms["shards"]))[0]
    assert isinstance(image, StoredImage) and isinstance(image.source, TarShards)
    many = replace(image, source=replace(image.source, shards=image.source.shards * 5000))
    assert len(pickle.dumps(many)) > 10_000
    assert len(pickle.dumps(portable(many))) == len(pickle.dumps(portable(image))) < 500
