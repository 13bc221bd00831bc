"""Signs a package, and verifies it from outside: nothing of the package is imported or run.

The signature is `model.sig` in the import package, a sigstore bundle in the format of the OpenSSF's
model-signing, so `model_signing verify` reads it too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.package.install import unknown_entry
from zooc_runtime.errors import PackageError
from zooc_runtime.package import trust
from zooc_runtime.package.bytecode import is_bytecode
from zooc_runtime.package.manifest import MANIFEST, MANIFEST_HASH, SIGNATURE, Manifest, find_package
from zooc_runtime.package.signature import check_signed, package_listing
from zooc_runtime.support.files import written_whole

__all__ = ["Signer", "Verified", "key_signer", "keyless_signer", "sign_package", "verify_package"]

_EXTRA = "zooc[sign]"
_CODES: dict[type[PackageError], str] = {
    trust.SigningMissing: "Z0817",
    trust.UnusableKey: "Z0818",
    trust.NotSigned: "Z0607",
    trust.StrangeBytecode: "Z0609",
}


@dataclass(frozen=True)
class Signer:
    """Who signs.

    Attributes:
        by: the public key's fingerprint, or `sigstore`.
        configure: tells a configuration of model-signing's so.
    """

    by: str
    configure: Callable[[Any], None]


@dataclass(frozen=True)
class Verified:
    """A package that is as signed.

    Attributes:
        directory: its import package.
        name: by its manifest.
        version: by its manifest.
        files: how many files the signature vouches for, those that the manifest vouches for included.
    """

    directory: Path
    name: str
    version: str
    files: int


def key_signer(key: Path, password_file: Path | None) -> Signer:
    """Return who signs with a private key.

    Args:
        key: PEM, of the curve P-256, P-384 or P-521.
        password_file: has the passphrase in its first line, where the key is encrypted.

    Raises:
        ZoocError: Z0817, the library is missing; Z0818, the file is no such key; Z0819, the passphrase.
    """
    with _reported("Z0818"):
        trust.require_library(_EXTRA)
        password = None if password_file is None else _password(password_file)
        private = trust.elliptic_curve(_private_key(key, password), key)

    def configure(config: Any) -> None:
        config.use_elliptic_key_signer(private_key=key, password=password)

    return Signer(trust.fingerprint(private.public_key()), configure)


def keyless_signer() -> Signer:
    """Return who signs as the identity that sigstore knows: a CI job's, or whoever logs in in the browser.

    Raises:
        ZoocError: Z0817, the library is missing. Sigstore's servers are asked when something is signed.
    """
    with _reported("Z0817"):
        trust.require_library(_EXTRA)

    def configure(config: Any) -> None:
        config.use_sigstore_signer(use_ambient_credentials=True)

    return Signer("sigstore", configure)


def sign_package(given: Path, signer: Signer, *, force: bool) -> Verified:
    """Write `model.sig` into a package that is as it was compiled; whole, or not at all.

    Args:
        given: the folder that zooc compile wrote, or the import package in it.
        signer: who signs.
        force: replace a signature.

    Raises:
        ZoocError: Z0820, keyless signing failed; Z0821, it is no package, or changed; Z0822, it is signed
            already; Z0605, the folder cannot be written.
    """
    with _reported("Z0821"):
        manifest = Manifest(find_package(given).absolute())
        listing = package_listing(manifest.directory)
    folder = _build_folder(given, manifest)
    if complaints := [*_changes(manifest), *_beside(folder, manifest)]:
        raise ZoocError(
            error(
                "Z0821",
                f"{given} is not as it was compiled",
                notes=tuple(complaints),
                hint="compile it again with --force, and sign that",
            )
        )
    if SIGNATURE in listing and not force:
        hint = "replace the signature with --force"
        raise ZoocError(error("Z0822", f"{given} is signed already", hint=hint))
    folders = {str(Path(name).parent) for name in manifest.files}
    signature = _signature(manifest.directory, signer, folders)
    place = manifest.directory / SIGNATURE
    try:
        with written_whole(place) as file:
            file.write(signature)
    except OSError as failure:
        message = f"cannot write {place}: {failure.strerror}"
        raise ZoocError(error("Z0605", message, hint="check the permissions of the folder")) from None
    return _verified(manifest, folder)


def verify_package(
    given: Path, trusted: trust.TrustedKey | trust.TrustedIdentity, *, delete_bytecode: bool = False
) -> Verified:
    """Check that a package, built or installed, is as signed; in a build folder the files beside it as well.

    Args:
        given: the folder that zooc compile wrote, or the import package, wherever it is installed.
        trusted: by whom it must be signed.
        delete_bytecode: first delete the byte code in it.

    Raises:
        ZoocError: Z0607, not signed; Z0608, by others, or other files than signed; Z0609, byte code that is
            not of the source; Z0817, Z0818, the library or the key.
    """
    with _reported("Z0608"):
        trust.require_library(_EXTRA)
        manifest = Manifest(find_package(given).absolute())
        if delete_bytecode:
            _delete_bytecode(manifest.directory)
        check_signed(manifest, trusted)
        folder = _build_folder(given, manifest)
        if complaints := list(_beside(folder, manifest)):
            raise trust.NotAsSigned(", ".join(complaints), "get the package again from where you trust it")
    return _verified(manifest, folder)


def _build_folder(given: Path, manifest: Manifest) -> Path | None:
    """The folder around the import package; whoever gives it will install it, whatever it looks like."""
    given = given.absolute()
    return given if given != manifest.directory else manifest.build_folder


def _verified(manifest: Manifest, folder: Path | None) -> Verified:
    files = len(manifest.files) + len((MANIFEST, MANIFEST_HASH))
    if folder is not None:
        files += len(manifest.distribution_files)
    return Verified(manifest.directory, str(manifest["name"]), str(manifest["version"]), files)


def _changes(manifest: Manifest) -> Iterator[str]:
    yield from manifest.changed_files()
    yield from (f"{manifest.directory / name}: not written by zooc" for name in manifest.unexpected_files())


def _beside(folder: Path | None, manifest: Manifest) -> Iterator[str]:
    if folder is not None:
        yield from manifest.changed_distribution_files(folder)
        if (stranger := unknown_entry(folder)) is not None:
            yield f"{folder / stranger}: not written by zooc"


def _delete_bytecode(directory: Path) -> None:
    for path in (directory / name for name in package_listing(directory) if is_bytecode(name)):
        try:
            path.unlink()
        except OSError as failure:
            problem = f"{path}: cannot be deleted ({failure.strerror})"
            raise trust.StrangeBytecode(problem, "check the permissions") from None


def _signature(directory: Path, signer: Signer, folders: set[str]) -> bytes:
    from model_signing import hashing, signing

    ignored = [SIGNATURE, *sorted(str(Path(folder, "__pycache__")) for folder in folders)]
    configuration: Any = signing.Config  # its constructor has no annotations
    hashing_configuration: Any = hashing.Config
    config = configuration().set_hashing_config(
        hashing_configuration().set_ignored_paths(paths=ignored, ignore_git_paths=False)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, SIGNATURE)
        try:
            signer.configure(config)
            config.sign(directory, path)
        except Exception as failure:  # of many libraries: TUF, OpenID Connect, the transparency log
            raise _failed(signer, failure) from None
        return path.read_bytes()


def _failed(signer: Signer, failure: Exception) -> ZoocError:
    detail = (str(failure).splitlines() or [type(failure).__name__])[0]
    if signer.by != "sigstore":
        hint = "give the key as an ordinary file, which can be read twice"
        return ZoocError(error("Z0818", f"signing failed: {detail}", hint=hint))
    return ZoocError(
        error(
            "Z0820",
            f"keyless signing failed: {detail}",
            notes=("it asks sigstore's servers for a certificate and writes to its public log",),
            hint="check the network and the identity, or sign with --key FILE",
        )
    )


def _private_key(path: Path, password: bytes | None) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        data = path.read_bytes()
    except OSError as failure:
        raise trust.UnusableKey(f"{path}: cannot be read ({failure.strerror})", "check the path") from None
    if b"PUBLIC KEY-----" in data:
        problem = f"{path}: a public key, where the private one is expected"
        raise trust.UnusableKey(problem, "sign with the private key, and verify with the public one")
    try:
        return load_pem_private_key(data, password)
    except TypeError:  # cryptography's way to tell encrypted keys from others
        if password is None:
            problem, hint = f"{path} has a passphrase", "give the file that has it with --password-file"
        else:
            problem, hint = f"{path} has no passphrase", "leave out --password-file"
        raise ZoocError(error("Z0819", problem, hint=hint)) from None
    except (ValueError, UnsupportedAlgorithm):
        if password is not None and b"ENCRYPTED" in data:
            hint = "check the file of --password-file: its first line is the passphrase"
            raise ZoocError(error("Z0819", f"{path}: not the right passphrase", hint=hint)) from None
        hint = "make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`"
        raise trust.UnusableKey(f"{path}: not a private key in PEM form", hint) from None


def _password(path: Path) -> bytes:
    try:
        line = path.read_bytes().split(b"\n", 1)[0].removesuffix(b"\r")
    except OSError as failure:
        message = f"{path}: cannot be read ({failure.strerror})"
        raise ZoocError(error("Z0819", message, hint="check the path")) from None
    if not line:
        raise ZoocError(error("Z0819", f"{path}: its first line is empty", hint="write the passphrase there"))
    return line


@contextmanager
def _reported(otherwise: str) -> Iterator[None]:
    """Gives the runtime's errors their codes; those without one of their own get `otherwise`."""
    try:
        yield
    except trust.SignatureError as problem:
        code = _CODES.get(type(problem), otherwise)
        raise ZoocError(error(code, problem.problem, hint=problem.remedy)) from None
    except PackageError as problem:
        raise ZoocError(error(otherwise, str(problem))) from None
