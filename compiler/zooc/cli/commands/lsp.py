"""`zooc lsp`: the language server for editors."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from zooc.cli.error_boundary import guard

__all__ = ["EPILOG", "lsp"]

EPILOG = "Example: zooc lsp (editors start it; editors/README.md of the sources says how)"


def lsp(
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Standard input and output, the only way; editors may say so.")
    ] = True,
) -> None:
    """Serve editors: diagnostics while one types, completion, hover, names, formatting, fixes."""

    def work() -> int:
        from zooc.diagnostics.diagnostic import ZoocError, error

        if importlib.util.find_spec("pygls") is None:
            message = "zooc lsp needs pygls, which this Python lacks"
            raise ZoocError(error("Z0126", message, hint='pip install "zooc[editor]"'))
        from zooc.editor.server import serve

        serve()
        return 0

    guard(work)
