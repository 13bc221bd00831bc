"""The `model` block: the network's source, weights, input and number of classes."""

from __future__ import annotations

from zooc.deployment import (
    FileWeights,
    InputShape,
    Model,
    ModelSource,
    OutputName,
    PretrainedWeights,
    RandomWeights,
    Weights,
)
from zooc.diagnostics.diagnostic import Label, error
from zooc.diagnostics.suggest import did_you_mean, either
from zooc.frontend.semantics.declarations import BlockSettings, Setting
from zooc.frontend.semantics.image_set import MAX_SEED
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import EXAMPLES, FILE_SOURCES, FUNCTIONS, LAYOUTS, SOURCES
from zooc.support.limits import MAX_SIDE
from zooc.support.torch_hub import hub_folder

__all__ = ["MAX_CLASSES", "read_model"]

MAX_CLASSES = 1_000_000


def read_model(settings: BlockSettings, reader: Reader) -> Model | None:
    """Check the block; `None` when source, weights or input are missing or wrong."""
    fields = settings.fields
    source_field = _required("source", settings, reader)
    source = _source(source_field, reader) if source_field else None
    weights: Weights | None = None
    weights_known = True
    if "weights" in fields:
        weights = _weights(fields["weights"], reader) if fields["weights"].values else None
        weights_known = weights is not None
    if source is not None and source_field is not None:
        weights_known &= _weights_fit(source, source_field, settings, reader)
    shape, classes = None, None
    sound = True
    if "input" in fields:
        shape = _input(fields["input"], reader)
        sound = shape is not None
    elif source is not None and not source.is_file:
        _required("input", settings, reader)
        sound = False
    classes_span = None
    if (field := fields.get("classes")) and field.values:
        classes = reader.integer(field.values[0], "the number of classes", 1, MAX_CLASSES)
        classes_span = field.span
        sound &= classes is not None
    layout, output, told = _file_interface(source, settings, reader)
    named = () if output is None else (OutputName(output, fields["output"].span),)
    if source is None or not weights_known or not sound or not told:
        return None
    return Model(
        source,
        weights,
        shape,
        classes,
        classes_span,
        settings.name_span,
        layout,  # type: ignore[arg-type]
        named,
    )


def _file_interface(
    source: ModelSource | None, settings: BlockSettings, reader: Reader
) -> tuple[str | None, str | None, bool]:
    """`layout`, `output`, and whether both are sound: only a file has them."""
    values: dict[str, str | None] = {"layout": None, "output": None}
    sound = True
    for name in list(values):
        field = settings.fields.get(name)
        if field is None or not field.values:
            continue
        if source is not None and not source.is_file:
            message = f"`{name}` is allowed only with a file as the source"
            reader.report(error("Z0124", message, field.span, hint=f"delete this `{name}`"))
            sound = False
            continue
        (node,) = field.values
        found = (
            reader.word(node, LAYOUTS, "the layout")
            if name == "layout"
            else reader.string(node, "the output's name")
        )
        values[name] = found
        sound &= found is not None
    return values["layout"], values["output"], sound


def _required(name: str, settings: BlockSettings, reader: Reader) -> Setting | None:
    field = settings.fields.get(name)
    if field is None:
        hint = f"add `{EXAMPLES['model', name]}`"
        reader.report(error("Z0108", f"`model` lacks `{name}`", settings.name_span, hint=hint))
        return None
    return field if field.values else None


def _source(field: Setting, reader: Reader) -> ModelSource | None:
    node = field.values[0]
    forms = either([*(f"{kind}.NAME" for kind in SOURCES), 'onnx("file.onnx")', 'torch("file.pt2")'])
    notes = (f"a source is {forms}",)
    match node:
        case ast.Call(name) if name.text in FILE_SOURCES:
            bound = reader.bind(node, FUNCTIONS[name.text])
            path = reader.path(bound["path"], FILE_SOURCES[name.text]) if bound else None
            return ModelSource(name.text, str(path), field.span) if path else None  # type: ignore[arg-type]
        case ast.Call(name):
            hint = _as_path(name.text) or did_you_mean(name.text, FILE_SOURCES)
            reader.report(
                error("Z0104", f"unknown source `{name.text}(...)`", name.span, notes=notes, hint=hint)
            )
        case ast.Reference(parts) if len(parts) > 1:
            for kind in SOURCES:
                if parts[0].text == kind:
                    return ModelSource(kind, ".".join(part.text for part in parts[1:]), field.span)  # type: ignore[arg-type]
            hint = did_you_mean(parts[0].text, SOURCES)
            message = f"unknown source `{parts[0].text}`"
            reader.report(error("Z0106", message, parts[0].span, notes=notes, hint=hint))
        case ast.Reference():
            hint = f"write for example `timm.{node.text}`"
            message = f"`{node.text}` does not say where the model comes from"
            reader.report(error("Z0106", message, node.span, notes=notes, hint=hint))
        case ast.String(text):
            hint = _as_file(text, node.span.text)
            reader.report(error("Z0109", "a string is not a source", node.span, notes=notes, hint=hint))
        case _:
            reader.report(error("Z0109", "this is not a source", node.span, notes=notes))
    return None


def _as_path(name: str) -> str | None:
    return f"write `{name}.NAME`" if name in SOURCES else None


def _as_file(path: str, written: str) -> str | None:
    """A hint for a file name alone, by its ending."""
    if path.endswith(".onnx"):
        return f"write `onnx({written})`"
    return f"write `torch({written})`" if path.endswith((".pt2", ".pt")) else None


def _weights(field: Setting, reader: Reader) -> Weights | None:  # noqa: PLR0911 - one return a case
    node = field.values[0]
    if isinstance(node, ast.Reference) and node.word == "pretrained":
        return PretrainedWeights(field.span)
    if isinstance(node, ast.Reference) and node.word == "random":
        reader.report(error("Z0118", "`random` takes parentheses", node.span, hint="write `random(seed=0)`"))
        return None
    if isinstance(node, ast.Call):
        if node.name.text != "random":
            hint = did_you_mean(node.name.text, ["random", "pretrained"])
            reader.report(
                error("Z0104", f"unknown weights `{node.name.text}(...)`", node.name.span, hint=hint)
            )
            return None
        bound = reader.bind(node, FUNCTIONS["random"])
        if bound is None:
            return None
        seed = reader.integer(bound["seed"], "the seed", 0, MAX_SEED) if "seed" in bound else 0
        return None if seed is None else RandomWeights(seed, field.span)
    if (
        isinstance(node, ast.Reference)
        and node.word not in reader.scope.values
        and not _from_command_line(node)
    ):
        hint = did_you_mean(node.text, ["pretrained", "random"]) or f'a file name needs quotes: "{node.text}"'
        reader.report(error("Z0106", f"unknown weights `{node.text}`", node.span, hint=hint))
        return None
    path = reader.path(node, "the weights file", cache=hub_folder())
    return FileWeights(path, field.span) if path else None


def _from_command_line(node: ast.Expr) -> bool:
    return node.span.source.name == "--set"


def _weights_fit(source: ModelSource, source_field: Setting, settings: BlockSettings, reader: Reader) -> bool:
    field = settings.fields.get("weights")
    label = (Label(source_field.span, "the source"),)
    if source.is_file and field is not None:
        message = f"{'an ONNX file' if source.kind == 'onnx' else 'a torch program'} contains its own weights"
        reader.report(error("Z0124", message, field.span, labels=label, hint="delete this `weights`"))
        return False
    if not source.is_file and field is None:
        hint = 'add `weights "file.pth"`, `weights pretrained` or `weights random(seed=0)`'
        message = "`model` lacks `weights`"
        reader.report(error("Z0108", message, settings.name_span, labels=label, hint=hint))
        return False
    return True


def _input(field: Setting, reader: Reader) -> InputShape | None:
    if not field.values:
        return None
    example = "`[batch, 3, 224, 224]`"
    items = reader.items(field.values[0], "the input", example)
    if items is None:
        return None
    if len(items) != 4:
        message = f"the input has four dimensions, found {len(items)}"
        hint = f"write {example}: batch, channels, height, width"
        reader.report(error("Z0114", message, field.values[0].span, hint=hint))
        return None
    batch: int | None = None
    sound = True
    if not (isinstance(items[0], ast.Reference) and items[0].word == "batch"):
        batch = reader.integer(items[0], "the batch size", 1, MAX_SIDE)
        sound = batch is not None
    names = ("the number of channels", "the input's height", "the input's width")
    sizes = [reader.integer(item, name, 1, MAX_SIDE) for item, name in zip(items[1:], names, strict=True)]
    known = [size for size in sizes if size is not None]
    if not sound or len(known) < 3:
        return None
    return InputShape(batch, known[0], known[1], known[2], field.span)
