"""Whose signature is trusted: that of a public key, or of an identity; and what can be wrong with one."""

from __future__ import annotations

import hashlib
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PackageError

__all__ = [
    "NotAsSigned",
    "NotSigned",
    "SignatureError",
    "SigningMissing",
    "StrangeBytecode",
    "TrustedIdentity",
    "TrustedKey",
    "UnusableKey",
    "elliptic_curve",
    "fingerprint",
    "public_pem",
    "read_public_key",
    "require_library",
]

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MAKE = "make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`"
_PUBLIC = "write it with `openssl ec -in key.pem -pubout -out key.pub`"


class SignatureError(PackageError):
    """A package cannot be signed, or is not to be trusted.

    Attributes:
        problem: what is wrong, and where.
        remedy: what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem, self.remedy = problem, remedy


class SigningMissing(SignatureError):
    """The library for signatures is not installed, or sigstore's servers are out of reach."""


class UnusableKey(SignatureError):
    """A file is no key of the right kind."""


class NotSigned(SignatureError):
    """There is no signature."""


class NotAsSigned(SignatureError):
    """The signature is of somebody else or of other files."""


class StrangeBytecode(SignatureError):
    """Byte code would run in place of the signed source."""


@dataclass(frozen=True)
class TrustedKey:
    """Whoever has the private key to this public one, a PEM file."""

    path: str | os.PathLike[str]


@dataclass(frozen=True)
class TrustedIdentity:
    """Whoever `issuer`, an OpenID Connect provider's address, has known as `identity` (keyless signing)."""

    identity: str
    issuer: str


def require_library(extra: str) -> None:
    """Check that the library for signatures is there.

    Args:
        extra: what pip installs it with, such as `zooc[sign]`.

    Raises:
        SigningMissing: it is not.
    """
    try:
        for name in ("model_signing.signing", "model_signing.verifying", "model_signing.hashing"):
            importlib.import_module(name)
    except ImportError as error:
        raise SigningMissing(
            f"signatures need the library model-signing, which cannot be imported ({error})",
            f'pip install "{extra}"',
        ) from None


def read_public_key(path: str | os.PathLike[str]) -> Any:
    """Return a public key of `cryptography`.

    Raises:
        UnusableKey: unreadable, or not the public half of an elliptic curve's key.
    """
    serialization, exceptions = _cryptography()
    if not isinstance(path, str | os.PathLike):
        raise UnusableKey(f"{path!r}: not the path of a public key", "give the path of its PEM file")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnusableKey(f"{path}: cannot be read ({error.strerror})", "check the path") from None
    if b"PRIVATE KEY-----" in data:
        raise UnusableKey(f"{path}: a private key, where the public one is expected", _PUBLIC)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        raise UnusableKey(f"{path}: not a public key in PEM form", _PUBLIC) from None
    return elliptic_curve(key, path)


def elliptic_curve(key: Any, path: str | os.PathLike[str]) -> Any:
    """Return the key, public or private, of a curve that the format has.

    Raises:
        UnusableKey: it is of another kind or curve.
    """
    curve = getattr(getattr(key, "curve", None), "name", None)
    if curve in _CURVES:
        return key
    kind = f"of the curve {curve}" if curve else f"of the kind {type(key).__name__.strip('_')}"
    hint = _MAKE if hasattr(key, "public_key") else "ask the signer for the public key of the signature"
    raise UnusableKey(f"{path}: a key {kind}; those of the curve P-256 (or P-384, P-521) are expected", hint)


def public_pem(key: Any) -> bytes:
    """Return a public key as PEM."""
    serialization, _ = _cryptography()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, form)
    return pem


def fingerprint(key: Any) -> str:
    """Return what model-signing's signatures know a public key by: the sha256 of its PEM form, hex."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def _cryptography() -> tuple[Any, Any]:
    """The library's modules for keys in files and for its errors; model-signing brings it."""
    return (
        importlib.import_module("cryptography.hazmat.primitives.serialization"),
        importlib.import_module("cryptography.exceptions"),
    )
