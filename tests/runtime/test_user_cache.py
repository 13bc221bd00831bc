"""The user's cache folder: where it is, and that only what was written is read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zooc.support.cache import Cache, default_root
from zooc_runtime import PackageError
from zooc_runtime.support import user_cache
from zooc_runtime.support.user_cache import Damaged, cache_folder, read_entry, write_entry


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_is_read_as_it_was_last_written() -> None:
    assert read_entry("kind", "key") is None
    write_entry("kind", "key", b"first")
    write_entry("kind", "key", b"second")
    assert read_entry("kind", "key") == b"second"


@pytest.mark.parametrize("name", ["key", "key.sha256"])
def test_a_changed_entry_is_damaged_until_it_is_written_again(folder: Path, name: str) -> None:
    write_entry("kind", "key", b"content")
    (folder / "kind" / name).write_bytes(b"\xffother")
    with pytest.raises(Damaged, match="key"):
        read_entry("kind", "key")
    write_entry("kind", "key", b"content")
    assert read_entry("kind", "key") == b"content"


def test_a_folder_that_cannot_be_made_holds_nothing_and_is_named_when_written(folder: Path) -> None:
    folder.write_text("a file")
    assert read_entry("kind", "key") is None
    with pytest.raises(PackageError, match="cannot be created"):
        write_entry("kind", "key", b"content")


def test_the_compiler_has_the_same_folder_and_clears_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_entry("kind", "key", b"content")
    Cache(folder).clear()
    assert read_entry("kind", "key") is None
    monkeypatch.delenv("ZOOC_CACHE")
    assert cache_folder() == default_root()


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "PLACE/zooc"),
        ("linux", None, "HOME/.cache/zooc"),
        ("darwin", None, "HOME/Library/Caches/zooc"),
        ("win32", "LOCALAPPDATA", "PLACE/zooc/Cache"),
    ],
)
def test_the_folder_is_where_the_system_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variable: str | None, expected: str
) -> None:
    for name in ("ZOOC_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "place"))
    monkeypatch.setattr(user_cache.sys, "platform", platform)
    relative = expected.replace("PLACE", "place").replace("HOME", "home")
    assert cache_folder() == tmp_path / relative


@pytest.mark.skipif(sys.platform == "win32", reason="Windows always has a home folder")
def test_a_user_without_a_home_is_told_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("ZOOC_CACHE")
    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(PackageError, match="set ZOOC_CACHE to a folder"):
        write_entry("kind", "key", b"content")
    assert read_entry("kind", "key") is None
