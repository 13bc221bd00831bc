"""`zooc analyze FILE|PACKAGE`: where int8 loses, layer by layer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.cluster import RayOption, workers_at
from zooc.cli.completion import descriptions_or_packages
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
    from zooc.accuracy.layer_table import LayerRow
    from zooc.pipeline.analyze import Analysis

__all__ = ["analyze"]

_SORT = ("logits", "sqnr", "channels", "cosine", "saturated", "weights", "order")


def analyze(
    path: Annotated[
        Path,
        typer.Argument(
            help="A .zoo file or a package's folder.",
            autocompletion=descriptions_or_packages,
            show_default=False,
        ),
    ],
    images: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="IMAGES",
            help="Images to run on (default: a description's calibration images).",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Maximum number of images.")] = 32,
    alone: Annotated[
        int,
        typer.Option("--alone", min=0, help="Images on which each layer is quantized alone; 0 omits this."),
    ] = 8,
    top: Annotated[int, typer.Option("--top", min=1, help="Layers to show.")] = 20,
    sort: Annotated[
        str,
        typer.Option("--sort", metavar="KEY", help=f"Sort by this column, worst first: {', '.join(_SORT)}."),
    ] = "logits",
    variant: VariantOption = None,
    overrides: SetOption = None,
    ray: RayOption = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    verify_images: VerifyImagesOption = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare the int8 network of PATH with float, layer by layer."""

    def work() -> int:
        from zooc.pipeline.analyze import AnalysisRequest, analyze_path
        from zooc.support.cache import Cache, default_root
        from zooc.support.progress import make_progress

        if sort not in _SORT:
            raise typer.BadParameter(f"{sort!r} is none of {', '.join(_SORT)}", param_hint="--sort")
        progress = make_progress(quiet=quiet or output_format is Format.json, verbose=verbose)
        request = AnalysisRequest(
            path, images, count, min(alone, count), sort, variant, tuple(overrides or ()), verify_images
        )
        cache = Cache(None if no_cache else default_root())
        with workers_at(ray, progress) as workers:
            found = analyze_path(request, cache, progress, workers)
        if output_format is Format.json:
            document = found.to_json()
            document["layers"] = document["layers"][:top]
            print_json({"ok": True, **document, "diagnostics": as_json(found.warnings)})
        else:
            show(found.warnings)
            _print(found, top)
        return 0

    guard(work, output_format, verbose=verbose)


def _print(found: Analysis, top: int) -> None:
    agreement = found.logits
    typer.echo(
        f"{found.name}: int8 against float on {found.images} images: logits {agreement.sqnr_db:.1f} dB, "
        f"cosine {agreement.cosine:.5f}"
        + ("" if agreement.top1 is None else f", same top-1 on {agreement.top1:.1%}")
    )
    if not found.float_weights:
        typer.echo(
            "A package has no float weights: the reference computes with the numbers that its integers stand "
            "for,\nso the rounding of activations shows and that of weights does not. "
            "Analyze the .zoo file to see both."
        )
    typer.echo()
    typer.echo(
        f"{'alone':>7} {'result':>7} {'channels':>8} {'cosine':>8} {'outside':>8} {'range':>19} "
        f"{'observed':>19} {'weights (channel)':>18}  layer"
    )
    for row in found.rows[:top]:
        typer.echo(_line(row))
    if len(found.rows) > top:
        typer.echo(f"... and {len(found.rows) - top} more layers (--top {len(found.rows)})")
    typer.echo(
        "\nalone: dB of the logits when this layer alone is quantized; result: dB of its result, earlier "
        "layers' errors\nincluded; channels: dB that rounding to its own levels leaves, the median over its "
        "channels; outside: share of\nvalues beyond its levels; weights: dB of the output channel that loses "
        "most. Fewer dB are worse."
    )


def _line(row: LayerRow) -> str:
    limits = "" if row.low is None else f"{row.low:.3g} .. {row.high:.3g}"
    observed = f"{row.observed_low:.3g} .. {row.observed_high:.3g}"
    weights = ""
    if row.worst_channel_sqnr_db is not None:
        exact = row.worst_channel_sqnr_db == math.inf
        weights = "exact" if exact else f"{row.worst_channel_sqnr_db:.1f} ({row.worst_channel})"
    outside = "" if row.saturated is None else f"{row.saturated:.3%}"
    return (
        f"{_decibels(row.logits_sqnr_db):>7} {_decibels(row.sqnr_db):>7} {_decibels(row.channel_sqnr_db):>8} "
        f"{row.cosine:>8.5f} {outside:>8} {limits:>19} {observed:>19} {weights:>18}  {row.name}"
        f"{'' if row.int8 else ' (float)'}"
    )


def _decibels(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
