"""Emission is all or nothing, and touches nothing that is not ours."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from zooc.diagnostics.diagnostic import ZoocError
from zooc.package.contents import PackageContents
from zooc.package.emit import emit_package
from zooc.package.lock import locked
from zooc_runtime.commands.verify import verify


def _code(call: Callable[[], object]) -> str:
    with pytest.raises(ZoocError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.hint
    return diagnostic.code


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def _tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_an_absent_folder_and_its_parents_are_made(contents: PackageContents, tmp_path: Path) -> None:
    assert emit_package(contents, tmp_path / "a" / "b" / "out", force=False) == tmp_path / "a" / "b" / "out"
    assert _names(tmp_path / "a" / "b") == ["out"]


def test_an_empty_folder_is_filled(contents: PackageContents, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    emit_package(contents, tmp_path / "out", force=False)
    assert _names(tmp_path) == ["out"]


def test_a_package_is_replaced_with_force_only(
    contents: PackageContents, tiny_contents: Callable[..., PackageContents], tmp_path: Path
) -> None:
    out = emit_package(contents, tmp_path / "out", force=False)
    before = _tree(out)
    newer = tiny_contents(version="9")
    assert _code(lambda: emit_package(newer, out, force=False)) == "Z0601"
    assert _tree(out) == before
    emit_package(newer, out, force=True)
    assert b'"9"' in (out / "pyproject.toml").read_bytes()
    assert list(verify(out / "tinybird")) == []
    assert _names(tmp_path) == ["out"]


@pytest.mark.parametrize("what", ["notes.txt", "keep/me.txt", "manifest.json"])
def test_what_is_not_ours_is_never_replaced(contents: PackageContents, tmp_path: Path, what: str) -> None:
    path = tmp_path / "out" / what
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    before = _tree(tmp_path / "out")
    for force in (False, True):
        assert _code(lambda force=force: emit_package(contents, tmp_path / "out", force=force)) == "Z0602"  # type: ignore[misc]
    assert _tree(tmp_path / "out") == before


def test_a_package_with_a_users_file_in_it_is_not_replaced(contents: PackageContents, tmp_path: Path) -> None:
    out = emit_package(contents, tmp_path / "out", force=False)
    (out / "my_notes.txt").write_text("mine")
    assert _code(lambda: emit_package(contents, out, force=True)) == "Z0602"
    (out / "my_notes.txt").unlink()
    (out / "dist").mkdir()
    emit_package(contents, out, force=True)


def test_a_file_or_a_link_in_the_way_is_named(contents: PackageContents, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for place in ("file", "link", "file/below"):
        assert _code(lambda place=place: emit_package(contents, tmp_path / place, force=True)) == "Z0603"  # type: ignore[misc]
    assert _names(tmp_path) == ["file", "link"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [(errno.ENOSPC, "Z0606"), (errno.EACCES, "Z0605"), (errno.EROFS, "Z0605"), (errno.EIO, "Z0605")],
)
def test_a_failure_in_the_middle_leaves_all_as_it_was(
    contents: PackageContents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: int, code: str
) -> None:
    out = emit_package(contents, tmp_path / "out", force=False)
    before = _tree(tmp_path)
    write = Path.write_bytes

    def failing(path: Path, data: bytes) -> int:
        if path.name == "model.onnx":
            raise OSError(failure, os.strerror(failure), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", failing)
    assert _code(lambda: emit_package(contents, out, force=True)) == code
    assert _code(lambda: emit_package(contents, tmp_path / "new" / "out", force=False)) == code
    monkeypatch.undo()
    assert _tree(tmp_path) == before
    assert _names(tmp_path) == ["out"]


def test_a_failing_swap_puts_the_old_package_back(
    contents: PackageContents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = emit_package(contents, tmp_path / "out", force=False)
    before = _tree(tmp_path)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if ".zooc-new-" in path.name:
            raise OSError(errno.EIO, "broken")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    assert _code(lambda: emit_package(contents, out, force=True)) == "Z0605"
    monkeypatch.undo()
    assert _tree(tmp_path) == before


def test_ctrl_c_leaves_nothing_behind(
    contents: PackageContents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def interrupted(path: Path, data: bytes) -> int:
        if path.name == "model.onnx":
            raise KeyboardInterrupt
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        emit_package(contents, tmp_path / "a" / "out", force=False)
    assert _names(tmp_path) == []


def test_what_a_killed_compile_left_is_cleared_away(contents: PackageContents, tmp_path: Path) -> None:
    for stale in (".out.zooc-new-deadbeef", ".out.zooc-old-deadbeef"):
        (tmp_path / stale / "x").mkdir(parents=True)
    (tmp_path / ".out.zooc-lock").touch()
    (tmp_path / ".other.zooc-new-deadbeef").mkdir()
    emit_package(contents, tmp_path / "out", force=False)
    assert _names(tmp_path) == [".other.zooc-new-deadbeef", "out"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(contents: PackageContents, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        assert _code(lambda: emit_package(contents, tmp_path / "out", force=False)) == "Z0605"
    finally:
        tmp_path.chmod(0o755)


def test_a_second_compile_into_the_same_place_is_told(contents: PackageContents, tmp_path: Path) -> None:
    with locked(tmp_path / "out"):
        # flock is a file handle's, so that one process suffices to see two compiles meet.
        assert _code(lambda: emit_package(contents, tmp_path / "out", force=False)) == "Z0604"
    emit_package(contents, tmp_path / "out", force=False)
    assert _names(tmp_path) == ["out"]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed")
def test_a_lock_file_that_vanishes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock, file, left = fcntl.flock, tmp_path / ".out.zooc-lock", False

    def flock_after_the_holder_has_left(handle: int, operation: int) -> None:
        nonlocal left
        if not left and file.exists():
            file.unlink()
            left = True
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock_after_the_holder_has_left)
    with locked(tmp_path / "out"):
        assert left and file.exists()
    assert _names(tmp_path) == []


def test_many_compiles_at_once_end_with_one_whole_package(contents: PackageContents, tmp_path: Path) -> None:
    codes: list[str] = []

    def compile_once() -> None:
        try:
            emit_package(contents, tmp_path / "out", force=True)
        except ZoocError as failure:
            codes.append(failure.diagnostics[0].code)

    threads = [threading.Thread(target=compile_once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {"Z0604"} and len(codes) < 6
    assert list(verify(tmp_path / "out" / "tinybird")) == []
    assert _names(tmp_path) == ["out"]


def test_the_root_is_no_place_and_dots_are_resolved(contents: PackageContents, tmp_path: Path) -> None:
    assert _code(lambda: emit_package(contents, Path("/"), force=True)) == "Z0603"
    assert emit_package(contents, tmp_path / "a" / ".." / "out", force=False) == tmp_path / "out"
    assert _names(tmp_path) == ["out"]


def test_an_odd_folder_name_does(contents: PackageContents, tmp_path: Path) -> None:
    for name in ("a [b] *", "ünïcödé", "with 'quotes' {{ x }}"):
        out = emit_package(contents, tmp_path / name, force=False)
        emit_package(contents, out, force=True)
        assert list(verify(out / "tinybird")) == []
        shutil.rmtree(out)
    assert _names(tmp_path) == []
