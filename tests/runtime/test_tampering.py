"""A byte changed anywhere in a package is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zooc_runtime import PackageError, open_package
from zooc_runtime.commands.verify import verify
from zooc_runtime.package.manifest import Manifest, manifest_hash_line


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _rewrite(package: Path, change: Callable[[dict[str, object]], None]) -> None:
    """A manifest changed by someone who knows how to hash."""
    document = json.loads((package / "manifest.json").read_bytes())
    change(document)
    data = json.dumps(document).encode()
    (package / "manifest.json").write_bytes(data)
    (package / "manifest.sha256").write_bytes(manifest_hash_line(data))


def test_an_unchanged_package_verifies(package: Path) -> None:
    assert list(verify(package)) == []


@pytest.mark.parametrize("options", [{"batch": 3}, {"softmax": False}, {"tensor": True}], ids=str)
def test_every_form_verifies(pristine: Callable[..., Path], options: dict[str, object]) -> None:
    assert list(verify(pristine(**options))) == []


def test_loading_refuses_a_flipped_byte_in_any_file_of_the_import_package(copied: Path) -> None:
    for path in sorted(p for p in copied.rglob("*") if p.is_file()):
        before = path.read_bytes()
        _flip(path)
        with pytest.raises(PackageError, match=f"{path.name}.*(reinstall|compile)"):
            open_package(copied)
        path.write_bytes(before)
    open_package(copied)


def test_verify_notices_a_flipped_byte_in_any_file_of_the_build_folder(copied: Path) -> None:
    for path in sorted(p for p in copied.parent.rglob("*") if p.is_file()):
        before = path.read_bytes()
        _flip(path)
        if path.name in ("manifest.json", "manifest.sha256"):
            with pytest.raises(PackageError, match=r"manifest\.json: does not match"):
                list(verify(copied))
        else:
            assert any(path.name in complaint for complaint in verify(copied)), path
        path.write_bytes(before)
    assert list(verify(copied)) == []


def test_a_missing_and_a_foreign_file_are_named(copied: Path) -> None:
    (copied / "labels.txt").unlink()
    (copied / "extra.py").write_text("")
    (copied / "__pycache__").mkdir()
    (copied / "__pycache__" / "x.pyc").write_text("")
    complaints = list(verify(copied))
    assert len(complaints) == 2
    assert "labels.txt: cannot be read" in complaints[0]
    assert "extra.py: not written by the compiler" in complaints[1]
    with pytest.raises(PackageError, match=r"labels\.txt: cannot be read"):
        open_package(copied)


@pytest.mark.parametrize(
    ("tensor", "stage"), [("pixels_1", "prelude"), ("logits_0", "body"), ("probabilities_1", "postlude")]
)
def test_verify_names_the_first_stage_that_differs(copied: Path, tensor: str, stage: str) -> None:
    import hashlib

    from zooc.package.contents import golden_bytes

    with np.load(copied / "goldens.npz") as archive:
        goldens = {name: archive[name] for name in archive.files}
    # A golden input of the next stage differs as well, so that stage would complain, were it asked.
    goldens[tensor] = (goldens[tensor] + np.ones_like(goldens[tensor])).astype(goldens[tensor].dtype)
    data = golden_bytes(goldens)
    (copied / "goldens.npz").write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    _rewrite(copied, lambda document: document["files"].update({"goldens.npz": entry}))  # type: ignore[attr-defined]
    complaints = list(verify(copied))
    assert len(complaints) == 1
    assert f"the {stage} differs" in complaints[0]


def test_another_schema_is_refused(copied: Path) -> None:
    _rewrite(copied, lambda document: document.update(schema=2))
    with pytest.raises(PackageError, match="schema 2, but this runtime reads schema 1"):
        open_package(copied)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "c:\\x", ""])
def test_a_manifest_that_names_files_outside_is_refused(copied: Path, name: str) -> None:
    entry = {"sha256": "", "bytes": 0}
    _rewrite(copied, lambda document: document["files"].update({name: entry}))  # type: ignore[attr-defined]
    with pytest.raises(PackageError, match="outside the package"):
        Manifest(copied)


@pytest.mark.parametrize("text", ["[]", "not json", '{"schema": 1}', '{"schema": 1, "files": 3}'])
def test_a_malformed_manifest_is_refused(copied: Path, text: str) -> None:
    (copied / "manifest.json").write_text(text)
    (copied / "manifest.sha256").write_bytes(manifest_hash_line(text.encode()))
    with pytest.raises(PackageError, match=r"manifest\.json"):
        Manifest(copied)


def test_a_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="not a package of zooc"):
        open_package(tmp_path)
