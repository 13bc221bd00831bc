"""`zooc explain`: what a diagnostic means, or a word of the language."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from zooc.cli.completion import codes
from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption

__all__ = ["EPILOG", "explain"]

EPILOG = "Examples: zooc explain Z0103 · zooc explain Resize · zooc explain --format json Z0103"


def explain(
    code: Annotated[
        str,
        typer.Argument(
            metavar="CODE|WORD",
            help="A code such as Z0103, or a word of the language such as Resize or calibrate.",
            autocompletion=codes,
            show_default=False,
        ),
    ],
    output_format: FormatOption = Format.human,
) -> None:
    """Explain a diagnostic CODE (what it means, an example, the remedy), or a WORD of the language."""

    def work() -> int:
        page = _page(code)
        if output_format is Format.json:
            print_json({"code": code.upper() if _is_code(code) else code, "text": page})
        elif sys.stdout.isatty():
            from rich.console import Console
            from rich.markdown import Markdown

            Console().print(Markdown(page))
        else:
            typer.echo(page)
        return 0

    guard(work, output_format)


def _is_code(text: str) -> bool:
    return text[:1] in "zZ" and text[1:].isdecimal()


def _page(code: str) -> str:
    from zooc.diagnostics.pages import explain as look_up
    from zooc.diagnostics.pages import near_codes
    from zooc.diagnostics.suggest import did_you_mean
    from zooc.diagnostics.words import known_words, meanings
    from zooc.frontend.syntax.vocabulary import RESERVED

    if (page := look_up(code)) is not None:
        return page
    if found := meanings(code):
        return "".join(f"{meaning.section}: {meaning.markdown}\n\n" for meaning in found)
    near = near_codes(code) if _is_code(code) else []
    words = sorted({*known_words(), *RESERVED})
    hint = f"did you mean {' or '.join(near)}?" if near else did_you_mean(code, words)
    hint = hint or "a code is like Z0103, a word like Resize"
    raise typer.BadParameter(f"there is no code {code!r}, and no such word; {hint}", param_hint="CODE|WORD")
