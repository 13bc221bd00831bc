"""`zooc compile`: a description into a package."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.cluster import RayOption, workers_at
from zooc.cli.commands.compile_matrix import compile_matrix
from zooc.cli.completion import descriptions, runtimes
from zooc.cli.error_boundary import as_json, guard, print_json, show
from zooc.cli.junit import JunitOption, check_junit, write_junit
from zooc.cli.options import (
    Format,
    FormatOption,
    QuietOption,
    SetOption,
    VariantOption,
    VerboseOption,
    VerifyImagesOption,
)
from zooc.pipeline.stages import STAGES

if TYPE_CHECKING:
    from zooc.diagnostics.diagnostic import Diagnostic
    from zooc.pipeline.compile import WrittenPackage

__all__ = ["EPILOG", "compile_command"]

EPILOG = (
    "Examples: zooc compile resnest50.zoo · zooc compile net.zoo -o out --variant big --set size=256 "
    "· zooc compile net.zoo --for web --for openvino · zooc compile a.zoo b.zoo --all-variants"
)

FilesArgument = Annotated[
    list[Path],
    typer.Argument(help="The .zoo file; or several.", autocompletion=descriptions, show_default=False),
]


def compile_command(
    files: FilesArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="The package's folder (default: build/NAME); of several packages the folder around them.",
            show_default=False,
        ),
    ] = None,
    variant: VariantOption = None,
    all_variants: Annotated[
        bool,
        typer.Option(
            "--all-variants", help="Compile each file as it is and in every variant, to DIR/FILE-VARIANT."
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            help="Of several compiles so many at a time (default: by cores and free memory).",
            show_default=False,
        ),
    ] = None,
    ray: RayOption = None,
    overrides: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a package that is already there.")] = False,
    stop_before: Annotated[
        str | None,
        typer.Option(
            "--stop-before",
            metavar="STAGE",
            help=f"Run the stages up to this one and write no package: {', '.join(STAGES)}.",
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
    placement: Annotated[
        Path | None,
        typer.Option(
            "--placement",
            metavar="FILE",
            help="Leave the layers in float that zooc tune has measured to be faster so.",
            show_default=False,
        ),
    ] = None,
    consumers: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="RUNTIME",
            autocompletion=runtimes,
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
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail, and write no package, where int8 is poor (see `warn`).")
    ] = False,
    save_ranges: Annotated[
        Path | None,
        typer.Option(
            "--save-ranges",
            metavar="FILE",
            help="Also write the ranges as a table, with which --ranges compiles to the same bytes.",
            show_default=False,
        ),
    ] = None,
    junit: JunitOption = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    verify_images: VerifyImagesOption = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compile FILES into packages that are ready to install.

    With --ray a single compile calibrates on the cluster; of several compiles each runs on a worker.
    """

    def work() -> int:
        from zooc.cli.summary import print_package
        from zooc.compilation import Request
        from zooc.pipeline.compile import compile_package
        from zooc.pipeline.context import Context, Stopped
        from zooc.support.cache import Cache, default_root
        from zooc.support.progress import make_progress

        if stop_before is not None and stop_before not in STAGES:
            raise typer.BadParameter(
                f"{stop_before!r} is no stage; the stages are {', '.join(STAGES)}",
                param_hint="--stop-before",
            )
        wanted = tuple(dict.fromkeys(consumers or ()))
        for consumer in wanted:
            _check_consumer_name(consumer)
        if node_modules is not None and not node_modules.is_dir():
            raise typer.BadParameter(f"there is no folder {str(node_modules)!r}", param_hint="--node-modules")
        if junit is not None:
            check_junit(junit)
        place = output and Path(os.path.expanduser(output))  # noqa: PTH111 - an unknown ~user stays as it is
        if jobs is not None and ray is not None:
            raise typer.BadParameter("a cluster has its own number of workers", param_hint="--jobs")
        if len(files) > 1 or all_variants:
            _refuse_for_many(
                {
                    "--stop-before": stop_before,
                    "--measure": measure,
                    "--ranges": ranges,
                    "--placement": placement,
                    "--for": wanted,
                    "--save-ranges": save_ranges,
                    "--variant": all_variants and variant,
                }
            )
            flags = {
                "--force": force,
                "--strict": strict,
                "--no-cache": no_cache,
                "--verify-images": verify_images,
            }
            options = [part for value in overrides or () for part in ("--set", value)]
            return compile_matrix(
                files,
                all_variants=all_variants,
                variant=variant,
                root=place,
                options=(*options, *(name for name, on in flags.items() if on)),
                jobs=jobs,
                ray=ray,
                junit=junit,
                output_format=output_format,
                quiet=quiet,
            )
        if jobs is not None:
            raise typer.BadParameter("is for several compiles", param_hint="--jobs")
        (file,) = files
        request = Request(
            file=file,
            output=place,
            variant=variant,
            overrides=tuple(overrides or ()),
            force=force,
            measure=measure,
            ranges=ranges,
            placement=placement,
            save_ranges=save_ranges,
            strict=strict,
            consumers=wanted,
            node_modules=node_modules,
        )
        progress = make_progress(quiet=quiet or output_format is Format.json, verbose=verbose)
        cache = Cache(None if no_cache else default_root())
        context = Context(cache, progress, stop_before, verify_images=verify_images)
        package: WrittenPackage | None = None
        with (
            _failure_written(junit, file, context.diagnostics),
            workers_at(ray, progress) as context.workers,
            suppress(Stopped),
        ):
            package = compile_package(request, context)
        warnings = context.diagnostics()
        if junit is not None:
            write_junit(junit, "zooc compile", [(str(file), warnings)], _held(package))
        if output_format is Format.json:
            summary = {"stopped_before": stop_before, **context.facts}
            print_json({"ok": True, **summary, "diagnostics": as_json(warnings)})
            return 0
        show(warnings)
        if package is None and not quiet:
            typer.echo(f"stopped before {stop_before}; no package was written")
        elif package is not None and quiet:
            typer.echo(str(package.folder))
        elif package is not None:
            print_package(package)
        return 0

    guard(work, output_format, verbose=verbose)


def _refuse_for_many(given: Mapping[str, object]) -> None:
    for option in (name for name, value in given.items() if value):
        raise typer.BadParameter("is for a single compile", param_hint=option)


@contextmanager
def _failure_written(
    junit: Path | None, file: Path, warnings: Callable[[], Sequence[Diagnostic]]
) -> Iterator[None]:
    """Write JUnit's report where the compile of `file` fails."""
    from zooc.diagnostics.diagnostic import ZoocError

    try:
        yield
    except ZoocError as problem:
        if junit is not None:
            write_junit(junit, "zooc compile", [(str(file), [*warnings(), *problem.diagnostics])])
        raise


def _held(package: WrittenPackage | None) -> list[tuple[str, str]]:
    """What the description requires and the package holds, each with the figures in words."""
    if package is None:
        return []
    compiled = package.compiled
    held = [] if compiled.contract is None else [("accuracy contract", compiled.contract.in_words())]
    if compiled.speed:
        held.append(("required speed", "\n".join(compiled.speed.in_words())))
    return held


def _check_consumer_name(name: str) -> None:
    from zooc.consumers.check import CONSUMERS
    from zooc.diagnostics.suggest import did_you_mean

    if name not in CONSUMERS:
        advice = did_you_mean(name, CONSUMERS) or f"known are {', '.join(CONSUMERS)}"
        raise typer.BadParameter(f"{name!r} is no runtime; {advice}", param_hint="--for")
