"""A package that is loaded or verified with a trusted key opens nothing that is not signed with it."""

from __future__ import annotations

import importlib.util
import marshal
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from zooc.package.sign import key_signer, sign_package
from zooc_runtime import PackageError, open_package
from zooc_runtime.commands.main import main
from zooc_runtime.package import signature
from zooc_runtime.package.bytecode import complaint_about, is_bytecode
from zooc_runtime.package.trust import SigningMissing


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("key", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.pem").write_bytes(private)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(public)
    return folder


@pytest.fixture
def signed(copied: Path, keys: Path) -> Path:
    sign_package(copied, key_signer(keys / "key.pem", None), force=False)
    return copied


def test_a_signed_package_loads_with_its_key_and_without(signed: Path, keys: Path) -> None:
    assert open_package(signed, trusted_key=keys / "key.pub").classes == 7
    assert open_package(signed, trusted_key=str(keys / "key.pub")).classes == 7
    assert open_package(signed).classes == 7


def test_unsigned_tampered_and_foreign_packages_do_not_load(copied: Path, signed: Path, keys: Path) -> None:
    with pytest.raises(PackageError, match="signed with another key"):
        open_package(signed, trusted_key=keys / "other.pub")
    (signed / "extra.txt").write_text("")
    with pytest.raises(PackageError, match=r"extra\.txt is not signed"):
        open_package(signed, trusted_key=keys / "key.pub")
    (signed / "extra.txt").unlink()
    (signed / "model.sig").unlink()
    with pytest.raises(PackageError, match=r"not signed, there is no model\.sig"):
        open_package(signed, trusted_key=keys / "key.pub")
    with pytest.raises(PackageError, match="cannot be read"):
        open_package(signed, trusted_key=keys / "nowhere.pub")
    point = ec.generate_private_key(ec.SECP256K1()).public_key()
    (keys / "foreign.pub").write_bytes(point.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(PackageError, match=r"of the curve secp256k1.*ask the signer"):
        open_package(signed, trusted_key=keys / "foreign.pub")
    with pytest.raises(PackageError, match="5: not the path of a public key"):
        open_package(signed, trusted_key=5)  # type: ignore[arg-type]


def test_the_model_is_not_opened_before_the_signature_is_verified(
    signed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zooc_runtime.package.manifest import Manifest

    monkeypatch.setattr(Manifest, "read", lambda *_: pytest.fail("the model was read"))
    (signed / "labels.txt").write_text("changed")
    with pytest.raises(PackageError, match=r"labels\.txt is changed"):
        open_package(signed, trusted_key=keys / "key.pub")


def test_a_file_that_cannot_be_read_is_named(
    signed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(signature, "sha256_of", unreadable)
    with pytest.raises(PackageError, match=r"__init__\.py: cannot be read \(Permission denied\)"):
        open_package(signed, trusted_key=keys / "key.pub")


def test_verify_takes_a_key(signed: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(signed, ["verify", "--key", str(keys / "key.pub")]) == 0
    assert "as signed and as compiled" in capsys.readouterr().out
    assert main(signed, ["verify"]) == 0
    assert main(signed, ["verify", "--key", str(keys / "other.pub")]) == 1
    assert "signed with another key" in capsys.readouterr().err


def test_without_the_library_the_message_says_how_to_install_it(
    signed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(SigningMissing, match=r'pip install "tinybird\[sign\]"'):
        open_package(signed, trusted_key=keys / "key.pub")


def test_an_installed_package_verifies_after_it_was_run(signed: Path, keys: Path, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    place = tmp_path / "site-packages"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--target", str(place), str(signed.parent)], check=True)
    assert list((place / "tinybird").rglob("*.pyc"))
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, "-m", "tinybird", "verify", "--key", str(keys / "key.pub")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    code = f"import tinybird; tinybird.load(trusted_key={str(keys / 'key.pub')!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


def _compile(source: Path, level: int = 0) -> Path:
    import py_compile

    made = py_compile.compile(str(source), doraise=True, optimize=level)
    assert made is not None
    return Path(made)


SOURCE = '''
"""Every kind of constant that a compiled module can hold."""
A = (1, -2, 1 << 80, -(1 << 80), 1.5, -0.0, 2j, "text", "naïve", b"bytes", None, ..., True, (("nested",),))
def f(x, *, y=3, **z):
    """A function."""
    return [g(lambda: x + y) for g in z.values()] if x in {"b", "a", 1, (2, 3)} else A[1:2]
class C:
    value: int = 3
    async def m(self):
        try:
            yield self
        except ValueError as error:
            assert error, "message"
'''


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("level", [0, 1, 2])
def test_byte_code_of_the_source_is_known_wherever_it_was_made(
    module: Path, tmp_path: Path, level: int
) -> None:
    made = _compile(module, level)
    assert complaint_about(made) is None
    moved = shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert complaint_about(moved / "__pycache__" / made.name) is None


@pytest.mark.parametrize(
    "change", ["value: int = 4", "value: int = 3.0", 'value: int = "3"', "value: int = True"]
)
def test_byte_code_of_another_source_is_not(module: Path, change: str) -> None:
    made = _compile(module)
    module.write_text(SOURCE.replace("value: int = 3", change))
    assert complaint_about(made) == "byte code that is not of the source beside it"


def test_byte_code_of_another_level_is_not(module: Path) -> None:
    made = _compile(module, 2)
    shutil.copy(made, made.with_name(made.name.replace(".opt-2", "")))
    assert complaint_about(made.with_name(made.name.replace(".opt-2", ""))) is not None


def test_a_file_of_byte_code_flipped_anywhere_behind_its_header_is_noticed_or_means_the_same(
    module: Path,
) -> None:
    made = _compile(module)
    whole = made.read_bytes()
    expected = marshal.loads(whole[16:])
    unnoticed = []
    for spot in range(16, len(whole), 3):
        changed = whole[:spot] + bytes([whole[spot] ^ 1]) + whole[spot + 1 :]
        made.write_bytes(changed)
        if complaint_about(made) is None:
            unnoticed.append(marshal.loads(changed[16:]))
    # Only the name of the source's file, and whether a text is interned, may differ.
    assert all(code.replace(co_filename="") == expected.replace(co_filename="") for code in unnoticed)
    made.write_bytes(whole + b"N")
    assert complaint_about(made) is not None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "another version of this Python"),
        (b"\0" * 32, "another version of this Python"),
        (importlib.util.MAGIC_NUMBER + b"\0" * 12, "not of the source"),
        (importlib.util.MAGIC_NUMBER + b"\0" * 12 + b")\x01" * 100_000, "not of the source"),
        (importlib.util.MAGIC_NUMBER + b"\0" * 12 + b"r\xff\xff\xff\xff", "not of the source"),
        (importlib.util.MAGIC_NUMBER + b"\0" * 12 + b"(\xff\xff\xff\xff", "not of the source"),
        (importlib.util.MAGIC_NUMBER + b"\0" * 12 + b"[\x00\x00\x00\x00", "not of the source"),
    ],
)
def test_malformed_byte_code_is_refused(module: Path, data: bytes, says: str) -> None:
    made = _compile(module)
    made.write_bytes(data)
    assert says in str(complaint_about(made))


def test_byte_code_without_its_source_is_refused(module: Path) -> None:
    made = _compile(module)
    assert complaint_about(made.with_name("nonsense.pyc")) == "byte code without its source"
    module.unlink()
    assert complaint_about(made) == "byte code without its source"


def test_what_counts_as_byte_code() -> None:
    tag = sys.implementation.cache_tag
    assert is_bytecode(f"__pycache__/x.{tag}.pyc") and is_bytecode(f"a/__pycache__/x.{tag}.pyc")
    assert (
        not is_bytecode("x.pyc")
        and not is_bytecode("__pycache__/x.py")
        and not is_bytecode("a__pycache__/x.pyc")
    )
