"""The `postprocess` block: softmax, how many answers, and the classes' names."""

from __future__ import annotations

import functools
from pathlib import Path

from zooc.deployment import Labels, Model, Postprocess
from zooc.diagnostics.diagnostic import Label, Span, error
from zooc.diagnostics.suggest import did_you_mean
from zooc.frontend.semantics.blocks.model import MAX_CLASSES
from zooc.frontend.semantics.declarations import BlockSettings
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import FUNCTIONS
from zooc.resources import resource

__all__ = ["imagenet1k_names", "read_labels", "read_postprocess"]

_DEFAULT = Postprocess()


def read_postprocess(settings: BlockSettings, model: Model | None, reader: Reader) -> Postprocess | None:
    """Check the block, and its numbers against the model's classes; `None` after an error."""
    fields = settings.fields
    softmax: bool | None = "softmax" in fields
    if softmax and fields["softmax"].values:  # only an override gives it a value
        word = reader.word(fields["softmax"].values[0], ("true", "false"), "setting of softmax")
        softmax = None if word is None else word == "true"
    labels = None
    sound = softmax is not None
    if "labels" in fields:
        values = fields["labels"].values
        labels = read_labels(values[0], fields["labels"].span, reader) if values else None
        sound &= labels is not None
    classes, classes_span = (model.classes, model.classes_span) if model else (None, None)
    if labels is not None and classes is not None and len(labels.names) != classes:
        message = f"{len(labels.names)} labels for {classes} classes"
        label = () if classes_span is None else (Label(classes_span, f"the model has {classes} classes"),)
        hint = "use the list that belongs to this model, or correct `classes`"
        reader.report(error("Z0504", message, labels.span, labels=label, hint=hint))
        sound = False
    elif labels is not None and classes is None:
        classes, classes_span = len(labels.names), labels.span
    if softmax and model is not None and model.classes == 1:
        hint = "leave out `softmax`: the package then gives the network's own score"
        reader.report(
            error(
                "Z0506", "softmax over one class answers 1 for every image", fields["softmax"].span, hint=hint
            )
        )
        sound = False
    topk: int | None = min(_DEFAULT.topk, classes or _DEFAULT.topk)
    if "topk" in fields:
        values = fields["topk"].values
        topk = reader.integer(values[0], "`topk`", 1, MAX_CLASSES) if values else None
        if topk is not None and classes is not None and topk > classes:
            _too_many(topk, classes, fields["topk"].span, classes_span, reader)
            topk = None
    if topk is None or softmax is None or not sound:
        return None
    topk_span = fields["topk"].span if "topk" in fields else None
    return Postprocess(softmax, topk, labels, topk_span, settings.name_span)


def _too_many(topk: int, classes: int, span: Span, classes_span: Span | None, reader: Reader) -> None:
    label = () if classes_span is None else (Label(classes_span, f"{classes} classes"),)
    message = f"`topk {topk}` is more than the {classes} classes there are"
    reader.report(error("Z0505", message, span, labels=label, hint=f"write `topk {min(5, classes)}`"))


_MAX_BYTES = 16_000_000


@functools.lru_cache(maxsize=1)
def imagenet1k_names() -> tuple[str, ...]:
    """Return the 1000 class names of ImageNet-1k in the order of class ids."""
    file = resource("data/imagenet1k.txt")
    return tuple(file.read_text(encoding="utf-8").splitlines())


def read_labels(node: ast.Expr, span: Span, reader: Reader) -> Labels | None:
    """Return the labels that `node` names; `None` after an error."""
    if isinstance(node, ast.Reference) and node.word == "imagenet1k":
        return Labels("imagenet1k", imagenet1k_names(), span)
    if isinstance(node, ast.Call) and node.name.text == "imagenet1k":
        return _imagenet_with_background(node, span, reader)
    unknown = isinstance(node, ast.Reference) and node.word not in reader.scope.values
    if isinstance(node, ast.Reference) and unknown and node.span.source.name != "--set":
        hint = did_you_mean(node.text, ["imagenet1k"]) or f'a file name needs quotes: "{node.text}"'
        reader.report(error("Z0106", f"unknown labels `{node.text}`", node.span, hint=hint))
        return None
    path = reader.path(node, "the labels file")
    if path is None:
        return None
    if not reader.check_files or (reader.may_be_missing and not path.exists()):
        return None
    return _from_file(path, node.span, span, reader)


def _imagenet_with_background(call: ast.Call, span: Span, reader: Reader) -> Labels | None:
    """TensorFlow's 1001 classes: class 0 is none of ImageNet's."""
    bound = reader.bind(call, FUNCTIONS["imagenet1k"])
    if bound is None:
        return None
    if "background" not in bound:
        return Labels("imagenet1k", imagenet1k_names(), span)
    if reader.word(bound["background"], ("first",), "the place of the background") is None:
        return None
    return Labels("imagenet1k(background=first)", ("background", *imagenet1k_names()), span)


def _from_file(path: Path, place: Span, span: Span, reader: Reader) -> Labels | None:
    problem, names = _read_names(path)
    if problem is None:
        return Labels(str(path), names, span)
    code, message, hint = problem
    reader.report(error(code, f"{path.name} {message}", place, hint=hint))
    return None


def _read_names(path: Path) -> tuple[tuple[str, str, str] | None, tuple[str, ...]]:
    """The names, or a problem as (code, message, hint)."""
    one_a_line = "a labels file has one class name per line, in the order of class ids"
    problem: tuple[str, str, str] | None = None
    names: list[str] = []
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        names = [line.strip() for line in data.decode("utf-8-sig").rstrip().split("\n")]
        if len(data) > _MAX_BYTES:
            problem = "Z0501", f"is larger than {_MAX_BYTES:,} bytes", one_a_line
        elif names == [""]:
            problem = "Z0503", "is empty", one_a_line
        elif "" in names:
            problem = "Z0503", f"has no name in line {names.index('') + 1}", one_a_line
    except OSError as failure:
        problem = "Z0501", f"cannot be read: {failure.strerror}", "check the file's permissions"
    except UnicodeDecodeError as failure:
        line = failure.object.count(b"\n", 0, failure.start) + 1
        problem = "Z0502", f"is not UTF-8 (line {line})", "save the file as UTF-8"
    return problem, tuple(names)
