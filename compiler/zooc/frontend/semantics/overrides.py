"""Applies what a variant and the command line override to a file's outline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from zooc.diagnostics.diagnostic import Diagnostic, Label, error
from zooc.diagnostics.suggest import did_you_mean
from zooc.frontend.semantics.constants import Definition
from zooc.frontend.semantics.declarations import BlockSettings, Outline, Setting
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import BLOCKS, SPEEDS

__all__ = ["apply_overrides", "check_targets"]

Report = Callable[[Diagnostic], None]

_WHOLE_BLOCKS = ("quantize", "preprocess")
_SPEEDS = tuple(f"quantize.require.{quantity}" for quantity in SPEEDS)
_INT8_ONLY = frozenset(BLOCKS["quantize"]) - {"keep"}


def check_targets(
    entries: Iterable[ast.Entry], base: Outline, report: Report, *, repeats: bool = False
) -> list[ast.Assignment]:
    """Return the assignments whose left side names something that can be overridden; the others are reported.

    Args:
        entries: a variant's content, or the command line's settings.
        base: what there is to override.
        report: takes the findings.
        repeats: whether a later one replaces an earlier one of the same target silently.
    """
    sound: dict[str, ast.Assignment] = {}
    for entry in entries:
        if not isinstance(entry, ast.Assignment):
            continue
        target = entry.target.text
        if not _known(target, base):
            _unknown_target(entry.target, base, report)
        elif target in sound and not repeats:
            label = (Label(sound[target].target.span, "first here"),)
            message = f"`{target}` is overridden twice"
            report(error("Z0107", message, entry.target.span, labels=label, hint="keep one of the two"))
        else:
            sound[target] = entry
    return list(sound.values())


def _known(target: str, base: Outline) -> bool:
    block, dot, statement = target.partition(".")
    if not dot:
        return target in base.lets or target in _WHOLE_BLOCKS
    return statement in BLOCKS.get(block, {}) or target in _SPEEDS


def _unknown_target(target: ast.Reference, base: Outline, report: Report) -> None:
    paths = [f"{block}.{name}" for block, statements in BLOCKS.items() for name in statements]
    paths += _SPEEDS
    hint = did_you_mean(target.text, [*base.lets, *_WHOLE_BLOCKS, *paths])
    if hint is None:
        homes = [path for path in paths if path.endswith(f".{target.text}")]
        hint = f"did you mean `{homes[0]}`?" if homes else f"define it with `let {target.text} = ...` first"
        hint = hint if homes or target.word else None
    notes = ("an override names a `let`, or a block's statement as in `model.source`",)
    report(error("Z0115", f"unknown override target `{target.text}`", target.span, notes=notes, hint=hint))


def apply_overrides(base: Outline, layers: Sequence[Sequence[ast.Assignment]]) -> Outline:
    """Return a new outline in which each layer replaces what the ones before it say."""
    result = Outline(dict(base.lets), dict(base.blocks), base.variants)
    for layer in layers:
        whole_first = sorted(layer, key=lambda entry: entry.target.text not in _WHOLE_BLOCKS)
        for entry in whole_first:
            _apply(entry, result)
    return result


def _apply(entry: ast.Assignment, result: Outline) -> None:
    block, dot, statement = entry.target.text.partition(".")
    settings = result.blocks.get(block, BlockSettings())
    if dot:
        field = Setting(_values(entry, settings), entry.target.span, entry.span)
        result.blocks[block] = replace(settings, fields={**settings.fields, statement: field})
    elif block in result.lets:
        result.lets[block] = Definition(entry.target.parts[0], entry.value)
    elif block == "quantize":
        fields = dict(settings.fields)
        if isinstance(entry.value, ast.Reference) and entry.value.text in ("fp16", "fp32"):
            fields = {name: field for name, field in fields.items() if not _int8_only(name, field)}
        result.blocks[block] = replace(settings, header=(entry.value,), fields=fields)
    else:
        steps = (entry.value,) if isinstance(entry.value, ast.Call) else (_as_statement(entry),)
        result.blocks[block] = replace(settings, steps=steps)


def _values(entry: ast.Assignment, settings: BlockSettings) -> tuple[ast.Expr, ...]:
    """The statement's new values; of a contract only the limit changes."""
    before = settings.fields.get("require")
    is_false = isinstance(entry.value, ast.Reference) and entry.value.word == "false"
    if entry.target.text != "quantize.require" or is_false or before is None or len(before.values) != 3:
        return (entry.value,)
    drop = ast.Reference((ast.Name("drop", entry.target.span),), entry.target.span)
    return (ast.Comparison(drop, entry.value, entry.value.span), *before.values[1:])


def _int8_only(name: str, field: Setting) -> bool:
    last = field.values[-1] if field.values else None
    return name in _INT8_ONLY or (name == "keep" and isinstance(last, ast.Reference) and last.word == "auto")


def _as_statement(entry: ast.Assignment) -> ast.Statement:
    return ast.Statement(ast.Name(entry.value.span.text, entry.value.span), (), entry.value.span)
