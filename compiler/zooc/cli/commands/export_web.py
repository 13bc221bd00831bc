"""`zooc export-web`: a package as a page that classifies images in the browser."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.completion import packages
from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, QuietOption

__all__ = ["EPILOG", "export_web"]

EPILOG = (
    "Example: zooc export-web build/resnest50 -o web && python -m http.server --directory web "
    "(then open the address that it prints)"
)


class Backend(str, Enum):
    """What computes in the browser."""

    wasm = "wasm"
    webgpu = "webgpu"


def export_web(
    package: Annotated[
        Path,
        typer.Argument(
            help="The folder that zooc compile wrote.", autocompletion=packages, show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The page's folder.", show_default=False)
    ],
    backend: Annotated[
        Backend,
        typer.Option(
            "--backend", help="webgpu uses the GPU where the browser offers it; wasm runs in any browser."
        ),
    ] = Backend.wasm,
    node_modules: Annotated[
        Path | None,
        typer.Option(
            "--node-modules",
            metavar="DIR",
            help="Where onnxruntime-web is installed (default: the current folder, and those above).",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that is already there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Write PACKAGE as a page that classifies images in the browser, offline too.

    Needs onnxruntime-web from npm, whose files it copies.
    """

    def work() -> int:
        from zooc.package.emit import absolute_place
        from zooc.package.install import place
        from zooc.package.web_page import not_of_a_page, web_page

        files = web_page(package, backend.value, node_modules or Path.cwd())
        folder = absolute_place(output)
        place(files, folder, force=force, foreign=not_of_a_page)
        size = sum(map(len, files.values()))
        if output_format is Format.json:
            print_json({"ok": True, "page": str(folder), "bytes": size, "files": sorted(files)})
        elif quiet:
            typer.echo(str(folder))
        else:
            typer.echo(f"{folder}  ({size / 1e6:.1f} MB)")
            typer.echo(f"  try it:  python -m http.server --directory {shlex.quote(str(folder))}")
            typer.echo(
                "  Browsers load such pages from a server only, such as this local one; no network is needed."
            )
        return 0

    guard(work, output_format)
