"""From the syntax tree to a checked `Deployment`, reporting all errors of a file in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from zooc.deployment import Deployment, Model, Postprocess, Preprocess, Quantize
from zooc.diagnostics.diagnostic import Diagnostic, SourceFile, Span, error, warning
from zooc.diagnostics.suggest import all_of, did_you_mean
from zooc.frontend.semantics.blocks.kept_ranges import needs_images, source_without_ranges
from zooc.frontend.semantics.blocks.model import read_model
from zooc.frontend.semantics.blocks.package import read_package
from zooc.frontend.semantics.blocks.postprocess import read_heads, read_postprocess
from zooc.frontend.semantics.blocks.preprocess import read_preprocess
from zooc.frontend.semantics.blocks.quantize import read_quantize
from zooc.frontend.semantics.blocks.required_speed import speed_contradictions
from zooc.frontend.semantics.constants import Scope
from zooc.frontend.semantics.declarations import BlockSettings, Outline, outline
from zooc.frontend.semantics.overrides import apply_overrides, check_targets
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.parser import parse, parse_override
from zooc.frontend.syntax.source import read_source
from zooc.support.limits import MAX_FINDINGS

__all__ = ["analyze", "load_deployment", "variant_names"]

Report = Callable[[Diagnostic], None]


def load_deployment(
    path: str | Path,
    variant: str | None = None,
    overrides: Sequence[str] = (),
    *,
    may_miss_files: bool = False,
    may_miss_data: bool = False,
) -> tuple[Deployment | None, list[Diagnostic]]:
    """Read, parse and analyze one `.zoo` file.

    Args:
        path: the file.
        variant: the variant's name.
        overrides: `NAME=VALUE` each, as `--set` takes them.
        may_miss_files: files that the description names and that are not there are warnings, for a check on
            another machine than the one that compiles.
        may_miss_data: so is the folder of calibration images, for a compile that is given the ranges.

    Returns:
        The deployment, `None` if there are errors; and all findings, warnings included.
    """
    source, diagnostics = read_source(path)
    if source is None:
        return None, diagnostics
    tree, diagnostics = parse(source)
    if tree is None:
        return None, diagnostics
    return analyze(
        tree,
        path=Path(path),
        variant=variant,
        overrides=overrides,
        may_miss_files=may_miss_files,
        may_miss_data=may_miss_data,
    )


def variant_names(tree: ast.File) -> tuple[str, ...]:
    """Return the names of the variants in the order of the file."""
    return tuple(outline(tree, lambda _: None).variants)


def analyze(
    tree: ast.File,
    *,
    path: Path,
    variant: str | None = None,
    overrides: Sequence[str] = (),
    may_miss_files: bool = False,
    may_miss_data: bool = False,
) -> tuple[Deployment | None, list[Diagnostic]]:
    """Check `tree` as `variant` and the command line's `--set` values make it.

    The variants that are not chosen are checked too, as far as their own lines go; whether the files that
    they name exist is only looked at for the chosen one.

    Args:
        tree: the parsed file.
        path: where it lies; its relative paths start there.
        variant: the variant's name.
        overrides: `NAME=VALUE` each, as `--set` takes them; later ones win.
        may_miss_files: files that are not there are warnings.
        may_miss_data: so is the folder of calibration images.

    Returns:
        The deployment, `None` if there are errors; and all findings in the order of the text.
    """
    diagnostics: list[Diagnostic] = []
    report = diagnostics.append
    base = outline(tree, report)
    command_line = _command_line(overrides, base, report)
    layers: list[list[ast.Assignment]] = []
    used: set[str] = set()
    assignments = {
        name: check_targets(block.entries or (), base, report) for name, block in base.variants.items()
    }
    if variant is not None and variant not in assignments:
        hint = did_you_mean(variant, assignments)
        notes = (f"the variants are {all_of(assignments)}" if assignments else "the file has no variants",)
        report(error("Z0116", f"unknown variant `{variant}`", notes=notes, hint=hint))
    elif variant is not None:
        layers.append(assignments[variant])
    chosen = apply_overrides(base, [*layers, command_line])
    reader = Reader(
        Scope(chosen.lets, report),
        path.absolute().parent,
        report,
        may_be_missing=may_miss_files,
        may_miss_data=may_miss_data,
    )
    deployment = _describe(tree.source, chosen, path, reader, used)
    for name, block in base.variants.items():
        if name != variant:
            found: list[Diagnostic] = []
            changed = apply_overrides(base, [assignments[name]])
            scope = Scope(changed.lets, found.append)
            reader = Reader(scope, path.absolute().parent, found.append, check_files=False)
            _describe(tree.source, changed, path, reader, used)
            diagnostics += [finding for finding in found if _inside(finding.span, block.span)]
    if layers or command_line:  # what an override drops may be all that uses a `let`
        unheard: list[Diagnostic] = []
        scope = Scope(base.lets, unheard.append)
        quiet = Reader(scope, path.absolute().parent, unheard.append, check_files=False)
        _describe(tree.source, base, path, quiet, used)
    for name, definition in base.lets.items():
        if name not in used:
            hint = "delete it, or use it"
            report(warning("Z0113", f"`{name}` is never used", definition.name.span, hint=hint))
    found = sorted(dict.fromkeys(diagnostics), key=lambda finding: _order(finding, tree.source))
    found = _most_telling(found)
    if deployment is None or any(finding.severity == "error" for finding in found):
        return None, found
    return replace(deployment, variant=variant, overrides=tuple(overrides)), found


def _most_telling(found: list[Diagnostic]) -> list[Diagnostic]:
    """No more than are read, and errors before warnings where there are more."""
    if len(found) <= MAX_FINDINGS:
        return found
    kept = set(sorted(range(len(found)), key=lambda place: found[place].severity)[:MAX_FINDINGS])
    return [finding for place, finding in enumerate(found) if place in kept]


def _command_line(overrides: Sequence[str], base: Outline, report: Report) -> list[ast.Assignment]:
    parsed: list[ast.Assignment] = []
    for text in overrides:
        assignment, diagnostics = parse_override(text)
        for diagnostic in diagnostics:
            report(diagnostic)
        if assignment is not None:
            parsed.append(assignment)
    return check_targets(parsed, base, report, repeats=True)


def _describe(
    source: SourceFile, effective: Outline, path: Path, reader: Reader, used: set[str]
) -> Deployment | None:
    path, report = path.absolute(), reader.report
    blocks = effective.blocks
    start = Span(source, 0, 0)
    model: Model | None = None
    if "model" in blocks:
        model = read_model(blocks["model"], reader)
    else:
        hint = (
            "add for example `model { source timm.resnet50  weights pretrained  input [batch, 3, 224, 224] }`"
        )
        report(error("Z0108", "the file lacks a `model` block", start, hint=hint))
    preprocess: Preprocess | None = None
    if "preprocess" in blocks:
        shape = model.input if model else None
        preprocess = read_preprocess(blocks["preprocess"], shape, shape.span if shape else None, reader)
    quantize = read_quantize(blocks["quantize"], reader) if "quantize" in blocks else Quantize()
    heads: tuple[Postprocess, ...] | None = None
    if "heads" in blocks:
        model, heads = read_heads(blocks["heads"], blocks.get("postprocess"), model, reader)
    elif one := read_postprocess(blocks.get("postprocess", BlockSettings()), model, reader):
        heads = (one,)
    package = read_package(blocks.get("package", BlockSettings()), reader, path=path, fallback=start)
    used |= reader.scope.used
    if model is None or quantize is None or heads is None or package is None:
        return None
    if preprocess is None and "preprocess" in blocks:
        return None
    if quantize.ranges == "source" and (finding := source_without_ranges(model, quantize)) is not None:
        report(finding)
        return None
    if contradictions := speed_contradictions(quantize, package):
        for finding in contradictions:
            report(finding)
        return None
    if preprocess is None and needs_images(quantize):
        report(
            error(
                "Z0455",
                "int8 is calibrated on images, and without a `preprocess` block zooc cannot convert an image "
                "to the network's input",
                quantize.span,
                hint="add a `preprocess` block, or compile the tensor form as fp32 or fp16",
            )
        )
        return None
    return Deployment(model, preprocess, quantize, heads, package, path, source.text)


def _inside(span: Span | None, outer: Span) -> bool:
    return (
        span is not None
        and span.source is outer.source
        and outer.start <= span.start
        and span.end <= outer.end
    )


def _order(finding: Diagnostic, main: SourceFile) -> tuple[int, int]:
    if finding.span is None:
        return 0, 0
    return (1 if finding.span.source is not main else 2), finding.span.start
