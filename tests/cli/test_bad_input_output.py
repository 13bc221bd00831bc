"""Whatever stands in the package's way is named, and nothing that is not ours is touched."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zooc.package.lock import locked


def _contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_folder_that_is_not_ours_is_never_touched(project: Any, force: tuple[str, ...]) -> None:
    (project.folder / "out").mkdir()
    (project.folder / "out" / "thesis.txt").write_text("mine")
    project.compile(*force).refused(
        "Z0602",
        "contains something that zooc did not write: thesis.txt",
        "even with --force",
        "another folder",
    )
    assert project.wrote_nothing()
    assert (project.folder / "out" / "thesis.txt").read_text() == "mine"


def test_an_existing_package_wants_force(project: Any) -> None:
    project.compile().succeeded()
    before = _contents(project.folder / "out")
    project.compile().refused("Z0601", "contains a package already", "replace it with --force")
    assert _contents(project.folder / "out") == before
    project.compile("--force", package='package { name tiny  version "2" }').succeeded()
    assert b'version = "2"' in (project.folder / "out" / "pyproject.toml").read_bytes()


def test_an_unfit_place_is_refused_before_the_long_work(project: Any) -> None:
    (project.folder / "out").write_text("mine")
    outcome = project.compile("--force").refused("Z0603", "out is a file", "choose another folder with -o")
    assert "calibrating" not in outcome.err
    assert (project.folder / "out").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused_before_the_long_work(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != project.folder)
    outcome = project.compile().refused("Z0605", "out: Permission denied", "check the permissions")
    assert "calibrating" not in outcome.err
    assert project.wrote_nothing()


def test_a_failing_compile_leaves_the_old_package_as_it_is(project: Any) -> None:
    project.compile().succeeded()
    before = _contents(project.folder)
    (project.folder / "net.onnx").write_bytes(b"broken")
    project.compile("--force").refused("Z0210")
    assert _contents(project.folder / "out") == {
        name.removeprefix("out/"): data for name, data in before.items() if name.startswith("out/")
    }


@pytest.mark.parametrize(
    ("place", "code", "message"),
    [
        (".", "Z0602", "contains something that zooc did not write"),
        ("..", "Z0602", "contains something that zooc did not write"),
        ("/", "Z0603", "/ is the root folder"),
        ("images", "Z0602", "did not write: 0.jpg"),
        ("net.onnx", "Z0603", "net.onnx is a file"),
        ("net.onnx/below", "Z0603", "cannot be a folder"),
        ("link", "Z0603", "link is a link"),
        ("x" * 300, "Z0603", "File name too long"),
    ],
)
def test_places_that_cannot_be_a_package_are_refused(
    project: Any, place: str, code: str, message: str
) -> None:
    (project.folder / "link").symlink_to("images")
    project.zooc("compile", "tiny.zoo", "--force", "-o", place).refused(code, message)
    assert project.wrote_nothing()


def test_odd_but_possible_places_do(project: Any) -> None:
    place = project.folder / "images" / "ünï 'quoted' {{ x }}\nline"
    outcome = project.zooc("compile", "tiny.zoo", "-o", place).succeeded()
    project.package("verify", folder=place).succeeded()
    assert "cd '" in outcome.out, "the command to try must survive a shell"
    again = project.zooc("compile", "tiny.zoo", "-o", place.relative_to(project.folder), "--force")
    assert "against float on 6 images" in again.succeeded().out, "the package added no images"


def test_a_tilde_is_the_home_folder(project: Any) -> None:
    outcome = project.zooc(
        "compile", "tiny.zoo", "--output=~/net", env={"HOME": str(project.folder / "home")}
    )
    assert outcome.succeeded().code == 0
    assert (project.folder / "home" / "net" / "tiny" / "model.onnx").exists()


def test_by_default_the_package_goes_to_build(project: Any) -> None:
    project.zooc("compile", "tiny.zoo").succeeded()
    assert (project.folder / "build" / "tiny" / "tiny" / "model.onnx").exists()


@pytest.fixture
def small_disk(project: Any) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder: Path = project.folder / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_is_named_and_left_clean(project: Any, small_disk: Path) -> None:
    project.zooc("compile", "tiny.zoo", "-o", small_disk / "a" / "out").refused(
        "Z0606", f"not enough space for {small_disk}/a/out: No space left on device", "free some space"
    )
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_old_package(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project.compile().succeeded()
    before = _contents(project.folder)
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "model.onnx":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    project.compile("--force").refused(
        "Z0606", "not enough space for", "free some space, or choose another folder with -o"
    )
    assert _contents(project.folder) == before and project.wrote_nothing()


def test_a_full_cache_disk_is_a_warning(project: Any, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(190_000))
    project.cache = small_disk / "cache"
    outcome = project.compile().warned("Z0701", "cannot write the cache", "No space left", "ZOOC_CACHE")
    assert outcome.err.count("Z0701") == 1


def test_a_second_compile_into_one_place_is_told(project: Any) -> None:
    with locked(project.folder / "out"):
        project.compile().refused("Z0604", "another compile is writing", "wait for it to end")
    assert not (project.folder / "out").exists()


def test_compiles_at_once_end_with_one_whole_package(project: Any) -> None:
    runs = [project.start("compile", "tiny.zoo", "-o", "out") for _ in range(3)]
    ended = [(run.communicate(timeout=180)[1], run.returncode) for run in runs]
    assert sorted(code for _, code in ended) == [0, 1, 1]
    for text, code in ended:
        assert code == 0 or "error[Z0604]" in text or "error[Z0601]" in text, text
    project.package("verify").succeeded()
    assert not [path for path in project.folder.iterdir() if path.name.startswith(".")]


def test_ctrl_c_during_calibration_leaves_nothing(
    project: Any, make_picture: Callable[..., Any], tmp_path: Path
) -> None:
    images = project.folder / "images"
    make_picture(3000, 2000).save(images / "big.jpg")
    for index in range(200):
        os.link(images / "big.jpg", images / f"big{index}.jpg")
    before = project.names()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = project.start("compile", "tiny.zoo", "-o", "new/out", env={"TMPDIR": str(scratch)})
    for line in process.stderr:
        if "calibrating" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted; nothing was written"
    assert "Traceback" not in said
    assert project.names() == before
    assert {path.name for path in scratch.iterdir()} <= {".ses"}, "ONNX Runtime makes that one on import"
    assert not [p for p in project.cache.rglob("*") if ".new-" in p.name]
