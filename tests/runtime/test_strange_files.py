"""Pipes, links, archives that unpack to gigabytes, and messages that quote: none waits, fills or misleads."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zooc_runtime import PackageError, open_package
from zooc_runtime.commands.verify import verify
from zooc_runtime.evaluation.npz import read_input
from zooc_runtime.package.manifest import Manifest, manifest_hash_line
from zooc_runtime.preprocessing.decode import decode
from zooc_runtime.quoted import MESSAGE, QUOTE, cut, quoted
from zooc_runtime.support.archives import MAX_UNPACKED


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256", "model.onnx"])
def test_a_pipe_in_a_files_place_is_refused_without_being_opened(copied: Path, name: str) -> None:
    (copied / name).unlink()
    os.mkfifo(copied / name)
    with pytest.raises(PackageError, match=f"{name}: is a pipe, a socket or a device"):
        open_package(copied)


def test_a_link_to_a_folder_is_unexpected_and_a_link_to_a_file_is_its_content(
    copied: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (copied / "more").symlink_to(tmp_path / "elsewhere")
    model = tmp_path / "model.onnx"
    (copied / "model.onnx").rename(model)
    (copied / "model.onnx").symlink_to(model)
    assert Manifest(copied).unexpected_files() == ["more"]
    assert [complaint for complaint in verify(copied) if "more" not in complaint] == []
    model.write_bytes(model.read_bytes() + b"x")
    assert any("model.onnx" in complaint for complaint in Manifest(copied).changed_files())


def test_a_manifest_of_brackets_is_no_manifest(copied: Path) -> None:
    text = b"[" * 100_000
    (copied / "manifest.json").write_bytes(text)
    (copied / "manifest.sha256").write_bytes(manifest_hash_line(text))
    with pytest.raises(PackageError, match="not a manifest"):
        open_package(copied)


def test_devices_are_no_images() -> None:
    with pytest.raises(PackageError, match="/dev/zero: is a pipe, a socket or a device"):
        decode("/dev/zero")
    with pytest.raises(PackageError, match="/dev/zero: is a pipe, a socket or a device"):
        read_input("/dev/zero")


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros((3, 1000, 1000), np.uint8))
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("input_0.npy", content.getvalue())
    read_input(path)
    size = len(content.getvalue())
    data = path.read_bytes()
    assert data.count(size.to_bytes(4, "little")) == 2
    path.write_bytes(data.replace(size.to_bytes(4, "little"), (MAX_UNPACKED + 1).to_bytes(4, "little")))
    with pytest.raises(PackageError, match="it unpacks to 1,073,741,825 bytes; the limit is 1,073,741,824"):
        read_input(path)


def test_an_archive_that_packs_nothing_may_be_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zooc_runtime.support.archives.MAX_UNPACKED", 1000)
    np.savez(tmp_path / "stored.npz", input_0=np.zeros((3, 100, 100), np.uint8))
    read_input(tmp_path / "stored.npz")
    np.savez_compressed(tmp_path / "packed.npz", input_0=np.zeros((3, 100, 100), np.uint8))
    with pytest.raises(PackageError, match="it unpacks to 30,128 bytes; the limit is 1,000"):
        read_input(tmp_path / "packed.npz")


def test_a_message_quotes_shortly_and_shows_what_is_hidden() -> None:
    text = quoted(f'no file "{"x" * 5000}", did you mean "y"?')
    assert "... (5,002 characters) ..." in text
    assert text.endswith('did you mean "y"?')
    assert quoted("a\u202eb\x1bc\ud800d\u2028e\u200bf") == "a<U+202E>b<U+001B>c<U+D800>d<U+2028>e<U+200B>f"
    assert quoted("a\nb") == "a<U+000A>b"
    assert str(PackageError("line\nline \x07")) == "line\nline <U+0007>"


LONG = ("x" * 100_000, "`" + "y " * 5000 + "`", "word " * 5000, '"' * 9999, chr(0) * 50_000)


@pytest.mark.parametrize("text", LONG)
def test_quoting_twice_is_quoting_once_and_limits_hold(text: str) -> None:
    once = quoted(text)
    assert len(once) <= MESSAGE
    assert quoted(once) == once
    assert len(cut(text)) <= QUOTE


def test_ordinary_messages_stay_as_they_are() -> None:
    for text in ("naïve gull: 鸟", f"/a/{'long' * 50}/path", '`x` is not `y`; it\'s a "z"', ""):
        assert quoted(text) == text
