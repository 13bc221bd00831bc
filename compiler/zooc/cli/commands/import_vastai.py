"""`zooc import`: vamc's YAML and vdsp's JSON to a `.zoo` file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.error_boundary import as_json, guard, print_json, show
from zooc.cli.options import Format, FormatOption, QuietOption

if TYPE_CHECKING:
    from zooc.deployment import ModelSource, Preprocess

__all__ = ["import_command"]


def import_command(
    file: Annotated[
        Path,
        typer.Argument(help="A vamc build configuration (YAML), or a vdsp_params JSON.", show_default=False),
    ],
    vdsp: Annotated[
        Path | None,
        typer.Option("--vdsp", metavar="JSON", help="The vdsp_params file that goes with the YAML."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="ZOO", help="The result, - for standard output (default: -)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Turn FILE into a commented .zoo file.

    Files that the result names need not be here. Where the YAML, the JSON and the model's own recipe
    contradict each other, warnings give the values.
    """

    def work() -> int:
        from zooc.frontend.syntax.formatter import format_source
        from zooc.support.files import refuse_existing, write_file
        from zooc.vastai.import_files import import_files

        target = None if output == Path("-") else output
        imported = import_files(file, vdsp, output=target, recipe_of=recipe_of)
        text = None if imported.text is None else format_source(imported.text, str(target or "<result>"))
        if text is not None and target is not None:
            refuse_existing(target, force=force, code="Z0812")
            write_file(target, text)
        if output_format is Format.json:
            print_json({"ok": text is not None, "text": text, "diagnostics": as_json(imported.diagnostics)})
        else:
            show(imported.diagnostics)
            if text is not None and target is None:
                typer.echo(text, nl=False)
            elif text is not None and not quiet:
                typer.echo(f"wrote {target}; next: zooc check {shlex.quote(str(target))}")
        return 0 if text is not None else 1

    guard(work, output_format)


def recipe_of(source: ModelSource) -> tuple[Preprocess, int, int] | None:
    """Return the model's own preprocessing and size; `None` if the name or the library is not known here."""
    from zooc.diagnostics.diagnostic import ZoocError
    from zooc.networks.recipes.find import find_recipe

    try:
        recipe = find_recipe(source)
    except ZoocError:
        return None
    return recipe.preprocess, recipe.height, recipe.width
