"""`zooc sign` and `zooc verify` on the command line, from a description to a verified package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

INNER = "build/tiny/tiny"


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Where the package is kept that the first test has compiled."""
    return tmp_path_factory.mktemp("kept") / "tiny"


@pytest.fixture
def built(workplace, kept: Path):
    """The tiny package in `build/tiny`, compiled without int8, and keys for it."""
    if not kept.exists():
        workplace.zooc("compile", "tiny.zoo", "--set", "quantize=fp32", "-o", str(kept))
    shutil.copytree(kept, workplace.folder / "build" / "tiny")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (workplace.folder / "key.pem").write_bytes(private)
    (workplace.folder / "key.pub").write_bytes(public)
    return workplace


def test_a_package_is_signed_verified_changed_and_refused(built) -> None:
    assert "not signed" in built.refused("Z0607", "verify", "build/tiny", "--key", "key.pub")
    said = built.zooc("sign", "build/tiny", "--key", "key.pem")
    assert "model.sig" in said and "of tiny" in said
    assert "are as signed" in built.zooc("verify", "build/tiny", "--key", "key.pub")
    assert built.zooc("verify", "build/tiny", "--key", "key.pub", "--quiet") == ""
    found = json.loads(built.zooc("verify", INNER, "--key", "key.pub", "--format", "json"))
    assert (found["ok"], found["name"]) == (True, "tiny")
    built.refused("Z0822", "sign", "build/tiny", "--key", "key.pem")
    signed = json.loads(built.zooc("sign", INNER, "--key", "key.pem", "--force", "--format", "json"))
    assert len(signed["signed_by"]) == 64
    (built.folder / INNER / "py.typed").write_text("changed")
    said = built.refused("Z0608", "verify", "build/tiny", "--key", "key.pub")
    assert "py.typed is changed" in said
    found = json.loads(built.zooc("verify", INNER, "--key", "key.pub", "--format", "json", code=1))
    assert found["diagnostics"][0]["code"] == "Z0608"
    assert "py.typed" in built.refused("Z0821", "sign", "build/tiny", "--key", "key.pem", "--force")
    built.zooc("compile", "tiny.zoo", "--set", "quantize=fp32", "--force")
    built.refused("Z0607", "verify", "build/tiny", "--key", "key.pub")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sign", "x"),
        ("sign", "x", "--key", "key.pem", "--keyless"),
        ("sign", "x", "--keyless", "--password-file", "p"),
        ("verify", "x"),
        ("verify", "x", "--identity", "me"),
        ("verify", "x", "--issuer", "https://example.org"),
        ("verify", "x", "--key", "key.pub", "--identity", "me"),
        ("verify", "x", "--key", "key.pub", "--identity", "me", "--issuer", "https://example.org"),
        ("sign", "x", "--kee", "key.pem"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(workplace, arguments: tuple[str, ...]) -> None:
    workplace.zooc(*arguments, code=2)


def test_mistyped_files_are_named(built) -> None:
    assert "key.pm" in built.refused("Z0818", "sign", "build/tiny", "--key", "key.pm")
    assert "nowhere" in built.refused("Z0821", "sign", "nowhere", "--key", "key.pem")
    assert "nowhere" in built.refused("Z0608", "verify", "nowhere", "--key", "key.pub")
    built.zooc("sign", "build/tiny", "--key", "key.pem")
    assert "key.pb" in built.refused("Z0818", "verify", "build/tiny", "--key", "key.pb")


def test_keyless_signing_without_a_network_says_so_and_writes_nothing(built, monkeypatch) -> None:
    from sigstore.errors import TUFError
    from sigstore.models import ClientTrustConfig

    def unreachable(*_: object, **__: object) -> None:
        raise TUFError("Failed to refresh TUF metadata")

    monkeypatch.setattr(ClientTrustConfig, "production", unreachable)
    said = built.refused("Z0820", "sign", "build/tiny", "--keyless")
    assert "Failed to refresh TUF metadata" in said and "--key" in said
    assert not (built.folder / INNER / "model.sig").exists()
    built.zooc("sign", "build/tiny", "--key", "key.pem")
    place = built.folder / INNER / "model.sig"
    bundle = json.loads(place.read_text())
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": ""}, "tlogEntries": []}
    place.write_text(json.dumps(bundle))
    trusted = ("--identity", "me@example.org", "--issuer", "https://accounts.example.org")
    assert "root of trust cannot be had" in built.refused("Z0817", "verify", "build/tiny", *trusted)
    assert "without a key" in built.refused("Z0608", "verify", "build/tiny", "--key", "key.pub")


def test_without_the_library_pips_command_is_said(built, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    for arguments in (
        ("sign", "build/tiny", "--key", "key.pem"),
        ("verify", "build/tiny", "--key", "key.pub"),
    ):
        assert 'pip install "zooc[sign]"' in built.refused("Z0817", *arguments)


def test_verifying_imports_nothing_of_the_package(built) -> None:
    built.zooc("sign", "build/tiny", "--key", "key.pem")
    code = (
        "import sys; sys.argv[1:] = ['verify', 'build/tiny', '--key', 'key.pub']\n"
        "from zooc.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code)\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'tiny'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["0", "[]"]
