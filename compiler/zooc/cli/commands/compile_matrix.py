"""`zooc compile A B --all-variants`: many packages, and one table of what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zooc.cli.cluster import workers_at
from zooc.cli.error_boundary import print_json
from zooc.cli.junit import write_cases
from zooc.cli.options import Format

if TYPE_CHECKING:
    from zooc.pipeline.matrix import Cell, Outcome
    from zooc_runtime.support.junit import Case

__all__ = ["compile_matrix"]

_INTERRUPTED = 130


def compile_matrix(
    files: Sequence[Path],
    *,
    all_variants: bool,
    variant: str | None,
    root: Path | None,
    options: tuple[str, ...],
    jobs: int | None,
    ray: str | None,
    junit: Path | None,
    output_format: Format,
    quiet: bool,
) -> int:
    """Compile every description and variant; one that fails is named, the others are done.

    Returns:
        The exit code: 0 if all packages were written, 1 if one was not, 130 if interrupted.

    Raises:
        ZoocError: Z0645, two would be written to one folder; the cluster cannot be used.
    """
    from zooc.pipeline.matrix import CompileJob, Processes, checked, default_jobs, plan
    from zooc.support.progress import make_progress
    from zooc_runtime.support.ray_workers import RayWorkers

    cells = plan(
        files, all_variants=all_variants, variant=variant, root=root or Path("build"), options=options
    )
    progress = make_progress(quiet=quiet or output_format is Format.json)
    found = {place: outcome for place, cell in enumerate(cells) if (outcome := checked(cell)) is not None}
    todo = [place for place in range(len(cells)) if place not in found]
    interrupted = False
    with workers_at(ray, progress) as cluster, progress.track("compiling", len(todo)) as advance:
        remote = isinstance(cluster, RayWorkers)
        workers = cluster if isinstance(cluster, RayWorkers) else Processes(jobs or default_jobs())
        try:
            with closing(workers.map(CompileJob(again=remote), [cells[place] for place in todo])) as outcomes:
                for index, outcome in outcomes:
                    found[todo[index]] = outcome
                    progress.note(_line(outcome))
                    advance(1)
        except KeyboardInterrupt:
            interrupted = True
    rows = [found[place].to_json() for place in sorted(found)]
    failed = [row for row in rows if row["state"] == "failed"]
    left = [cell for place, cell in enumerate(cells) if place not in found]
    if junit is not None:
        write_cases(junit, "zooc compile", _cases(rows, left))
    if output_format is Format.json:
        unfinished = [{"file": str(cell.file), "variant": cell.variant} for cell in left]
        print_json({"ok": not failed and not left, "compiles": rows, "not_compiled": unfinished})
    else:
        for row in failed:
            for problem in row["diagnostics"]:
                typer.echo(_complaint(row, problem), err=True)
        _print_table(rows)
        for cell in left:
            typer.echo(f"not compiled: {cell.in_words()}", err=True)
    if interrupted:
        return _INTERRUPTED
    return 1 if failed else 0


def _line(outcome: Outcome) -> str:
    state = "done" if outcome.done else "failed"
    return f"{outcome.cell.in_words()}: {state} after {outcome.seconds:.1f} s"


def _cases(rows: Sequence[dict[str, Any]], left: Sequence[Cell]) -> list[Case]:
    """A test a compile, skipped where an interruption came before it."""
    from zooc_runtime.support.junit import Case

    cases = []
    for row in rows:
        name = row["file"] if row["variant"] is None else f"{row['file']}, variant {row['variant']}"
        said = "\n".join(_complaint(row, problem) for problem in row["diagnostics"])
        failed = row["state"] == "failed"
        cases.append(Case(name, said if failed else None, output="" if failed else said))
    return [*cases, *(Case(cell.in_words(), skipped="interrupted") for cell in left)]


def _complaint(row: dict[str, Any], problem: dict[str, Any]) -> str:
    place = row["file"] if problem["line"] is None else f"{problem['file']}:{problem['line']}"
    hint = "" if problem["hint"] is None else f"; {problem['hint']}"
    return f"{place}: {problem['severity']}[{problem['code']}]: {problem['message']}{hint}"


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    """A line a compile, in columns as wide as what is in them."""
    head = ("name", "variant", "state", "size", "same top-1", "SQNR", "seconds", "package or errors")
    lines = [head, *(_columns(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _columns(row: dict[str, Any]) -> tuple[str, ...]:
    def shown(key: str, form: str) -> str:
        return "-" if row[key] is None else form.format(row[key])

    return (
        Path(row["file"]).stem,
        row["variant"] or "-",
        row["state"],
        "-" if row["bytes"] is None or row["package"] is None else f"{row['bytes'] / 1e6:.1f} MB",
        shown("top1_agreement", "{:.1%}"),
        shown("sqnr_db", "{:.1f} dB"),
        f"{row['seconds']:.1f}",
        row["package"] or ", ".join(dict.fromkeys(row["codes"])),
    )
