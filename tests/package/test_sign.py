"""Signed packages: what is signed, what is refused, and how it is said."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zooc.diagnostics.diagnostic import Diagnostic, ZoocError
from zooc.package.contents import PackageContents
from zooc.package.emit import emit_package
from zooc.package.sign import key_signer, sign_package, verify_package
from zooc_runtime.package.manifest import manifest_hash_line
from zooc_runtime.package.trust import TrustedIdentity, TrustedKey

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")


def openssl(folder: Path, *commands: str) -> None:
    for command in commands:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys, made by the commands of docs/supply-chain.md; and such as cannot be used."""
    folder = tmp_path_factory.mktemp("keys")
    openssl(
        folder,
        "ecparam -name prime256v1 -genkey -noout -out key.pem",
        "ec -in key.pem -pubout -out key.pub",
        "ec -in key.pem -aes256 -passout pass:secret -out encrypted.pem",
        "ecparam -name prime256v1 -genkey -out other.pem",  # with the curve's parameters before the key
        "ec -in other.pem -pubout -out other.pub",
        "ecparam -name secp384r1 -genkey -noout -out p384.pem",
        "ec -in p384.pem -pubout -out p384.pub",
        "ecparam -name secp256k1 -genkey -noout -out bitcoin.pem",
        "genrsa -out rsa.pem 2048",
        "rsa -in rsa.pem -pubout -out rsa.pub",
        "genpkey -algorithm ed25519 -out ed25519.pem",
        "pkcs8 -topk8 -in other.pem -v2 aes256 -passout pass:secret -out pkcs8.pem",
    )
    (folder / "password.txt").write_text("secret\n")
    (folder / "wrong.txt").write_text("sesame\n")
    (folder / "empty.txt").write_text("\nsecret\n")
    (folder / "nonsense.pem").write_text("-----BEGIN PRIVATE KEY-----\nxyz\n-----END PRIVATE KEY-----\n")
    return folder


@pytest.fixture(scope="module")
def signed_once(contents: PackageContents, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = emit_package(contents, tmp_path_factory.mktemp("signed") / "build", force=False)
    sign_package(folder, key_signer(keys / "key.pem", None), force=False)
    return folder


@pytest.fixture
def signed(signed_once: Path, tmp_path: Path) -> Path:
    """A copy of a signed build folder, to be changed at will."""
    return shutil.copytree(signed_once, tmp_path / "build")


def refused(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(ZoocError) as found:
        call()
    return found.value.diagnostics[0]


def verify(package: Path, keys: Path, name: str = "key.pub") -> object:
    return verify_package(package, TrustedKey(keys / name))


def complaint(package: Path, keys: Path, name: str = "key.pub") -> Diagnostic:
    return refused(lambda: verify(package, keys, name))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_commands_for_keys_in_the_documentation_make_keys_that_sign(signed: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "supply-chain.md").read_text("utf-8")
    commands = [line.split("openssl ", 1)[1] for line in text.splitlines() if line.startswith("    openssl ")]
    assert len(commands) == 3
    (tmp_path / "passphrase.txt").write_text("a secret\n")
    openssl(tmp_path, *commands)
    sign_package(signed, key_signer(tmp_path / "key.pem", None), force=True)
    verify(signed, tmp_path)
    encrypted = key_signer(tmp_path / "encrypted.pem", tmp_path / "passphrase.txt")
    sign_package(signed, encrypted, force=True)
    verify(signed, tmp_path)


def test_a_signed_package_verifies_as_a_build_and_as_an_import_package(signed: Path, keys: Path) -> None:
    outer = verify_package(signed, TrustedKey(keys / "key.pub"))
    assert (outer.name, outer.version, outer.files) == ("tinybird", "1.2.3", len(all_files(signed)) - 1)
    assert verify_package(signed / "tinybird", TrustedKey(keys / "key.pub")) == outer
    away = shutil.copytree(signed / "tinybird", signed.parent / "site-packages" / "tinybird")
    assert verify_package(away, TrustedKey(keys / "key.pub")).files == outer.files - 3


def test_a_flipped_byte_in_any_file_is_refused(signed: Path, keys: Path) -> None:
    for path in all_files(signed):
        before = path.read_bytes()
        flip(path)
        found = complaint(signed, keys)
        assert found.code == "Z0608", path
        path.write_bytes(before)
    verify(signed, keys)


def test_each_file_that_is_missing_is_refused(signed: Path, keys: Path) -> None:
    for path in all_files(signed):
        before = path.read_bytes()
        path.unlink()
        found = complaint(signed, keys)
        assert found.code == ("Z0607" if path.name == "model.sig" else "Z0608"), path
        assert path.name in found.message
        path.write_bytes(before)
    verify(signed, keys)


@pytest.mark.parametrize(
    "name",
    [
        "tinybird/extra.py",
        "tinybird/_runtime/errors.cpython-311-x86_64-linux-gnu.so",
        "tinybird/.gitignore",
        "tinybird/.git/config",
        "tinybird/__pycache__/notes.txt",
        "tinybird/errors.pyc",
        "setup.py",
        "hatch.toml",
    ],
)
def test_a_file_that_was_added_is_refused_wherever_it_is(signed: Path, keys: Path, name: str) -> None:
    (signed / name).parent.mkdir(exist_ok=True)
    (signed / name).write_text("")
    found = complaint(signed, keys)
    assert found.code == "Z0608"
    assert Path(name).name in found.message


def test_a_build_folder_whose_project_was_replaced_is_refused(signed: Path, keys: Path) -> None:
    for name in ("README.md", "pyproject.toml", "report.html"):
        (signed / name).unlink()
    (signed / "setup.py").write_text("print('whatever')")
    assert complaint(signed, keys).code == "Z0608"


def test_whoever_rewrites_a_file_and_both_manifests_is_found_out_by_the_signature_alone(
    signed: Path, keys: Path
) -> None:
    from zooc_runtime.package.manifest import Manifest, sha256_of

    inner = signed / "tinybird"
    (inner / "labels.txt").write_text("".join(f"wrong {index}\n" for index in range(7)))
    document = json.loads((inner / "manifest.json").read_bytes())
    size = (inner / "labels.txt").stat().st_size
    document["files"]["labels.txt"] = {"sha256": sha256_of(inner / "labels.txt"), "bytes": size}
    data = json.dumps(document).encode()
    (inner / "manifest.json").write_bytes(data)
    (inner / "manifest.sha256").write_bytes(manifest_hash_line(data))
    assert list(Manifest(inner).changed_files()) == []
    found = complaint(signed, keys)
    assert found.code == "Z0608"
    assert "labels.txt is changed, manifest.json is changed" in found.message


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_are_refused_when_verifying_and_when_signing(signed: Path, keys: Path, what: str) -> None:
    path = signed / "tinybird" / ("labels.txt" if what == "file" else "_runtime")
    path.rename(signed.parent / "elsewhere")
    path.symlink_to(signed.parent / "elsewhere")
    found = complaint(signed, keys)
    assert found.code == "Z0608" and f"{path}: a link" in found.message
    signer = key_signer(keys / "key.pem", None)
    assert refused(lambda: sign_package(signed, signer, force=True)).code == "Z0821"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_refused_without_being_opened(signed: Path, keys: Path) -> None:
    os.mkfifo(signed / "tinybird" / "pipe")
    assert "not an ordinary file" in complaint(signed, keys).message


def test_a_signature_of_another_key_is_refused_and_named(signed: Path, keys: Path) -> None:
    found = complaint(signed, keys, "other.pub")
    assert found.code == "Z0608" and "signed with another key" in found.message
    stolen = json.loads((signed / "tinybird" / "model.sig").read_text())
    openssl_hint = key_signer(keys / "other.pem", None).by
    stolen["verificationMaterial"]["publicKey"]["hint"] = openssl_hint
    (signed / "tinybird" / "model.sig").write_text(json.dumps(stolen))
    found = complaint(signed, keys, "other.pub")
    assert found.code == "Z0608" and "does not hold" in found.message


def test_a_signature_of_an_older_build_is_refused_as_such(
    signed: Path, keys: Path, tiny_contents: Callable[..., PackageContents]
) -> None:
    signature = (signed / "tinybird" / "model.sig").read_bytes()
    newer = emit_package(tiny_contents(version="2.0"), signed, force=True)
    assert complaint(newer, keys).code == "Z0607"
    (newer / "tinybird" / "model.sig").write_bytes(signature)
    found = complaint(newer, keys)
    assert found.code == "Z0608" and "of another build" in found.message


def test_a_list_that_was_rewritten_is_refused(signed: Path, keys: Path) -> None:
    place = signed / "tinybird" / "model.sig"
    bundle = json.loads(place.read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    (signed / "tinybird" / "extra.py").write_text("")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    entry = {"name": "extra.py", "algorithm": "sha256", "digest": empty}
    statement["predicate"]["resources"].append(entry)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    place.write_text(json.dumps(bundle))
    found = complaint(signed, keys)
    assert found.code == "Z0608" and "does not hold" in found.message


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"mediaType": 1, "mediaType": 2}', "\x00", "[" * 100_000, "3"]
)
def test_what_is_no_signature_is_refused(signed: Path, keys: Path, text: str) -> None:
    (signed / "tinybird" / "model.sig").write_text(text)
    found = complaint(signed, keys)
    assert found.code == "Z0608" and "not a signature" in found.message


def test_a_signature_damaged_anywhere_is_refused(signed: Path, keys: Path) -> None:
    place = signed / "tinybird" / "model.sig"
    whole = place.read_bytes()
    for spot in range(0, len(whole), len(whole) // 40):
        place.write_bytes(whole[:spot] + bytes([whole[spot] ^ 1]) + whole[spot + 1 :])
        assert complaint(signed, keys).code == "Z0608", spot
        place.write_bytes(whole[:spot])
        assert complaint(signed, keys).code == "Z0608", spot


def test_a_key_where_an_identity_is_expected_is_told_apart(signed: Path) -> None:
    trusted = TrustedIdentity("me@example.org", "https://accounts.example.org")
    found = refused(lambda: verify_package(signed, trusted))
    assert found.code == "Z0608" and "signed with a key" in found.message


@pytest.mark.parametrize(
    ("key", "password", "code", "says"),
    [
        ("rsa.pem", None, "Z0818", "RSAPrivateKey"),
        ("ed25519.pem", None, "Z0818", "Ed25519PrivateKey"),
        ("bitcoin.pem", None, "Z0818", "secp256k1"),
        ("key.pub", None, "Z0818", "a public key"),
        ("nonsense.pem", None, "Z0818", "not a private key"),
        ("password.txt", None, "Z0818", "not a private key"),
        ("nowhere.pem", None, "Z0818", "cannot be read"),
        (".", None, "Z0818", "cannot be read"),
        ("encrypted.pem", None, "Z0819", "has a passphrase"),
        ("pkcs8.pem", None, "Z0819", "has a passphrase"),
        ("encrypted.pem", "wrong.txt", "Z0819", "not the right passphrase"),
        ("pkcs8.pem", "wrong.txt", "Z0819", "not the right passphrase"),
        ("encrypted.pem", "empty.txt", "Z0819", "first line is empty"),
        ("encrypted.pem", "nowhere.txt", "Z0819", "cannot be read"),
        ("key.pem", "password.txt", "Z0819", "has no passphrase"),
    ],
)
def test_keys_that_cannot_sign(keys: Path, key: str, password: str | None, code: str, says: str) -> None:
    found = refused(lambda: key_signer(keys / key, password and keys / password))
    assert found.code == code and says in found.message


def test_a_key_that_can_be_read_but_once_is_refused(
    contents: PackageContents, keys: Path, tmp_path: Path
) -> None:
    folder = emit_package(contents, tmp_path / "build", force=False)
    once = shutil.copy(keys / "key.pem", tmp_path / "once.pem")
    signer = key_signer(once, None)
    once.write_bytes(b"")
    found = refused(lambda: sign_package(folder, signer, force=False))
    assert found.code == "Z0818" and "read twice" in str(found.hint)
    assert not (folder / "tinybird" / "model.sig").exists()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("key.pem", "a private key"),
        ("rsa.pub", "RSAPublicKey"),
        ("password.txt", "not a public key"),
        ("nowhere.pub", "cannot be read"),
    ],
)
def test_keys_that_cannot_verify(signed: Path, keys: Path, key: str, says: str) -> None:
    found = complaint(signed, keys, key)
    assert found.code == "Z0818" and says in found.message


@pytest.mark.parametrize(
    ("key", "password", "public"),
    [
        ("encrypted.pem", "password.txt", "key.pub"),
        ("pkcs8.pem", "password.txt", "other.pub"),
        ("p384.pem", None, "p384.pub"),
        ("other.pem", None, "other.pub"),
    ],
)
def test_other_keys_sign_as_well(
    signed: Path, keys: Path, key: str, password: str | None, public: str
) -> None:
    sign_package(signed, key_signer(keys / key, password and keys / password), force=True)
    verify(signed, keys, public)


def test_a_signed_package_is_signed_anew_with_force_alone(signed: Path, keys: Path) -> None:
    signer = key_signer(keys / "other.pem", None)
    assert refused(lambda: sign_package(signed, signer, force=False)).code == "Z0822"
    verify(signed, keys)
    sign_package(signed, signer, force=True)
    verify(signed, keys, "other.pub")


def test_a_changed_package_is_not_signed(signed: Path, keys: Path) -> None:
    signature = (signed / "tinybird" / "model.sig").read_bytes()
    signer = key_signer(keys / "key.pem", None)
    flip(signed / "tinybird" / "labels.txt")
    (signed / "tinybird" / "extra.py").write_text("")
    (signed / "setup.py").write_text("")
    found = refused(lambda: sign_package(signed, signer, force=True))
    assert found.code == "Z0821"
    assert [note.split(": ")[0].rsplit("/", 1)[-1] for note in found.notes] == [
        "labels.txt",
        "extra.py",
        "setup.py",
    ]
    assert (signed / "tinybird" / "model.sig").read_bytes() == signature
    assert refused(lambda: sign_package(signed.parent, signer, force=True)).code == "Z0821"


def test_the_libraries_own_command_verifies_it_even_after_it_was_run(signed: Path, keys: Path) -> None:
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(signed / "tinybird")], check=True)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(signed / "tinybird")]
    command += ["--signature", str(signed / "tinybird" / "model.sig"), "--public_key", str(keys / "key.pub")]
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0
    flip(signed / "tinybird" / "labels.txt")
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode != 0


def test_byte_code_is_held_to_its_source(signed: Path, keys: Path) -> None:
    for level in ([], ["-O"], ["-OO"]):
        command = [sys.executable, *level, "-m", "compileall", "-q", str(signed / "tinybird")]
        subprocess.run(command, check=True)
    verify(signed, keys)
    (planted,) = (signed / "tinybird" / "__pycache__").glob(f"__init__.{sys.implementation.cache_tag}.pyc")
    (other,) = (signed / "tinybird" / "_runtime" / "__pycache__").glob(
        f"errors.{sys.implementation.cache_tag}.pyc"
    )
    shutil.copy(other, planted)
    found = complaint(signed, keys)
    assert found.code == "Z0609" and "not of the source beside it" in found.message
    assert verify_package(signed, TrustedKey(keys / "key.pub"), delete_bytecode=True)
    assert not list(signed.rglob("*.pyc"))
    foreign = planted.with_name("__init__.cpython-399.pyc")
    foreign.write_bytes(b"")
    assert "another Python (cpython-399)" in complaint(signed, keys).message


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_deleting_byte_code_follows_no_link(signed: Path, keys: Path) -> None:
    outside = signed.parent / "outside"
    outside.mkdir()
    (outside / "precious.pyc").write_text("")
    (signed / "tinybird" / "__pycache__").symlink_to(outside)
    trusted = TrustedKey(keys / "key.pub")
    assert refused(lambda: verify_package(signed, trusted, delete_bytecode=True)).code == "Z0608"
    assert (outside / "precious.pyc").exists()
