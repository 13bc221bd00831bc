"""`zooc tune FILE`: which layers compute in integers, by measuring on this machine."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.completion import descriptions
from zooc.cli.error_boundary import as_json, guard, print_json, show
from zooc.cli.options import (
    Format,
    FormatOption,
    QuietOption,
    SetOption,
    VariantOption,
    VerboseOption,
    VerifyImagesOption,
)

if TYPE_CHECKING:
    from zooc.pipeline.tune import Tuning

__all__ = ["EPILOG", "tune"]

EPILOG = (
    "Examples: zooc tune net.zoo -o net.placement · zooc compile net.zoo --placement net.placement · "
    "zooc tune net.zoo -o net.placement --engine both --for throughput --time-limit 1h"
)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Engine(str, Enum):
    """What is timed."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"
    both = "both"


class Goal(str, Enum):
    """What is to be fast: one image, or many."""

    latency = "latency"
    throughput = "throughput"


def tune(
    file: Annotated[
        Path, typer.Argument(help="The .zoo file.", autocompletion=descriptions, show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The table to write.", show_default=False)
    ],
    engine: Annotated[
        Engine, typer.Option("--engine", help="The engine that is timed; both: what is faster in the two.")
    ] = Engine.onnxruntime,
    goal: Annotated[
        Goal, typer.Option("--for", help="One image on all cores, or an image on every core.")
    ] = Goal.latency,
    time_limit: Annotated[
        str,
        typer.Option(
            "--time-limit", metavar="TIME", help="After which nothing more is tried: 90s, 10m or 1h."
        ),
    ] = "10m",
    variant: VariantOption = None,
    overrides: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a table that is already there.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    verify_images: VerifyImagesOption = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Measure which layers of FILE's int8 network are faster in float, for zooc compile --placement."""

    def work() -> int:
        from zooc.compilation import Request
        from zooc.pipeline.context import Context
        from zooc.pipeline.tune import TuneRequest
        from zooc.pipeline.tune import tune as measure
        from zooc.quantization.placement_table import BEGINS, EXISTS, format_placement
        from zooc.support.cache import Cache, default_root
        from zooc.support.files import refuse_existing, write_file
        from zooc.support.progress import make_progress

        seconds = _seconds(time_limit)
        refuse_existing(output, force=force, code=EXISTS, begins=BEGINS)
        engines = ("onnxruntime", "openvino") if engine is Engine.both else (engine.value,)
        request = Request(file, variant=variant, overrides=tuple(overrides or ()))
        progress = make_progress(quiet=quiet or output_format is Format.json, verbose=verbose)
        cache = Cache(None if no_cache else default_root())
        context = Context(cache, progress, stop_before="hold_contract", verify_images=verify_images)
        found = measure(TuneRequest(request, engines, goal.value, seconds), context)
        write_file(output, format_placement(found.placement))
        warnings = context.diagnostics()
        if output_format is Format.json:
            summary = {"file": str(output), **found.to_json()}
            print_json({"ok": True, **summary, "diagnostics": as_json(warnings)})
            return 0
        show(warnings)
        if quiet:
            typer.echo(str(output))
        else:
            _print(found, file, output)
        return 0

    guard(work, output_format, verbose=verbose)


def _print(found: Tuning, file: Path, output: Path) -> None:
    import shlex

    typer.echo(f"{output}: {found.placement.in_words()}")
    ratios = zip(found.placement.engines, found.over_float.by_engine, strict=True)
    typer.echo("  " + ", ".join(f"{ratio:.2f} times as fast as float32 in {e.engine}" for e, ratio in ratios))
    if not found.finished:
        typer.echo("  the time was up before all regions were tried; the same command with --force continues")
    typer.echo(f"  use it:  zooc compile {shlex.quote(str(file))} --placement {shlex.quote(str(output))}")


def _seconds(text: str) -> float:
    """A span of time in seconds.

    Raises:
        ZoocError: Z0440.
    """
    from zooc.cli.model_arguments import span_of
    from zooc.diagnostics.diagnostic import ZoocError, error

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip(), re.ASCII)
    if match is not None and (seconds := float(match[1]) * _UNITS[match[2]]) > 0:
        return seconds
    hint = "write a number and its unit, for example 90s, 10m or 1h"
    raise ZoocError(error("Z0440", f"{text!r} is no span of time", span_of("--time-limit", text), hint=hint))
