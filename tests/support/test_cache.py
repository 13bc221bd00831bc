from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from zooc.support.cache import CACHE_VARIABLE, Cache, default_root, file_sha256, key


def write(content: bytes):
    return lambda path: path.write_bytes(content)


def test_equal_parts_give_equal_keys_whatever_the_order_of_dict_entries():
    assert key("a", {"x": 1, "y": [2]}) == key("a", {"y": [2], "x": 1})
    assert key("a", "b") != key("ab")
    assert key(1) != key("1")


def test_what_was_put_is_found_again_by_another_cache_object(tmp_path):
    Cache(tmp_path).put("export", key("k"), write(b"content"))
    found = Cache(tmp_path).get("export", key("k"))
    assert found is not None
    assert found.read_bytes() == b"content"
    assert Cache(tmp_path).get("export", key("other")) is None
    assert Cache(tmp_path).get("histogram", key("k")) is None


@pytest.mark.parametrize("damage", [b"contenT", b"", b"content and more"])
def test_a_damaged_entry_is_dropped_and_can_be_rebuilt(tmp_path, damage):
    cache = Cache(tmp_path)
    entry = cache.put("export", key("k"), write(b"content"))
    entry.write_bytes(damage)
    assert cache.get("export", key("k")) is None
    assert not entry.exists()
    cache.put("export", key("k"), write(b"content"))
    assert cache.get("export", key("k")).read_bytes() == b"content"
    assert cache.warnings == []


def test_a_damaged_sidecar_counts_as_damage(tmp_path):
    cache = Cache(tmp_path)
    entry = cache.put("export", key("k"), write(b"content"))
    entry.with_name(entry.name + ".sha256").write_bytes(b"\xff\xfe")
    assert cache.get("export", key("k")) is None


def test_a_writer_that_fails_leaves_no_entry_and_no_scratch(tmp_path):
    cache = Cache(tmp_path)

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.put("export", key("k"), fail)
    assert cache.get("export", key("k")) is None
    assert list((tmp_path / "export").iterdir()) == []


def test_a_full_disk_gives_one_warning_and_no_error(tmp_path):
    cache = Cache(tmp_path)

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    assert cache.put("export", key("k"), full) is None
    assert cache.put("export", key("l"), full) is None
    assert [d.code for d in cache.warnings] == ["Z0701"]
    assert "No space left on device" in cache.warnings[0].message


def test_a_cache_under_a_plain_file_gives_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    assert cache.get("export", key("k")) is None
    assert cache.put("export", key("k"), write(b"x")) is None
    assert len(cache.warnings) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_read_only_cache_is_read_but_not_written(tmp_path):
    cache = Cache(tmp_path)
    cache.put("export", key("k"), write(b"x"))
    (tmp_path / "export").chmod(0o500)
    try:
        assert cache.get("export", key("k")) is not None
        assert cache.put("export", key("l"), write(b"y")) is None
    finally:
        (tmp_path / "export").chmod(0o700)
    assert len(cache.warnings) == 1


def test_without_a_root_nothing_is_kept():
    cache = Cache(None)
    assert cache.put("export", key("k"), write(b"x")) is None
    assert cache.get("export", key("k")) is None
    assert (cache.size(), cache.clear(), cache.warnings) == (0, 0, [])


def test_clear_removes_entries_only(tmp_path):
    cache = Cache(tmp_path)
    cache.put("export", key("k"), write(b"x" * 1000))
    (tmp_path / "mine.txt").write_text("keep")
    assert cache.size() >= 1000
    assert cache.clear() >= 1000
    assert cache.get("export", key("k")) is None
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_what_a_killed_compile_left_goes_after_a_day(tmp_path):
    folder = tmp_path / "sketches"
    for name, hours in (("abandoned", 25), ("in_use", 1)):
        scratch = folder / f".new-{name}"
        scratch.mkdir(parents=True)
        (scratch / "half").write_bytes(b"h")
        then = time.time() - hours * 3600
        os.utime(scratch, (then, then))
    Cache(tmp_path).put("sketches", "a", write(b"content"))
    assert sorted(path.name for path in folder.iterdir()) == [".new-in_use", "a", "a.sha256"]


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert default_root().name == "zooc"


def test_file_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f").startswith("ba7816bf8f01cfea")
