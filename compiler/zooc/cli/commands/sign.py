"""`zooc sign PKG` and `zooc verify PKG`: whom a package is from, told without running anything of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, QuietOption

if TYPE_CHECKING:
    from zooc_runtime.package.trust import TrustedIdentity, TrustedKey

__all__ = ["SIGN_EPILOG", "VERIFY_EPILOG", "sign", "verify"]

SIGN_EPILOG = (
    "Examples: zooc sign build/net --key key.pem · zooc sign build/net --keyless "
    "· zooc sign build/net --key key.pem --password-file pass.txt"
)
VERIFY_EPILOG = (
    "Examples: zooc verify build/net --key key.pub "
    "· zooc verify env/lib/python3.12/site-packages/net --key key.pub "
    "· zooc verify build/net --identity me@example.org --issuer https://accounts.google.com"
)

PackageArgument = Annotated[
    Path, typer.Argument(metavar="PKG", help="The folder that zooc compile wrote.", show_default=False)
]


def sign(
    package: PackageArgument,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The private key: PEM, curve P-256.", show_default=False),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            help="The key's passphrase is this file's first line.",
            show_default=False,
        ),
    ] = None,
    keyless: Annotated[
        bool,
        typer.Option(
            "--keyless", help="Sign as the identity of this CI job or of a login in the browser, by sigstore."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a signature that is already there.")
    ] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Sign every file of PKG, with a key or keyless; the signature is model.sig in the package."""
    if keyless == (key is not None):
        raise typer.BadParameter("give --key FILE or --keyless, one of them", param_hint="--key")
    if keyless and password_file is not None:
        raise typer.BadParameter("--keyless has no key and no passphrase", param_hint="--password-file")

    def work() -> int:
        from zooc.package.sign import key_signer, keyless_signer, sign_package
        from zooc_runtime.package.manifest import SIGNATURE

        signer = keyless_signer() if key is None else key_signer(key, password_file)
        signed = sign_package(package, signer, force=force)
        place = str(signed.directory / SIGNATURE)
        if output_format is Format.json:
            print_json({"ok": True, "signature": place, "signed_by": signer.by, "files": signed.files})
        elif quiet:
            typer.echo(place)
        else:
            typer.echo(f"{place}: {signed.files} files of {signed.name} {signed.version}")
            typer.echo(f"  signed by {signer.by}")
        return 0

    guard(work, output_format)


def verify(
    package: Annotated[
        Path,
        typer.Argument(
            metavar="PKG",
            help="The folder that zooc compile wrote, or an installed package's folder.",
            show_default=False,
        ),
    ],
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUB", help="The publisher's public key, PEM.", show_default=False),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="WHO",
            help="Whose keyless signature it must be: an address, or a CI workflow's.",
            show_default=False,
        ),
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option("--issuer", metavar="URL", help="Who vouches for the identity.", show_default=False),
    ] = None,
    delete_bytecode: Annotated[
        bool,
        typer.Option(
            "--delete-bytecode", help="First delete the .pyc files in PKG; Python makes them again."
        ),
    ] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Check that PKG is as its publisher signed it, without running or importing anything of it."""
    trusted = _trusted(key, identity, issuer)

    def work() -> int:
        from zooc.package.sign import verify_package

        found = verify_package(package, trusted, delete_bytecode=delete_bytecode)
        if output_format is Format.json:
            facts = {"package": str(found.directory), "name": found.name, "version": found.version}
            print_json({"ok": True, **facts, "files": found.files})
        elif not quiet:
            signed = f"{found.files} files of {found.name} {found.version} are as signed"
            typer.echo(f"{found.directory}: {signed}")
        return 0

    guard(work, output_format)


def _trusted(key: Path | None, identity: str | None, issuer: str | None) -> TrustedKey | TrustedIdentity:
    from zooc_runtime.package.trust import TrustedIdentity, TrustedKey

    if key is not None and identity is None and issuer is None:
        return TrustedKey(key)
    if key is None and identity is not None and issuer is not None:
        return TrustedIdentity(identity, issuer)
    raise typer.BadParameter("give --key PUB, or --identity WHO and --issuer URL", param_hint="--key")
