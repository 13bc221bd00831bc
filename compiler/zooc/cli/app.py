"""The command line as a whole: which commands there are, in the order of `zooc --help`.

Each command has a file of its own in `commands/`. Errors are rendered and exit codes chosen in
`error_boundary`. Heavy imports happen inside the commands, so that `--help` and `check` start at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from zooc import __version__
from zooc.cli.commands import (
    cache,
    calibrate,
    check,
    dataset,
    doctor,
    explain,
    export,
    export_docker,
    export_kserve,
    export_triton,
    export_web,
    fmt,
    init,
    lsp,
    new,
    runtime_tools,
    sign,
    watch,
)
from zooc.cli.commands import compile as compile_
from zooc.cli.commands import inspect as inspect_
from zooc.cli.commands import report as report_
from zooc.cli.commands import tune as tune_
from zooc.cli.commands.analyze import analyze
from zooc.cli.commands.compare import compare
from zooc.cli.commands.export_vdsp import export_vdsp
from zooc.cli.commands.import_vastai import import_command
from zooc.cli.error_boundary import open_streams
from zooc.cli.options import App

__all__ = ["app", "main"]

app = App(
    name="zooc",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Compile a vision classifier, its preprocessing and its quantization into one Python package.",
    epilog="Start with: zooc compile resnest50.zoo",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _zooc(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(f"zooc {__version__}")
        raise typer.Exit


app.command("compile", epilog=compile_.EPILOG)(compile_.compile_command)
app.command("tune", epilog=tune_.EPILOG)(tune_.tune)
app.command("check", epilog=check.EPILOG)(check.check)
app.command("watch", epilog=watch.EPILOG)(watch.watch)
app.command("fmt", epilog=fmt.EPILOG)(fmt.fmt)
app.command("lsp", epilog=lsp.EPILOG)(lsp.lsp)
app.command("explain", epilog=explain.EPILOG)(explain.explain)
app.command("inspect", epilog=inspect_.EPILOG)(inspect_.inspect_command)
app.command(
    "import",
    epilog="Examples: zooc import resnest.yaml --vdsp vdsp_params.json -o resnest.zoo · zooc import p.json",
)(import_command)
app.command(epilog="Examples: zooc analyze net.zoo · zooc analyze build/net --on images/ --top 10")(analyze)
app.command(epilog="Example: zooc compare build/net_float build/net --on val/ --labels folders")(compare)
app.command("report", epilog=report_.EPILOG)(report_.report)
app.command("export-vdsp", epilog="Example: zooc export-vdsp resnest.zoo -o vdsp_params.json")(export_vdsp)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.add_typer(cache.app, name="cache")
app.add_typer(dataset.app, name="dataset")
app.add_typer(calibrate.app, name="calibrate")
runtime_tools.register(app)
app.command("new", epilog=new.EPILOG)(new.new)
app.command("init", epilog=init.EPILOG)(init.init)
app.command("export", epilog=export.EPILOG)(export.export)
app.command("export-docker", epilog=export_docker.EPILOG)(export_docker.export_docker)
app.command("export-kserve", epilog=export_kserve.EPILOG)(export_kserve.export_kserve)
app.command("export-triton", epilog=export_triton.EPILOG)(export_triton.export_triton)
app.command("export-web", epilog=export_web.EPILOG)(export_web.export_web)
app.command("sign", epilog=sign.SIGN_EPILOG)(sign.sign)
app.command("verify", epilog=sign.VERIFY_EPILOG)(sign.verify)


def main() -> None:
    """Entry point of the `zooc` command."""
    open_streams()
    try:
        Path.cwd()
    except OSError:
        sys.exit("error: the current folder no longer exists; change to another one")
    app()
