"""`zooc fmt`: the standard layout of descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.completion import descriptions
from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, QuietOption

__all__ = ["EPILOG", "fmt"]

EPILOG = "Examples: zooc fmt resnest50.zoo · zooc fmt --check *.zoo (for pre-commit)"


def fmt(
    files: Annotated[
        list[Path], typer.Argument(help="The .zoo files.", autocompletion=descriptions, show_default=False)
    ],
    check_only: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if a file would change.")
    ] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Format FILES in place, comments kept."""

    def work() -> int:
        changed = [file for file in files if _format_file(file, write=not check_only)]
        if output_format is Format.json:
            print_json({"ok": not (changed and check_only), "changed": [str(file) for file in changed]})
        elif not quiet:
            for file in changed:
                typer.echo(f"{'would reformat' if check_only else 'reformatted'} {file}")
        return 1 if changed and check_only else 0

    guard(work, output_format)


def _format_file(file: Path, *, write: bool) -> bool:
    """Whether the standard layout differs; with `write` the file gets it, in one step."""
    from zooc.diagnostics.diagnostic import ZoocError
    from zooc.frontend.syntax.formatter import format_source
    from zooc.frontend.syntax.source import read_source
    from zooc.support.files import write_file

    source, diagnostics = read_source(file)
    if source is None:
        raise ZoocError(*diagnostics)
    formatted = format_source(source.text, source.name)
    if formatted == source.text or not write:
        return formatted != source.text
    write_file(file, formatted)
    return True
