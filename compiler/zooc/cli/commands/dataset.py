"""`zooc dataset valprep` and `zooc dataset sample`."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.options import App, Format, FormatOption, QuietOption

__all__ = ["app"]

app = App(no_args_is_help=True, help="Put image sets in order: class folders, calibration sets.")


class _How(str, Enum):
    link = "link"
    copy = "copy"
    move = "move"


class _SampleHow(str, Enum):
    copy = "copy"
    link = "link"


@app.command(
    epilog="Example: zooc dataset valprep ILSVRC2012_img_val_flat val_label.txt -o ILSVRC2012_img_val",
)
def valprep(
    folder: Annotated[Path, typer.Argument(help="The flat validation images.", show_default=False)],
    truth: Annotated[
        Path,
        typer.Argument(
            help="Their classes: val_label.txt, a synset a line, LOC_val_solution.csv, or valprep.sh.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the synset folders.", show_default=False
        ),
    ],
    how: Annotated[
        _How, typer.Option(help="link needs no disk space; move removes the original.")
    ] = _How.link,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count only; change nothing.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Continue if images that the list names are missing.")
    ] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Arrange the flat ILSVRC2012 validation images into one folder a synset.

    All is checked before anything is touched, no file is ever replaced, and an interrupted run goes on when
    repeated.
    """

    def work() -> int:
        from zooc.datasets.valprep import arrange
        from zooc_runtime.support.error_boundary import note, progress, say

        result = arrange(
            folder,
            truth,
            output,
            how=how.value,
            dry_run=dry_run,
            partial=partial,
            report=lambda done, total: progress(f"{done} of {total}", quiet=quiet),
        )
        progress("", last=True, quiet=quiet)
        if output_format is Format.json:
            say(json.dumps({"ok": True, "dry_run": dry_run, **vars(result)}, indent=2))
        else:
            done = {"link": "linked", "copy": "copied", "move": "moved"}[how.value]
            say(
                f"{output}: {result.images} images in {result.folders} folders "
                f"({result.done} {'to be ' if dry_run else ''}{done}, {result.kept} there already)"
            )
        if result.missing:
            note(f"{result.missing} images that {truth} names are missing")
        return 0

    _leave(work)


@app.command(
    epilog="Example: zooc dataset sample ILSVRC2012_img_val --per-class 1 --seed 0 -o ILSVRC2012_img_calib",
)
def sample(
    folder: Annotated[Path, typer.Argument(help="Images in one folder for each class.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the drawn images.", show_default=False
        ),
    ],
    per_class: Annotated[int, typer.Option("--per-class", min=1, metavar="N", help="Images per class.")] = 1,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="Another seed draws other images.")
    ] = 0,
    suffix: Annotated[
        str | None,
        typer.Option("--suffix", metavar="SUFFIX", help="Only images with this suffix, e.g. JPEG."),
    ] = None,
    how: Annotated[_SampleHow, typer.Option(help="copy, or link to save disk space.")] = _SampleHow.copy,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Draw a class-balanced calibration set; unreadable images are named and others drawn instead."""

    def work() -> int:
        from zooc.datasets.sample import sample as draw
        from zooc_runtime.support.error_boundary import note, say

        result = draw(folder, output, per_class=per_class, seed=seed, suffix=suffix, how=how.value)
        for complaint in result.skipped:
            note(f"skipped: {complaint}")
        if result.short and not quiet:
            name, count = next(iter(result.short.items()))
            note(
                f"{len(result.short)} classes have fewer than {per_class} images ({name} has {count}); "
                "all are taken"
            )
        if output_format is Format.json:
            say(json.dumps({"ok": True, **vars(result)}, indent=2, ensure_ascii=False))
        else:
            say(
                f"{output}: {result.images} images of {result.classes} classes, {len(result.skipped)} skipped"
            )
        return 0

    _leave(work)


def _leave(work: Callable[[], int]) -> None:
    """Runs a command as the packages' tools are run: a mistake is one line, with its remedy."""
    from zooc_runtime.support.error_boundary import guarded

    raise typer.Exit(guarded(work))
