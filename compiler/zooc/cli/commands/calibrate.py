"""`zooc calibrate FILE`, and `merge`, `show`, `export`, `import` of what it writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from zooc.cli.cluster import RayOption, workers_at
from zooc.cli.completion import descriptions
from zooc.cli.error_boundary import as_json, guard, print_json, show
from zooc.cli.options import (
    App,
    Format,
    FormatOption,
    QuietOption,
    SetOption,
    VariantOption,
    VerboseOption,
    VerifyImagesOption,
)

if TYPE_CHECKING:
    from zooc.calibration.file import Calibration
    from zooc.calibration.ranges import Ranges
    from zooc.diagnostics.diagnostic import Diagnostic
    from zooc.pipeline.context import Context
    from zooc.pipeline.quantize import Int8Quantizer
    from zooc_runtime.support.shards import Shard

__all__ = ["app"]

_DEFAULT = "file"


class _FileOrCommand(TyperGroup):
    """`calibrate net.zoo` means `calibrate file net.zoo`; a file named like a command is `./merge`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = App(
    cls=_FileOrCommand,
    no_args_is_help=True,
    help="Measure activations once, in parts if need be: zooc calibrate FILE -o all.calib.",
    epilog="Examples: zooc calibrate net.zoo --shard 3/8 -o part3.calib · "
    "zooc calibrate merge part*.calib -o all.calib · zooc compile net.zoo --ranges all.calib · "
    "zooc calibrate net.zoo --ray auto -o all.calib",
)

CalibArgument = Annotated[Path, typer.Argument(help="A .calib file.", show_default=False)]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.", show_default=False)
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="percentile(P), kl_divergence, mse, max or auto (default: percentile(99.99)).",
        show_default=False,
    ),
]


@app.command(_DEFAULT, epilog="`zooc calibrate FILE` is short for `zooc calibrate file FILE`.")
def calibrate_file(
    file: Annotated[
        Path, typer.Argument(help="The .zoo file.", autocompletion=descriptions, show_default=False)
    ],
    output: OutputOption,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard", metavar="I/N", help="Only the I-th of N parts of the images.", show_default=False
        ),
    ] = None,
    variant: VariantOption = None,
    overrides: SetOption = None,
    ray: RayOption = None,
    force: ForceOption = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    verify_images: VerifyImagesOption = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """The default, `zooc calibrate FILE`: run FILE's calibration images and write what was measured."""

    def work() -> int:
        from zooc.calibration.file import EXISTS
        from zooc.pipeline.calibrate import measure
        from zooc.support.files import refuse_existing

        part = _shard(shard)
        silent = quiet or output_format is Format.json
        with _alone(output):
            refuse_existing(output, force=force, code=EXISTS)
            quantizer, context = _prepared(
                file, variant, overrides, no_cache, silent, verbose, verify_images=verify_images
            )
            with workers_at(ray, context.progress) as context.workers:
                calibration = measure(quantizer, part, context)
            calibration.save(output, force=force)
        _report(context.diagnostics(), output, calibration, output_format, quiet)
        return 0

    guard(work, output_format, verbose=verbose)


@app.command(epilog="Example: zooc calibrate merge part*.calib -o all.calib")
def merge(
    parts: Annotated[list[Path], typer.Argument(help="The .calib files of all shards.", show_default=False)],
    output: OutputOption,
    partial: Annotated[bool, typer.Option("--partial", help="Accept that shards are missing.")] = False,
    force: ForceOption = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Put shards together; the result is that of a single run, to the bit, whatever their order."""

    def work() -> int:
        from zooc.calibration.file import EXISTS, Calibration
        from zooc.calibration.file import merge as merge_parts
        from zooc.support.files import refuse_existing

        refuse_existing(output, force=force, code=EXISTS)
        whole, warnings = merge_parts([(path, Calibration.load(path)) for path in parts], partial=partial)
        whole.save(output, force=force)
        _report(warnings, output, whole, output_format, quiet)
        return 0

    guard(work, output_format)


@app.command(
    "show", epilog="Examples: zooc calibrate show all.calib · zooc calibrate show all.calib --method mse"
)
def show_command(
    file: CalibArgument,
    method: MethodOption = None,
    output_format: FormatOption = Format.human,
) -> None:
    """Print a calibration as a table, a line a tensor; the text can be edited and given to --ranges."""

    def work() -> int:
        from zooc.calibration.file import Calibration
        from zooc.calibration.table import describe, format_table, notes_of, ranges_of, to_json

        calibration = Calibration.load(file)
        if output_format is Format.json:
            print_json(to_json(calibration, file, method))
        else:
            ranges = ranges_of(calibration, file, method)
            about = describe(calibration, method)
            typer.echo(format_table(ranges, about=about, notes=notes_of(calibration)), nl=False)
        return 0

    guard(work, output_format)


@app.command(epilog="Example: zooc calibrate export all.calib --method mse -o table.txt")
def export(
    file: CalibArgument,
    output: OutputOption,
    method: MethodOption = None,
    force: ForceOption = False,
    output_format: FormatOption = Format.human,
) -> None:
    """Write a calibration's ranges as text: `name threshold min max`, a line a tensor."""

    def work() -> int:
        from zooc.calibration.file import EXISTS, Calibration
        from zooc.calibration.table import describe, format_table, ranges_of
        from zooc.support.files import refuse_existing, write_file

        calibration = Calibration.load(file)
        text = format_table(ranges_of(calibration, file, method), about=describe(calibration, method))
        refuse_existing(output, force=force, code=EXISTS)
        write_file(output, text)
        if output_format is Format.json:
            print_json({"ok": True, "file": str(output)})
        return 0

    guard(work, output_format)


@app.command("import", epilog="Example: zooc calibrate import table.txt net.zoo -o edited.calib")
def import_command(
    table: Annotated[Path, typer.Argument(help="Lines of `name threshold min max`.", show_default=False)],
    file: Annotated[
        Path, typer.Argument(help="The .zoo file it is for.", autocompletion=descriptions, show_default=False)
    ],
    output: OutputOption,
    variant: VariantOption = None,
    overrides: SetOption = None,
    force: ForceOption = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Check TABLE against FILE's network and bind it to that network as a .calib file."""

    def work() -> int:
        from zooc.calibration.file import EXISTS
        from zooc.pipeline.calibrate import bind_table
        from zooc.support.files import refuse_existing

        refuse_existing(output, force=force, code=EXISTS)
        silent = quiet or output_format is Format.json
        quantizer, context = _prepared(file, variant, overrides, False, silent, False, table)
        calibration = bind_table(quantizer, table)
        calibration.save(output, force=force)
        _report(context.diagnostics(), output, calibration, output_format, quiet)
        return 0

    guard(work, output_format)


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Hold the output's lock.

    Raises:
        ZoocError: Z0646, another run holds it, or it cannot be made.
    """
    from zooc.diagnostics.diagnostic import ZoocError, error
    from zooc_runtime.errors import PackageError
    from zooc_runtime.support.lock import locked

    with ExitStack() as held:
        try:
            held.enter_context(locked(output))
        except PackageError as problem:
            message, _, hint = str(problem).partition("; ")
            raise ZoocError(error("Z0646", message, hint=hint)) from None
        yield


def _shard(text: str | None) -> Shard:
    """What `--shard` means.

    Raises:
        ZoocError: Z0460, it is no shard.
    """
    from zooc.diagnostics.diagnostic import ZoocError, error
    from zooc_runtime.errors import PackageError
    from zooc_runtime.support.shards import WHOLE, Shard

    try:
        return WHOLE if text is None else Shard.parse(text)
    except PackageError as problem:
        message, _, hint = str(problem).partition("; ")
        raise ZoocError(error("Z0460", message, hint=hint)) from None


def _prepared(
    file: Path,
    variant: str | None,
    overrides: list[str] | None,
    no_cache: bool,
    quiet: bool,
    verbose: bool,
    ranges: Path | None = None,
    *,
    verify_images: bool = False,
) -> tuple[Int8Quantizer, Context]:
    """What calibrates the description; `prepare` refuses descriptions that have nothing to calibrate."""
    from zooc.compilation import Request
    from zooc.pipeline.calibrate import prepare
    from zooc.pipeline.context import Context
    from zooc.support.cache import Cache, default_root
    from zooc.support.progress import make_progress

    cache = Cache(None if no_cache else default_root())
    progress = make_progress(quiet=quiet, verbose=verbose)
    context = Context(cache, progress, stop_before="emit", verify_images=verify_images)
    request = Request(file, variant=variant, overrides=tuple(overrides or ()), ranges=ranges)
    return prepare(request, context), context


def _report(
    warnings: list[Diagnostic], output: Path, calibration: Calibration, output_format: Format, quiet: bool
) -> None:
    tensors: Ranges | Any = calibration.ranges if calibration.histograms is None else calibration.histograms
    images = 0 if calibration.histograms is None else calibration.histograms.images
    shards = [str(shard) for shard in calibration.shards]
    if output_format is Format.json:
        summary = {"file": str(output), "images": images, "tensors": len(tensors), "shards": shards}
        print_json({"ok": True, **summary, "diagnostics": as_json(warnings)})
        return
    show(warnings)
    if not quiet:
        part = "" if shards == ["1/1"] else f" (shard{'s' * (len(shards) > 1)} {', '.join(shards)})"
        measured = f", {images} images{part}" if calibration.histograms is not None else ", imported ranges"
        typer.echo(f"{output}: {len(tensors)} tensors{measured}")
