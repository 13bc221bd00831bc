"""`zooc explain`: what a diagnostic means."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from zooc.cli.completion import codes
from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption

__all__ = ["EPILOG", "explain"]

EPILOG = "Examples: zooc explain Z0103 · zooc explain --format json Z0103"


def explain(
    code: Annotated[
        str, typer.Argument(help="A code such as Z0103.", autocompletion=codes, show_default=False)
    ],
    output_format: FormatOption = Format.human,
) -> None:
    """Explain a diagnostic CODE: what it means, an example, the remedy."""

    def work() -> int:
        from zooc.diagnostics.pages import explain as look_up
        from zooc.diagnostics.pages import near_codes

        page = look_up(code)
        if page is None:
            near = near_codes(code)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise typer.BadParameter(f"there is no code {code!r}{hint}", param_hint="CODE")
        if output_format is Format.json:
            print_json({"code": code.upper(), "text": page})
        elif sys.stdout.isatty():
            from rich.console import Console
            from rich.markdown import Markdown

            Console().print(Markdown(page))
        else:
            typer.echo(page)
        return 0

    guard(work, output_format)
