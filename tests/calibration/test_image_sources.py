"""Calibration images from archives, lists and addresses: the ranges are those of the folder."""

from __future__ import annotations

import io
import signal
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from zooc.accuracy.contract.images import ContractImages
from zooc.calibration.activations import ActivationReader
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.images import CalibrationImages
from zooc.calibration.run import run_calibration
from zooc.deployment import ImageSet, Normalize, Preprocess, Requirement
from zooc.diagnostics.diagnostic import ZoocError
from zooc.frontend.semantics.analyze import load_deployment
from zooc.preprocessing.prelude import build_prelude
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime.data.source import ImageSource, Item
from zooc_runtime.data.tar import TarShards
from zooc_runtime.errors import SourceError
from zooc_runtime.evaluation.ground_truth import Classes
from zooc_runtime.preprocessing.steps import Resize
from zooc_runtime.support.shards import Shard

PREPROCESS = Preprocess((Resize(4, "bilinear"),), Normalize())
PRELUDE = build_prelude(PREPROCESS, 4, 4, "pillow-13")


class Notes(Progress):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def body() -> onnx.ModelProto:
    helper, kind = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], "cast", to=kind.FLOAT),
        helper.make_node("GlobalAveragePool", ["float"], ["mean"], "pool"),
        helper.make_node("Flatten", ["mean"], ["logits"], "flatten"),
    ]
    given = helper.make_tensor_value_info("pixels", kind.UINT8, [1, 3, 4, 4])
    graph = helper.make_graph(
        nodes, "body", [given], [helper.make_tensor_value_info("logits", kind.FLOAT, [1, 3])]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def forms(tmp_path: Path) -> dict[str, Path | str]:
    """Twelve images in three class folders, and the same as other sources."""
    random = np.random.default_rng(0)
    for index in range(12):
        path = tmp_path / f"val/c{index // 4}/{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(path)
    paths = sorted((tmp_path / "val").rglob("*.png"))
    with tarfile.open(tmp_path / "val.tar", "w") as tar, zipfile.ZipFile(tmp_path / "val.zip", "w") as packed:
        for path in paths:
            tar.add(path, path.relative_to(tmp_path / "val").as_posix())
            packed.write(path, path.relative_to(tmp_path / "val").as_posix())
    (tmp_path / "val.txt").write_text("".join(f"{path.relative_to(tmp_path)}\n" for path in paths))
    return {
        "folder": tmp_path / "val",
        "tar": str(tmp_path / "val.tar"),
        "zip": str(tmp_path / "val.zip"),
        "list": f"list:{tmp_path / 'val.txt'}",
    }


def calibrated(
    body: onnx.ModelProto, images: CalibrationImages, cache: Cache, progress: Progress | None = None
) -> ActivationHistograms:
    tensors = ["pixels", "logits"]
    reader = ActivationReader(body, tensors)
    return run_calibration(body, PRELUDE, images, tensors, lambda: reader, cache, progress or Progress())


@pytest.mark.parametrize("form", ["tar", "zip", "list"])
def test_ranges_are_those_of_the_folder(
    form: str, forms: dict[str, Path | str], body: onnx.ModelProto
) -> None:
    wanted = calibrated(body, CalibrationImages.find(ImageSet(forms["folder"])), Cache(None))
    images = CalibrationImages.find(ImageSet(forms[form]))
    assert [images.name(path).removeprefix("val/") for path in images.paths][::4] == [
        "c0/00.png",
        "c1/04.png",
        "c2/08.png",
    ]
    assert calibrated(body, images, Cache(None)) == wanted
    assert wanted.images == 12


def test_ranges_of_an_address_are_those_of_the_folder(
    forms: dict[str, Path | str], body: onnx.ModelProto
) -> None:
    fsspec = pytest.importorskip("fsspec")
    folder = Path(forms["folder"])
    memory = fsspec.filesystem("memory")
    for path in folder.rglob("*.png"):
        memory.pipe(f"/images/{path.relative_to(folder).as_posix()}", path.read_bytes())
    some = ImageSet("memory://images", count=7, seed=5)
    images = CalibrationImages.find(some)
    local = CalibrationImages.find(ImageSet(folder, count=7, seed=5))
    assert [images.name(path) for path in images.paths] == [local.name(path) for path in local.paths]
    assert images.content == local.content, "the same on every machine that has the images"
    assert calibrated(body, images, Cache(None)) == calibrated(body, local, Cache(None))
    contract = ContractImages(Requirement(0.25, some, "folders"), PRELUDE, Classes(3), PREPROCESS)
    assert contract.truth == [int(contract.name(index)[1]) for index in range(7)]
    assert all(contract.pixels(index) is not None for index in (0, 1, 3, 2, 4, 5, 6))
    # This file system tells neither a time nor a tag: the bytes decide.
    again = CalibrationImages.find(some).fingerprint()
    assert again == images.fingerprint()
    changed = images.name(images.paths[0])
    memory.pipe(f"/images/{changed}", (folder / changed).read_bytes()[:-1] + b"?")
    assert CalibrationImages.find(some).fingerprint() != again
    memory.rm("/images", recursive=True)


def test_an_archive_is_calibrated_once_and_again_when_it_has_changed(
    forms: dict[str, Path | str], body: onnx.ModelProto, tmp_path: Path
) -> None:
    cache, notes = Cache(tmp_path / "cache"), Notes()
    data = ImageSet(forms["tar"])
    calibrated(body, CalibrationImages.find(data), cache, notes)
    calibrated(body, CalibrationImages.find(data), cache, notes)
    assert notes.notes == ["calibration from the cache"]
    with tarfile.open(str(forms["tar"]), "a") as archive:
        header = tarfile.TarInfo("z.png")
        content = io.BytesIO()
        Image.new("RGB", (5, 5)).save(content, "PNG")
        header.size = content.tell()
        content.seek(0)
        archive.addfile(header, content)
    assert calibrated(body, CalibrationImages.find(data), cache, notes).images == 13
    assert len(notes.notes) == 1


def test_a_network_that_fails_ends_the_calibration_which_continues_later(
    forms: dict[str, Path | str], body: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, notes = Cache(tmp_path / "cache"), Notes()
    read, wanted = (
        TarShards.read,
        calibrated(body, CalibrationImages.find(ImageSet(forms["tar"])), Cache(None)),
    )

    def failing(self: TarShards, item: Item) -> bytes:
        if item.name == "c1/07.png":
            raise SourceError("the host does not answer; try later")
        return read(self, item)

    monkeypatch.setattr(TarShards, "read", failing)
    with pytest.raises(ZoocError) as caught:
        calibrated(body, CalibrationImages.find(ImageSet(forms["tar"])), cache, notes)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.hint) == ("Z0329", "try later")
    monkeypatch.setattr(TarShards, "read", read)
    assert calibrated(body, CalibrationImages.find(ImageSet(forms["tar"])), cache, notes) == wanted
    assert "the same command continues from there" in notes.notes[0]
    assert notes.notes[1].startswith("continues an interrupted calibration")


def test_a_damaged_member_is_left_out_by_name(tmp_path: Path, forms: dict[str, Path | str]) -> None:
    content = bytearray(Path(str(forms["tar"])).read_bytes())
    at = content.index(b"PNG")
    content[at : at + 3] = b"???"
    (tmp_path / "bad.tar").write_bytes(bytes(content))
    images = CalibrationImages.find(ImageSet(str(tmp_path / "bad.tar")))
    assert len(list(images.decoded())) == 11
    assert images.skipped.keys() == {"c0/00.png"}
    assert images.skip_warnings()[0].notes[0].startswith("c0/00.png: not an image")


def test_the_parts_of_a_draw_from_an_archive_are_the_whole(forms: dict[str, Path | str]) -> None:
    data = ImageSet(forms["tar"], count=5, seed=1)
    whole = CalibrationImages.find(data)
    parts = [CalibrationImages.find(data, shard=Shard(2, index)) for index in (1, 2)]
    assert {name for part in parts for name in map(part.name, part.paths)} == set(
        map(whole.name, whole.paths)
    )
    assert {part.content for part in parts} == {whole.content}
    (other,) = whole.without(parts[0]).sample(1).paths
    assert whole.name(other) in set(map(parts[1].name, parts[1].paths))


def test_fewer_images_than_asked_for_and_none(forms: dict[str, Path | str]) -> None:
    (found,) = CalibrationImages.find(ImageSet(forms["zip"], count=20)).warnings
    assert (found.code, found.message) == ("Z0452", "20 calibration images asked for, but only 12 are there")
    with pytest.raises(ZoocError) as caught:
        CalibrationImages.find(ImageSet(forms["zip"], suffix="jpg"))
    (found,) = caught.value.diagnostics
    assert found.code == "Z0451"
    assert found.notes == ("found there: 12 x .png",)


@pytest.mark.parametrize("form", ["folder", "tar", "zip"])
def test_a_contract_takes_its_classes_from_any_source(form: str, forms: dict[str, Path | str]) -> None:
    requirement = Requirement(0.25, ImageSet(forms[form], count=6), "folders")
    images = ContractImages(requirement, PRELUDE, Classes(3), PREPROCESS)
    assert images.labels == "class folders"
    assert images.truth == [int(images.name(index)[1]) for index in range(6)]
    assert all(images.pixels(index) is not None for index in range(6))


def test_a_description_names_archives_and_lists_beside_it(
    tmp_path: Path, forms: dict[str, Path | str]
) -> None:
    (tmp_path / "net.onnx").touch()
    for written, place in {
        '"val.tar"': forms["tar"],
        'list="val.txt"': forms["list"],
        '"val/*/*.png"': f"{forms['folder']}/*/*.png",
        '"s3://bucket/val-{0..9}.tar"': "s3://bucket/val-{0..9}.tar",
    }.items():
        (tmp_path / "net.zoo").write_text(
            'model { source onnx("net.onnx")  input [batch, 3, 4, 4]  classes 3 }\n'
            "preprocess { Resize([4, 4])  ToTensor() }\n"
            f"quantize int8 {{ data images({written}, count=9) }}\n"
        )
        deployment, found = load_deployment(str(tmp_path / "net.zoo"), None, [])
        assert deployment is not None, found
        assert deployment.quantize.data == ImageSet(place, count=9)


def test_a_check_says_once_that_archives_are_missing(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    (tmp_path / "net.zoo").write_text(
        'model { source onnx("net.onnx")  input [batch, 3, 4, 4]  classes 3 }\n'
        "preprocess { Resize([4, 4])  ToTensor() }\n"
        'quantize int8 { data images("val-{00..63}.tar") }\n'
    )
    deployment, found = load_deployment(str(tmp_path / "net.zoo"), None, [], may_miss_files=True)
    assert deployment is not None
    assert [(one.code, one.severity) for one in found] == [("Z0119", "warning")]
    assert found[0].message == 'the archive of images "val-00.tar" does not exist'


@dataclass(frozen=True)
class Silent(ImageSource):
    """A remote source that never answers; the first time that it is asked it presses Ctrl-C."""

    where = "silent"
    remote = True
    suffix = None

    def items(self) -> Iterator[Item]:
        return (Item(f"{index}.png", ()) for index in range(3))

    def read(self, item: Item) -> bytes:
        if item.name == "0.png":
            threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
        threading.Event().wait(60)
        raise AssertionError("nobody waits for so long")


def test_ctrl_c_waits_for_no_image_that_is_on_its_way(body: onnx.ModelProto) -> None:
    source = Silent()
    images = CalibrationImages(ImageSet("silent"), [source.image(item) for item in source.items()])
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        calibrated(body, images, Cache(None))
    assert time.monotonic() - begin < 30
