"""`zooc report PKG`: the report of a compiled package, as a page, a model card or JSON."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.completion import packages
from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, QuietOption, VerboseOption

__all__ = ["EPILOG", "report"]

EPILOG = (
    "Examples: zooc report build/net --open · zooc report build/net --format markdown -o MODEL_CARD.md · "
    "zooc report build/net --analyze --on val/ -o net.html"
)


class Kind(str, Enum):
    """What is written."""

    html = "html"
    markdown = "markdown"
    json = "json"


def report(
    package: Annotated[
        Path,
        typer.Argument(
            help="The folder that zooc compile wrote.", autocompletion=packages, show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file (default: NAME-report.html here; markdown and json go to standard output).",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        Kind,
        typer.Option(
            "--format", help="A page, a model card for Hugging Face and GitHub, or all of its data."
        ),
    ] = Kind.html,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    analyze: Annotated[
        bool, typer.Option("--analyze", help="Also measure the error of every layer, on the images of --on.")
    ] = False,
    images: Annotated[
        str | None,
        typer.Option("--on", metavar="IMAGES", help="Images for --analyze.", show_default=False),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=1, help="Maximum number of images for --analyze.")
    ] = 32,
    alone: Annotated[
        int, typer.Option("--alone", min=1, help="Images on which each layer is quantized alone.")
    ] = 8,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write the report of PACKAGE: one file that needs no network to be viewed."""
    output_format = Format.json if kind is Kind.json else Format.human

    def work() -> int:
        from zooc.pipeline.report import EXISTS, ReportRequest, report_text, stored_report
        from zooc.support.cache import Cache
        from zooc.support.files import refuse_existing, write_file
        from zooc.support.progress import make_progress

        _check(kind, images, analyze=analyze, open_it=open_it)
        if output is not None:
            refuse_existing(output, force=force, code=EXISTS)
        progress = make_progress(quiet=quiet or kind is not Kind.html, verbose=verbose)
        request = ReportRequest(package, images, count, min(alone, count))
        stored = stored_report(request, Cache(None), progress)
        text = report_text(stored, kind.value)
        if output is None and kind is not Kind.html:
            typer.echo(text, nl=False)
            return 0
        place = output or Path(f"{stored.manifest['name']}-report.html")
        refuse_existing(place, force=force, code=EXISTS)
        write_file(place, text)
        _tell(place, len(text.encode()), kind, stored.missing, quiet=quiet)
        if open_it:
            _open(place)
        return 0

    guard(work, output_format, verbose=verbose)


def _check(kind: Kind, images: str | None, *, analyze: bool, open_it: bool) -> None:
    """Refuse options that do not go together."""
    if analyze and images is None:
        raise typer.BadParameter("a package contains no images: add --on FOLDER", param_hint="--analyze")
    if images is not None and not analyze:
        raise typer.BadParameter("images are for --analyze: add it, or leave out --on", param_hint="--on")
    if open_it and kind is not Kind.html:
        raise typer.BadParameter(f"a browser shows html, not {kind.value}", param_hint="--open")


def _tell(place: Path, size: int, kind: Kind, missing: str | None, *, quiet: bool) -> None:
    if kind is Kind.json:
        print_json({"ok": True, "file": str(place), "bytes": size})
    elif quiet:
        typer.echo(str(place))
    else:
        typer.echo(f"{place}  ({size / 1e3:.0f} kB)")
        if missing is not None:
            typer.echo(f"  without layers, logits and pictures: {missing}", err=True)


def _open(place: Path) -> None:
    import webbrowser

    if not webbrowser.open(place.absolute().as_uri()):
        typer.echo(f"no browser could be started; open {place} yourself", err=True)
