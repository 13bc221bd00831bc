"""`zooc compare PKG_A PKG_B --on IMAGES`: where two packages answer differently."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zooc.cli.cluster import RayOption, workers_at
from zooc.cli.completion import packages
from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import Format, FormatOption, QuietOption, VerboseOption

if TYPE_CHECKING:
    from zooc.pipeline.compare import PackageComparison

__all__ = ["compare"]


def compare(
    first: Annotated[
        Path,
        typer.Argument(metavar="PKG_A", help="The reference.", autocompletion=packages, show_default=False),
    ],
    second: Annotated[
        Path,
        typer.Argument(
            metavar="PKG_B", help="The other package.", autocompletion=packages, show_default=False
        ),
    ],
    images: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="IMAGES",
            help="A folder, a pattern, .tar, .zip, .parquet or list:FILE, at a path or an address.",
            show_default=False,
        ),
    ],
    count: Annotated[
        int | None,
        typer.Option(
            "--count", min=1, help="Number of images, drawn reproducibly (default: all).", show_default=False
        ),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            metavar="KIND",
            help="True classes: folders, none, a file of `name id`, or auto: class folders if they fit.",
        ),
    ] = "auto",
    top: Annotated[
        int, typer.Option("--top", min=0, help="Number of images to list, largest difference first.")
    ] = 5,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Also write a page: both reports side by side, and the images on which the packages part.",
            show_default=False,
        ),
    ] = None,
    ray: RayOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that is already there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run two packages on the same images and compare their answers."""

    def work() -> int:
        from zooc.package.report.read import read_report
        from zooc.pipeline.compare import compare_packages, comparison_page
        from zooc.support.files import refuse_existing, write_file
        from zooc.support.progress import make_progress

        if output is not None:
            refuse_existing(output, force=force, code="Z0471")
        reports = [] if output is None else [read_report(place) for place in (first, second)]
        progress = make_progress(quiet=quiet or output_format is Format.json, verbose=verbose)
        with workers_at(ray, progress) as workers:
            found = compare_packages((first, second), images, count, labels, top, progress, workers)
        if output is not None:
            write_file(output, comparison_page(found, reports))
        if output_format is Format.json:
            print_json({"ok": True, **found.to_json()})
        else:
            _print(found)
        return 0

    guard(work, output_format, verbose=verbose)


def _print(found: PackageComparison) -> None:
    document = found.to_json()
    low, high = document["top1_agreement_interval"]
    typer.echo(
        f"{found.names[0]} against {found.names[1]} on {found.images} images, {len(found.skipped)} skipped"
    )
    typer.echo(f"  same top-1     {document['top1_agreement']:.2%} (95 % interval {low:.2%} to {high:.2%})")
    typer.echo(f"  logits         {found.sqnr_db:.1f} dB, cosine {document['logits']['cosine']:.5f}")
    if (divergence := document["kl_divergence"]) is not None:
        typer.echo(f"  KL divergence  {divergence['mean']:.4f} nats, {divergence['worst']:.3f} at worst")
    for entry in document.get("top1", ()):
        low, high = entry["interval"]
        typer.echo(
            f"  top-1          {entry['rate']:.2%} (95 % interval {low:.2%} to {high:.2%})  "
            f"{entry['package']}"
        )
    if "top1" in document:
        typer.echo(
            f"  right in one   {found.only_first} in the first alone, {found.only_second} in the second "
            f"(McNemar's exact test: p = {document['mcnemar_p']:.3g})"
        )
    for one in found.worst:
        answers = one.first if one.first == one.second else f"{one.first} -> {one.second}"
        typer.echo(f"  cosine {one.cosine:.5f}  {one.name}  {answers}")
    for message in found.skipped[:5]:
        typer.echo(f"  skipped: {message}", err=True)
