"""Sorts a file's items into lets, blocks and variants; reports unknown, misplaced and repeated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from zooc.diagnostics.diagnostic import Diagnostic, Label, Span, error
from zooc.diagnostics.suggest import all_of, did_you_mean
from zooc.frontend.semantics.constants import Definition
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import BLOCKS, EXAMPLES, FUNCTIONS, HEAD, RESERVED, SPEEDS
from zooc.ir.names import RESERVED_TENSORS

__all__ = ["BlockSettings", "Outline", "Setting", "outline"]

Report = Callable[[Diagnostic], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """One statement's values; `name_span` is the statement's word, `span` all of it."""

    values: tuple[ast.Expr, ...]
    name_span: Span
    span: Span


@dataclass(frozen=True, slots=True)
class BlockSettings:
    """One block: what stands before the brace, its statements by name.

    `require latency` and `require throughput` are statements named `require.latency` and so on.
    `preprocess` has steps instead of statements, and `heads` has heads, each with statements.
    """

    header: tuple[ast.Expr, ...] = ()
    fields: dict[str, Setting] = field(default_factory=dict)
    steps: tuple[ast.Entry, ...] = ()
    name_span: Span | None = None
    heads: tuple[tuple[ast.Name, BlockSettings], ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """A file's content by name."""

    lets: dict[str, Definition] = field(default_factory=dict)
    blocks: dict[str, BlockSettings] = field(default_factory=dict)
    variants: dict[str, ast.Block] = field(default_factory=dict)


def outline(tree: ast.File, report: Report) -> Outline:
    """Collect the items of `tree`."""
    result = Outline()
    for item in tree.items:
        if isinstance(item, ast.Let):
            _add_let(item, result, report)
        elif isinstance(item, ast.Assignment):
            hint = (
                f"write `let {item.span.text.splitlines()[0]}`"
                if item.target.word
                else "put it into a `variant`"
            )
            report(
                error(
                    "Z0118",
                    f"`{item.target.text} = ...` is not allowed outside of a block",
                    item.span,
                    hint=hint,
                )
            )
        elif item.name.text == "variant":
            _add_variant(item, result, report)
        elif item.name.text in BLOCKS:
            _add_block(item, result, report)
        else:
            near = did_you_mean(item.name.text, [*BLOCKS, "let"])
            notes = (f"the blocks are {all_of(BLOCKS)}",)
            report(
                error("Z0102", f"unknown block `{item.name.text}`", item.name.span, notes=notes, hint=near)
            )
    return result


def _add_let(item: ast.Let, result: Outline, report: Report) -> None:
    name = item.name
    if name.text in RESERVED:
        message = f"`{name.text}` is a word of the language and cannot be defined"
        report(error("Z0125", message, name.span, hint=f"choose another name, for example `my_{name.text}`"))
    elif name.text in result.lets:
        _twice(f"`{name.text}` is defined twice", name.span, result.lets[name.text].name.span, report)
    else:
        result.lets[name.text] = Definition(name, item.value)


def _twice(message: str, span: Span, first: Span, report: Report) -> None:
    report(error("Z0107", message, span, labels=(Label(first, "first here"),), hint="keep one of the two"))


def _add_variant(item: ast.Block, result: Outline, report: Report) -> None:
    first = item.header[0] if item.header else None
    if (
        not isinstance(first, ast.Reference)
        or first.word is None
        or len(item.header) != 1
        or item.entries is None
    ):
        message = "a variant has a name and a block of overrides"
        report(error("Z0118", message, item.name.span, hint="write `variant NAME { size = 256 }`"))
        return
    if first.word in result.variants:
        before = result.variants[first.word].header[0].span
        _twice(f"the variant `{first.word}` is defined twice", first.span, before, report)
        return
    result.variants[first.word] = item
    for entry in item.entries:
        if not isinstance(entry, ast.Assignment):
            hint = "write `PATH = VALUE`, such as `size = 256` or `model.source = timm.resnet50d`"
            report(error("Z0118", "a variant contains only overrides", entry.span, hint=hint))


def _add_block(item: ast.Block, result: Outline, report: Report) -> None:
    name = item.name.text
    if name in result.blocks:
        first = result.blocks[name].name_span or item.name.span
        _twice(f"the block `{name}` is given twice", item.name.span, first, report)
        return
    if name == "preprocess":
        settings = _preprocess_settings(item, report)
    elif name == "heads":
        _check_plain_header(item, report)
        settings = BlockSettings(name_span=item.name.span, heads=_heads(item, report))
    else:
        fields = _fields(name, BLOCKS[name], item.entries or (), report)
        settings = BlockSettings(item.header, fields, (), item.name.span)
        if name == "quantize":
            _check_quantize_header(item, report)
        else:
            _check_plain_header(item, report)
    result.blocks[name] = settings


def _preprocess_settings(item: ast.Block, report: Report) -> BlockSettings:
    if item.entries is not None:
        _check_plain_header(item, report)
        return BlockSettings((), {}, item.entries, item.name.span)
    if len(item.header) == 1 and isinstance(item.header[0], ast.Call):
        return BlockSettings((), {}, (item.header[0],), item.name.span)
    hint = 'write `preprocess { ... }` or `preprocess vdsp("params.json")`'
    report(error("Z0118", "`preprocess` needs its steps in braces", item.name.span, hint=hint))
    return BlockSettings(name_span=item.name.span)


def _check_plain_header(item: ast.Block, report: Report) -> None:
    name = item.name.text
    if item.header:
        span = Span(item.span.source, item.header[0].span.start, item.header[-1].span.end)
        report(
            error(
                "Z0118",
                f"nothing is allowed between `{name}` and its `{{`",
                span,
                hint=f"write `{name} {{ ... }}`",
            )
        )
    elif item.entries is None:
        report(error("Z0118", f"`{name}` needs a block", item.name.span, hint=f"write `{name} {{ ... }}`"))


def _check_quantize_header(item: ast.Block, report: Report) -> None:
    if len(item.header) != 1:
        span = item.header[1].span if item.header else item.name.span
        hint = "write `quantize int8 { ... }`, `quantize fp16` or `quantize fp32`"
        report(error("Z0114", "`quantize` takes one word for its data type", span, hint=hint))


def _heads(item: ast.Block, report: Report) -> tuple[tuple[ast.Name, BlockSettings], ...]:
    heads: dict[str, tuple[ast.Name, BlockSettings]] = {}
    for head in item.heads:
        name = head.name
        if name.text in heads:
            first = heads[name.text][0].span
            _twice(f"the head `{name.text}` is given twice", name.span, first, report)
            continue
        if name.text in RESERVED_TENSORS or not name.text:
            message = f'"{name.text}" cannot be the name of a head'
            notes = (f"the compiled graph itself uses {', '.join(sorted(RESERVED_TENSORS))}",)
            hint = f'choose another name, and name the output behind it: `scores: output "{name.text}"`'
            report(error("Z0125", message, name.span, notes=notes, hint=hint))
        fields = _fields("postprocess", HEAD, head.entries, report)
        heads[name.text] = name, BlockSettings((), fields, (), name.span)
    if not heads and item.entries is not None:
        hint = "write `heads { age: softmax  topk 1 }`, with the name of an output before the colon"
        report(error("Z0118", "`heads` names no head", item.name.span, hint=hint))
    return tuple(heads.values())


def _fields(
    block: str, arity: dict[str, int], entries: tuple[ast.Entry, ...], report: Report
) -> dict[str, Setting]:
    fields: dict[str, Setting] = {}
    for entry in entries:
        name = _entry_name(entry)
        if name.text not in arity:
            notes = (f"the statements of `{block}` are {all_of(arity)}",)
            hint = _home_of(name.text) or did_you_mean(name.text, arity)
            report(
                error(
                    "Z0103",
                    f"unknown statement `{name.text}` in `{block}`",
                    name.span,
                    notes=notes,
                    hint=hint,
                )
            )
            continue
        example = EXAMPLES[block if name.text in BLOCKS[block] else "model", name.text]
        if not isinstance(entry, ast.Statement):
            how = "without `=`" if isinstance(entry, ast.Assignment) else "without parentheses"
            message = f"`{name.text}` takes its value {how}"
            report(error("Z0118", message, entry.span, hint=f"write it like `{example}`"))
            fields.setdefault(name.text, Setting((), name.span, entry.span))
            continue
        required = _required(entry)
        key = f"require.{required}" if required in SPEEDS else name.text
        if key in fields:
            what = f"require {required}" if required in SPEEDS else name.text
            _twice(f"`{what}` is given twice", name.span, fields[key].name_span, report)
            continue
        fields[key] = Setting(entry.values, name.span, entry.span)
        wanted = arity[name.text]
        if required in (None, "drop") and len(entry.values) != wanted:
            count = {0: "no value", 1: "one value", 2: "two values", 3: "three values"}[wanted]
            span = entry.values[wanted].span if len(entry.values) > wanted else name.span
            message = f"`{name.text}` takes {count}, found {len(entry.values) or 'none'}"
            speed = entry.values[0].span.text if name.text == "require" and entry.values else ""
            hint = _misspelt(entry.values[wanted:], arity)
            hint = hint or f"write it like `{SPEEDS.get(speed, example)}`"
            report(error("Z0114", message, span, hint=hint))
            fields[name.text] = Setting((), name.span, entry.span)
    return fields


def _required(entry: ast.Statement) -> str | None:
    """The quantity of a `require` statement, which may be misspelt; `None` of any other statement."""
    first = entry.values[0] if entry.name.text == "require" and entry.values else None
    return first.left.span.text if isinstance(first, ast.Comparison) else None


def _misspelt(extra: tuple[ast.Expr, ...], known: Iterable[str]) -> str | None:
    """A hint where the first value too many looks like a statement on the same line, `clases 3`."""
    word = extra[0].word if extra and isinstance(extra[0], ast.Reference) else None
    return did_you_mean(word, known) if word else None


def _entry_name(entry: ast.Entry) -> ast.Name:
    if isinstance(entry, ast.Assignment):
        return ast.Name(entry.target.text, entry.target.span)
    return entry.name


def _home_of(word: str) -> str | None:
    for block, statements in BLOCKS.items():
        if word in statements:
            return f"`{word}` belongs to `{block}`"
    return f"`{word}(...)` is a step of `preprocess`" if word in FUNCTIONS else None
