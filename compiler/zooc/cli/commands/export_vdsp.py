"""`zooc export-vdsp`: a description's preprocessing as a vdsp_params JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zooc.cli.completion import descriptions
from zooc.cli.error_boundary import as_json, guard, print_json, show
from zooc.cli.options import Format, FormatOption, QuietOption, SetOption, VariantOption

__all__ = ["export_vdsp"]


def export_vdsp(
    file: Annotated[
        Path, typer.Argument(help="The .zoo file.", autocompletion=descriptions, show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="JSON", help="The result, - for standard output (default: -)."
        ),
    ] = None,
    variant: VariantOption = None,
    overrides: SetOption = None,
    approximate: Annotated[
        bool,
        typer.Option("--approximate", help="If no operation performs a step, use the nearest one and warn."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
) -> None:
    """Write the preprocessing of FILE as a vdsp_params JSON, Mean and Std rounded to half precision."""

    def work() -> int:
        from zooc.diagnostics.diagnostic import ZoocError, error, warning
        from zooc.frontend.semantics.analyze import load_deployment
        from zooc.support.files import refuse_existing, write_file
        from zooc.vastai.export_vdsp import NotExpressible, vdsp_document

        deployment, diagnostics = load_deployment(file, variant, tuple(overrides or ()), may_miss_files=True)
        if deployment is None:
            raise ZoocError(*diagnostics)
        preprocess = deployment.preprocess
        if preprocess is None:
            message = "the file has no `preprocess` block, so there is nothing to write"
            raise ZoocError(error("Z0810", message, deployment.model.span))
        # Weights and images that are not here do not matter to a preprocessing.
        diagnostics = [finding for finding in diagnostics if finding.code != "Z0119"]
        try:
            document, changes = vdsp_document(preprocess, approximate=approximate)
        except NotExpressible as refusal:
            hint = "with --approximate the nearest operation is written" if not approximate else None
            raise ZoocError(
                error(
                    "Z0810",
                    f"no vdsp file can express this preprocessing: {refusal.reason}",
                    refusal.span or preprocess.span,
                    hint=hint,
                )
            ) from None
        diagnostics += [warning("Z0811", f"approximated: {change}", preprocess.span) for change in changes]
        text = json.dumps(document, indent=4) + "\n"
        target = None if output == Path("-") else output
        if target is not None:
            refuse_existing(target, force=force, code="Z0812")
            write_file(target, text)
        if output_format is Format.json:
            print_json({"ok": True, "vdsp_params": document, "diagnostics": as_json(diagnostics)})
        else:
            show(diagnostics)
            if target is None:
                typer.echo(text, nl=False)
            elif not quiet:
                typer.echo(f"wrote {target}")
        return 0

    guard(work, output_format)
