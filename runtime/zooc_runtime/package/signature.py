"""A package's signature, `model.sig`, in the format of the OpenSSF's model-signing, verified by its library.

It is a sigstore bundle with an in-toto statement that lists the sha256 of every file of the import package
(https://github.com/sigstore/model-transparency). The files beside the import package are vouched for by
`manifest.json`, which is among the signed ones.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .bytecode import complaint_about, is_bytecode
from .manifest import MANIFEST, SIGNATURE, Manifest, sha256_of
from .trust import (
    NotAsSigned,
    NotSigned,
    SigningMissing,
    StrangeBytecode,
    TrustedIdentity,
    TrustedKey,
    fingerprint,
    public_pem,
    read_public_key,
    require_library,
)

__all__ = ["check_signed", "package_listing", "verify_signature"]

_AGAIN = "get the package again from where you trust it, or sign it again if the change is yours"
_PREDICATE = "https://model_signing/signature/v1.0"
_MOST_NAMED = 3


def check_signed(manifest: Manifest, trusted: TrustedKey | TrustedIdentity) -> None:
    """Refuse a package whose signature, files or byte code are not to be trusted.

    Args:
        manifest: of the package, as it was read: it must be the signed one.
        trusted: by whom it must be signed.

    Raises:
        SignatureError: see `verify_signature`.
    """
    signed = verify_signature(manifest.directory, trusted)
    if signed.get(MANIFEST) != manifest.sha256:
        raise NotAsSigned(f"{manifest.directory / MANIFEST}: changed while it was verified", _AGAIN)


def verify_signature(directory: Path, trusted: TrustedKey | TrustedIdentity) -> dict[str, str]:
    """Return the sha256 of every signed file by its name, if all are as signed and no other is there.

    Nothing of the package is run or imported. Byte code of this Python is allowed where it is what the signed
    source gives.

    Args:
        directory: the import package's folder.
        trusted: by whom it must be signed.

    Raises:
        SigningMissing: the library is missing, or with `TrustedIdentity` sigstore's servers.
        UnusableKey: the key is none.
        NotSigned: there is no signature.
        NotAsSigned: signed by others or damaged, changed, missing, further or unreadable files, links.
        StrangeBytecode: byte code that is not the source's, or of another Python.
    """
    require_library(f"{directory.name}[sign]")
    try:
        return _verify(directory, trusted)
    except OSError as error:
        place = error.filename or directory
        raise NotAsSigned(f"{place}: cannot be read ({error.strerror})", "check the permissions") from None


def _verify(directory: Path, trusted: TrustedKey | TrustedIdentity) -> dict[str, str]:
    key = read_public_key(trusted.path) if isinstance(trusted, TrustedKey) else None
    listing = package_listing(directory)
    place = directory / SIGNATURE
    if SIGNATURE not in listing:
        raise NotSigned(
            f"{directory}: not signed, there is no {SIGNATURE}",
            "sign the build with `zooc sign`, or use it without a trusted key",
        )
    bundle = place.read_bytes()
    try:
        by, signed = _read(bundle)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise NotAsSigned(f"{place}: not a signature of `zooc sign`, or damaged", _AGAIN) from None
    if (key is None) != (by is None):
        how = "without a key, by an identity" if by is None else "with a key"
        raise NotAsSigned(f"{place}: signed {how}", "verify it the way it was signed")
    if key is not None and by != fingerprint(key):
        raise NotAsSigned(
            f"{place}: signed with another key ({str(by)[:16]}...) than the trusted one "
            f"({fingerprint(key)[:16]}...)",
            "check which key the publisher uses",
        )
    bytecode = [name for name in listing if is_bytecode(name)]
    _verify_by_library(directory, bundle, trusted, key, signed, [SIGNATURE, *bytecode])
    _check_files(directory, signed)
    for name in bytecode:
        if (complaint := complaint_about(directory / name)) is not None:
            raise StrangeBytecode(f"{directory / name}: {complaint}", "delete the __pycache__ folders")
    return signed


def package_listing(directory: Path) -> list[str]:
    """Return the files of a folder, sorted, as relative POSIX paths.

    Raises:
        NotAsSigned: there is a link or something else that is no file, or a folder cannot be read.
    """

    def unreadable(error: OSError) -> None:
        raise NotAsSigned(f"{error.filename}: cannot be read ({error.strerror})", "check the permissions")

    found = []
    for folder, folders, names in os.walk(directory, onerror=unreadable):
        for name in (*folders, *names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode) or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "not an ordinary file"
                raise NotAsSigned(
                    f"{path}: {kind}, which no package has", "put an ordinary file in its place"
                )
        found += [Path(folder, name).relative_to(directory).as_posix() for name in names]
    return sorted(found)


def _verify_by_library(
    directory: Path,
    bundle: bytes,
    trusted: TrustedKey | TrustedIdentity,
    key: Any,
    signed: Mapping[str, str],
    ignored: list[str],
) -> None:
    hashing, verifying = (
        importlib.import_module(f"model_signing.{name}") for name in ("hashing", "verifying")
    )
    config = verifying.Config()
    with tempfile.TemporaryDirectory() as folder:
        signature, public = Path(folder, SIGNATURE), Path(folder, "key.pub")
        signature.write_bytes(bundle)  # the very bytes that were read here
        if isinstance(trusted, TrustedKey):
            public.write_bytes(public_pem(key))
            config.use_elliptic_key_verifier(public_key=public)
        else:
            try:
                config.use_sigstore_verifier(identity=trusted.identity, oidc_issuer=trusted.issuer)
            except Exception as error:  # of many libraries: the root of trust is fetched here
                raise SigningMissing(
                    f"sigstore's root of trust cannot be had ({error})",
                    "check the network, or use signatures with a key",
                ) from None
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False))
        try:
            config.verify(directory, signature)
        except Exception as error:  # whatever it is, the signature has not been found to be good
            _check_files(directory, signed)
            detail = str(error) or type(error).__name__
            raise NotAsSigned(
                f"{directory / SIGNATURE}: does not hold ({detail})",
                "get the package again from where you trust it",
            ) from None


def _check_files(directory: Path, signed: Mapping[str, str]) -> None:
    """Names what differs between the files and the list of a signature."""
    there = {name for name in package_listing(directory) if not is_bytecode(name)} - {SIGNATURE}
    common = sorted(there & signed.keys())
    changed = [name for name in common if sha256_of(directory / name) != signed[name]]
    differences = {
        "changed": changed,
        "missing": sorted(signed.keys() - there),
        "not signed": sorted(there - signed.keys()),
    }
    found = [f"{_shown(name)} is {how}" for how, names in differences.items() for name in names]
    if found:
        more = f", and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        build = " (the signature may be of another build)" if MANIFEST in changed else ""
        raise NotAsSigned(f"{directory}: {', '.join(found[:_MOST_NAMED])}{more}{build}", _AGAIN)


def _shown(name: str) -> str:
    """A name from a stranger, with nothing in it that a terminal would obey."""
    return name if name.isprintable() else ascii(name)


def _read(bundle: bytes) -> tuple[str | None, dict[str, str]]:
    """The key's fingerprint (`None` where signed without one) and the files' hashes, both still unproven."""
    document = _json(bundle)
    if document.keys() != {"mediaType", "verificationMaterial", "dsseEnvelope"}:
        raise ValueError("other entries than a bundle's")
    by = None
    if "publicKey" in (material := document["verificationMaterial"]):
        by = material["publicKey"]["hint"]
        if not isinstance(by, str):
            raise ValueError("no fingerprint")
    statement = _json(base64.b64decode(document["dsseEnvelope"]["payload"], validate=True))
    serialization = statement["predicate"]["serialization"]
    if (statement["predicateType"], serialization["method"]) != (_PREDICATE, "files"):
        raise ValueError("another kind of statement")
    resources = statement["predicate"]["resources"]
    signed = {entry["name"]: entry["digest"] for entry in resources if entry["algorithm"] == "sha256"}
    if len(signed) != len(resources) or not all(
        isinstance(text, str) for pair in signed.items() for text in pair
    ):
        raise ValueError("another hash, a name twice, or no text")
    return by, signed


def _json(data: bytes) -> dict[str, Any]:
    found = json.loads(data, object_pairs_hook=_unique)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("an entry twice")
    return found
