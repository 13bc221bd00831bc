"""Images at addresses: the same counts as the folder's, and what happens when the network fails."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zooc_runtime.commands.main import main
from zooc_runtime.data import remote
from zooc_runtime.data.image_folder import draw, list_images
from zooc_runtime.data.opening import all_images, open_source
from zooc_runtime.data.read_ahead import ReadAhead
from zooc_runtime.data.remote import retries_told
from zooc_runtime.data.source import NamedImage
from zooc_runtime.errors import PackageError, SourceError

Forms = dict[str, "Path | str"]
Serve = Callable[[Path], tuple[str, Any]]
Members = list[tuple[str, bytes]]


def counts(package: Path, capsys: pytest.CaptureFixture[str], place: object) -> tuple[int, int, int]:
    assert main(package, ["eval", str(place), "--json"]) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert found["skipped"] == []
    return found["images"], found["top1"], found["top5"]


def contents(place: str) -> list[bytes]:
    with ReadAhead(all_images(open_source(place))) as images:
        return [image.read() for image in images if isinstance(image, NamedImage)]


@pytest.mark.parametrize(
    "place",
    ["/val", "/val/**/*.png", "/val.tar", "/val-{0000..0001}.tar", "/val-*.tar", "/val.zip", "/val.parquet"],
)
def test_a_bucket_gives_what_the_folder_gives(
    place: str, bucket: str, forms: Forms, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if place.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    assert counts(package, capsys, bucket + place) == counts(package, capsys, forms["folder"])


def test_a_list_in_a_bucket_and_a_list_of_addresses(
    bucket: str,
    forms: Forms,
    package: Path,
    members: Members,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = counts(package, capsys, forms["folder"])
    assert counts(package, capsys, f"list:{bucket}/val.txt") == wanted
    lines = "".join(f"{bucket}/val/{name} {name[1]}\n" for name, _ in members)
    (tmp_path / "val.txt").write_text(lines)
    assert counts(package, capsys, f"list:{tmp_path / 'val.txt'}") == wanted


def test_a_folder_that_moves_to_a_bucket_is_drawn_from_as_before(bucket: str, forms: Forms) -> None:
    folder = Path(forms["folder"])
    source = open_source(f"{bucket}/val/")
    items, found = source.draw(5, seed=3)
    assert found == 14
    wanted = [path.relative_to(folder).as_posix() for path in draw(list_images(folder), 5, 3)]
    assert [item.name for item in items] == wanted
    assert all(item.stamp and item.size > 0 for item in source.completed(items))


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("s3://no-such-bucket/val/*.png", "no such"),
        ("s3://no-such-bucket/val.tar", "no such file, folder or bucket"),
    ],
)
def test_a_bucket_that_is_not_there(place: str, part: str, bucket: str, quick: None) -> None:
    try:
        found = contents(place)
    except PackageError as problem:
        assert part in str(problem)
        assert place in str(problem)
    else:
        assert found == [], "nothing matches, which the caller says"


@pytest.mark.parametrize("place", ["/val", "/val.tar", "/val-{0000..0001}.tar", "/val.zip", "/val.parquet"])
def test_a_web_server_gives_what_the_folder_gives(
    place: str, serve: Serve, forms: Forms, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if place.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    address, _ = serve(Path(forms["folder"]).parent)
    assert counts(package, capsys, address + place) == counts(package, capsys, forms["folder"])


def test_a_single_image_and_a_list_on_a_web_server(serve: Serve, forms: Forms, members: Members) -> None:
    address, _ = serve(Path(forms["folder"]).parent)
    assert contents(f"{address}/val/{members[3][0]}?token=hush") == [members[3][1]]
    assert contents(f"list:{address}/val.txt") == [content for _, content in members]


def test_a_list_from_elsewhere_names_nothing_on_this_machine(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("/etc/passwd\n")
    address, _ = serve(tmp_path)
    with pytest.raises(SourceError, match="leads out of the list's folder"):
        contents(f"list:{address}/val.txt")
    (tmp_path / "val.txt").write_text("../a.png\n")
    with pytest.raises(SourceError, match="leads out of the list's folder"):
        contents(f"list:{address}/val.txt")


def test_failures_that_pass_are_tried_again_and_told(serve: Serve, forms: Forms) -> None:
    address, handler = serve(Path(forms["folder"]).parent)
    place = f"{address}/val/c0/00.png?token=hush"
    (image,) = all_images(open_source(place))
    assert isinstance(image, NamedImage)
    handler.failures[:] = [503, 500]
    told: list[str] = []
    with retries_told(told.append):
        assert image.read() == (Path(forms["folder"]) / "c0/00.png").read_bytes()
    assert [line.partition("fails ")[2] for line in told] == [
        "(500); try again later; tries again in 0.01 s",
        "(503); try again later; tries again in 0.02 s",
    ]
    handler.failures[:] = [503] * 9
    with pytest.raises(SourceError, match=r"the server fails \(503\)") as caught:
        image.read()
    assert len(handler.failures) == 9 - remote.TRIES
    assert "hush" not in str(caught.value) + "".join(told)


@pytest.mark.parametrize(("status", "part"), [(403, "access is denied"), (404, "no such file")])
def test_failures_that_stay_are_not_tried_again(status: int, part: str, serve: Serve, forms: Forms) -> None:
    address, handler = serve(Path(forms["folder"]).parent)
    (image,) = all_images(open_source(f"{address}/val/c0/00.png"))
    handler.failures[:] = [status] * 3
    assert isinstance(image, NamedImage)
    with pytest.raises(PackageError, match=part):
        image.read()
    assert len(handler.failures) == 2


def test_an_evaluation_ends_where_the_network_does_instead_of_leaving_images_out(
    serve: Serve, forms: Forms, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, handler = serve(Path(forms["folder"]).parent)
    images = all_images(open_source(f"{address}/val"))
    assert len(images) == 14
    handler.failures[:] = [503] * 1000
    assert main(package, ["eval", f"list:{_list_of(address, forms)}"]) == 1
    assert "the server fails (503)" in capsys.readouterr().err


def _list_of(address: str, forms: Forms) -> Path:
    path = Path(forms["folder"]).parent / "addresses.txt"
    path.write_text("".join(f"{address}/val/c{i // 2}/{i:02d}.png {i // 2}\n" for i in range(14)))
    return path


def test_a_host_that_does_not_answer_is_given_up_after_the_limit(
    serve: Serve, forms: Forms, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, handler = serve(Path(forms["folder"]).parent)
    (image,) = all_images(open_source(f"{address}/val/c0/00.png"))
    monkeypatch.setattr(remote, "TRIES", 1)
    monkeypatch.setattr(remote, "LIMIT_S", 0.2)
    handler.silent.set()
    assert isinstance(image, NamedImage)
    with pytest.raises(SourceError, match=r"no answer within 0.2 s; check the address"):
        image.read()


def test_whoever_waits_for_an_image_is_let_go_at_once(serve: Serve, forms: Forms) -> None:
    address, handler = serve(Path(forms["folder"]).parent)
    images = all_images(open_source(f"{address}/val/c0/00.png"))
    handler.silent.set()
    outcome: list[BaseException] = []

    def wait(image: NamedImage) -> None:
        try:
            image.read()
        except SourceError as problem:
            outcome.append(problem)

    with ReadAhead(images) as ahead:
        thread = threading.Thread(target=wait, args=(next(ahead),))
        thread.start()
        time.sleep(0.05)
        begin = time.monotonic()
    thread.join()
    assert time.monotonic() - begin < 0.5
    assert "reading was stopped" in str(outcome[0])


def test_no_host_there(quick: None) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(SourceError, match=r"127.0.0.1:9/val.tar: the connection fails .*; check the network"):
        contents("http://127.0.0.1:9/val.tar?token=hush")


def test_a_server_without_ranges_serves_no_archives(serve: Serve, forms: Forms) -> None:
    address, handler = serve(Path(forms["folder"]).parent)
    handler.ranges = False
    with pytest.raises(SourceError, match=r"gives whole files only .*; download the archive first"):
        contents(f"{address}/val.tar")


def test_what_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(SourceError, match=r"gcsfs is not installed; pip install fsspec gcsfs"):
        contents("gs://bucket/val.tar") if not _has("gcsfs") else pytest.skip("gcsfs is installed")
    with pytest.raises(SourceError, match="fsspec knows no s4://"):
        contents("s4://bucket/val.tar")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SourceError, match=r"fsspec is not installed; pip install fsspec s3fs"):
        contents("s3://bucket/val.tar")


def test_pyarrow_is_asked_for_only_by_a_table(
    monkeypatch: pytest.MonkeyPatch, forms: Forms, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert len(contents(str(forms["tar"]))) == 14
    (tmp_path / "val.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="pyarrow is not installed; pip install pyarrow"):
        contents(str(tmp_path / "val.parquet"))


def _has(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None
