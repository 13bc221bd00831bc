"""The command line: `zooc compile`, `check`, `fmt`, `inspect`, `explain`, `cache`.

Errors are rendered and exit codes chosen in `zooc.cli.error_boundary`. Heavy imports happen inside the
commands, so that `--help` and `check` start at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc import __version__
from zooc.cli.commands import calibrate, dataset, export, export_web, new
from zooc.cli.commands import runtime_tools as tools
from zooc.cli.commands.analyze import analyze
from zooc.cli.commands.compare import compare
from zooc.cli.commands.export_vdsp import export_vdsp
from zooc.cli.commands.import_vastai import import_command
from zooc.cli.error_boundary import (
    Format,
    FormatOption,
    QuietOption,
    SetOption,
    VariantOption,
    VerboseOption,
    as_json,
    guard,
    open_streams,
    print_json,
    show,
)

if TYPE_CHECKING:
    from zooc.diagnostics.diagnostic import Diagnostic

__all__ = ["app", "main"]

app = typer.Typer(
    name="zooc",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Compile a vision classifier, its preprocessing and its quantization into one Python package.",
    epilog="Start with: zooc compile resnest50.zoo",
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(no_args_is_help=True, help="Look at or empty the cache of exports and calibrations.")
app.add_typer(cache_app, name="cache")


FileArgument = Annotated[Path, typer.Argument(help="The .zoo file.", show_default=False)]


@app.callback(invoke_without_command=True)
def _zooc(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(f"zooc {__version__}")
        raise typer.Exit


@app.command(
    "compile",
    epilog="Examples: zooc compile resnest50.zoo · zooc compile net.zoo -o out --variant big --set size=256 "
    "· zooc compile net.zoo --for web --for openvino",
)
def compile_command(
    file: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="The package's folder (default: build/NAME).",
            show_default=False,
        ),
    ] = None,
    variant: VariantOption = None,
    overrides: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a package that is already there.")] = False,
    stop_before: Annotated[
        str | None,
        typer.Option(
            "--stop-before",
            metavar="STAGE",
            help="Run the stages up to this one and write no package: analyze, load_model, simplify_graph, "
            "fuse_preprocessing, prepare_for_int8, calibrate_ranges, quantize_network, hold_contract, "
            "assemble_graph, check_result, emit.",
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also time the result on this machine, for the report.")
    ] = False,
    ranges: Annotated[
        Path | None,
        typer.Option(
            "--ranges",
            metavar="FILE",
            help="Take the ranges from a .calib file or a table (see zooc calibrate) instead of calibrating.",
            show_default=False,
        ),
    ] = None,
    consumers: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="RUNTIME",
            help="Also try the graph in another runtime, and fail if it does not take it: web "
            "(onnxruntime-web), node (onnxruntime-node), openvino. Repeatable.",
        ),
    ] = None,
    node_modules: Annotated[
        Path | None,
        typer.Option(
            "--node-modules",
            metavar="DIR",
            help="Where Node.js looks for these packages (default: the current folder, and those above).",
            show_default=False,
        ),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compile FILE into a package that is ready to install."""

    def work() -> int:
        from zooc.cli.summary import print_summary, summarize
        from zooc.compilation import Compilation, Request
        from zooc.pipeline.compile import run, stage_names
        from zooc.support.cache import Cache, default_root
        from zooc.support.progress import make_progress

        if stop_before is not None and stop_before not in stage_names():
            raise typer.BadParameter(
                f"{stop_before!r} is no stage; the stages are {', '.join(stage_names())}",
                param_hint="--stop-before",
            )
        wanted = tuple(dict.fromkeys(consumers or ()))
        for consumer in wanted:
            _check_consumer_name(consumer)
        if node_modules is not None and not node_modules.is_dir():
            raise typer.BadParameter(f"there is no folder {str(node_modules)!r}", param_hint="--node-modules")
        place = output and Path(os.path.expanduser(output))  # noqa: PTH111 - an unknown ~user stays as it is
        request = Request(
            file=file,
            output=place,
            variant=variant,
            overrides=tuple(overrides or ()),
            force=force,
            stop_before=stop_before,
            measure=measure,
            ranges=ranges,
            consumers=wanted,
            node_modules=node_modules,
        )
        progress = make_progress(quiet=quiet or output_format is Format.json, verbose=verbose)
        compilation = Compilation(request, Cache(None if no_cache else default_root()), progress)
        run(compilation)
        if output_format is Format.json:
            print_json({"ok": True, **summarize(compilation), "diagnostics": as_json(compilation.warnings)})
        else:
            show(compilation.warnings)
            print_summary(compilation, quiet=quiet)
        return 0

    guard(work, output_format, verbose=verbose)


@app.command(epilog="Examples: zooc check resnest50.zoo · zooc check *.zoo --format json")
def check(
    files: Annotated[list[Path], typer.Argument(help="The .zoo files.", show_default=False)],
    variant: VariantOption = None,
    overrides: SetOption = None,
    require_files: Annotated[
        bool, typer.Option("--require-files", help="Weights, images and labels that are missing are errors.")
    ] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Check FILES without compiling: every error of a file in one run.

    Files that a description names need not be here; what is missing is a warning.
    """

    def work() -> int:
        from zooc.frontend.semantics.analyze import load_deployment

        found: list[Diagnostic] = []
        for file in files:
            found += load_deployment(file, variant, tuple(overrides or ()), may_miss_files=not require_files)[
                1
            ]
        errors = sum(d.severity == "error" for d in found)
        if output_format is Format.json:
            print_json({"ok": not errors, "diagnostics": as_json(found)})
        else:
            show(found)
            if not errors and not quiet:
                typer.echo(f"{', '.join(map(str, files))}: no errors")
        return 1 if errors else 0

    guard(work, output_format)


@app.command(epilog="Examples: zooc fmt resnest50.zoo · zooc fmt --check *.zoo (for pre-commit)")
def fmt(
    files: Annotated[list[Path], typer.Argument(help="The .zoo files.", show_default=False)],
    check_only: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if a file would change.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Format FILES in place, comments kept."""

    def work() -> int:
        changed = [file for file in files if _format_file(file, write=not check_only)]
        if not quiet:
            for file in changed:
                typer.echo(f"{'would reformat' if check_only else 'reformatted'} {file}")
        return 1 if changed and check_only else 0

    guard(work)


@app.command(epilog="Examples: zooc explain Z0103 · zooc explain --format json Z0103")
def explain(
    code: Annotated[str, typer.Argument(help="A code such as Z0103.", show_default=False)],
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


@app.command(
    "inspect",
    epilog="Examples: zooc inspect resnest50.zoo · zooc inspect net.onnx · zooc inspect build/resnest50",
)
def inspect_command(
    path: Annotated[
        Path, typer.Argument(help="A .zoo file, an ONNX file or a package's folder.", show_default=False)
    ],
    variant: VariantOption = None,
    overrides: SetOption = None,
    output_format: FormatOption = Format.human,
    verbose: VerboseOption = False,
) -> None:
    """Show inputs, operators, parameters, FLOPs and sizes of PATH."""

    def work() -> int:
        from rich.console import Console

        from zooc.inspection.render import render
        from zooc.pipeline.inspect import inspect_path

        inspection = inspect_path(path, variant=variant, overrides=tuple(overrides or ()))
        if output_format is Format.json:
            print_json(inspection.to_json())
        else:
            render(inspection, Console())
        return 0

    guard(work, output_format, verbose=verbose)


app.command(
    "import",
    epilog="Examples: zooc import resnest.yaml --vdsp vdsp_params.json -o resnest.zoo · zooc import p.json",
)(import_command)
app.command(epilog="Examples: zooc analyze net.zoo · zooc analyze build/net --on images/ --top 10")(analyze)
app.command(epilog="Example: zooc compare build/net_float build/net --on val/ --labels folders")(compare)
app.command("export-vdsp", epilog="Example: zooc export-vdsp resnest.zoo -o vdsp_params.json")(export_vdsp)


@cache_app.command("info")
def cache_info(output_format: FormatOption = Format.human) -> None:
    """Show where the cache is and how large it is."""

    def work() -> int:
        from zooc.support.cache import Cache, default_root

        root = default_root()
        size = Cache(root).size()
        if output_format is Format.json:
            print_json({"folder": str(root), "bytes": size})
        else:
            typer.echo(f"{root}: {size / 1e6:.1f} MB")
        return 0

    guard(work, output_format)


@cache_app.command("clear")
def cache_clear() -> None:
    """Empty the cache; the next compile exports and calibrates anew."""

    def work() -> int:
        from zooc.support.cache import Cache, default_root

        cache = Cache(default_root())
        size = cache.size()
        cache.clear()
        typer.echo(f"removed {size / 1e6:.1f} MB")
        return 0

    guard(work)


def _check_consumer_name(name: str) -> None:
    from zooc.consumers.check import CONSUMERS
    from zooc.diagnostics.suggest import did_you_mean

    if name not in CONSUMERS:
        advice = did_you_mean(name, CONSUMERS) or f"known are {', '.join(CONSUMERS)}"
        raise typer.BadParameter(f"{name!r} is no runtime; {advice}", param_hint="--for")


def _format_file(file: Path, *, write: bool) -> bool:
    """Whether the standard layout differs; with `write` the file gets it, in one step."""
    from zooc.diagnostics.diagnostic import ZoocError, error
    from zooc.frontend.syntax.formatter import format_source
    from zooc.frontend.syntax.source import read_source

    source, diagnostics = read_source(file)
    if source is None:
        raise ZoocError(*diagnostics)
    formatted = format_source(source.text, source.name)
    if formatted == source.text or not write:
        return formatted != source.text
    scratch = file.with_name(f".{file.name}.zooc-fmt")
    try:
        scratch.write_text(formatted, "utf-8", newline="")
        scratch.chmod(file.stat().st_mode & 0o7777)
        scratch.replace(file)
    except OSError as problem:
        scratch.unlink(missing_ok=True)
        raise ZoocError(
            error(
                "Z0702", f"cannot write {file}: {problem.strerror}", hint="check its permissions and the disk"
            )
        ) from None
    return True


app.add_typer(dataset.app, name="dataset")
app.add_typer(calibrate.app, name="calibrate")
tools.register(app)
app.command("new", epilog=new.EPILOG)(new.new)
app.command("export", epilog=export.EPILOG)(export.export)
app.command("export-web", epilog=export_web.EPILOG)(export_web.export_web)


def main() -> None:
    """Entry point of the `zooc` command."""
    open_streams()
    try:
        Path.cwd()
    except OSError:
        sys.exit("error: the current folder does not exist any more; change to another one")
    app()
