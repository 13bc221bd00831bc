"""The `postprocess` block: softmax, how many answers, and the classes' names."""

from __future__ import annotations

from zooc.deployment import Model, Postprocess
from zooc.diagnostics import Label, Span, error
from zooc.frontend.labels import read_labels
from zooc.frontend.model_block import MAX_CLASSES
from zooc.frontend.outline import Settings
from zooc.frontend.reading import Reader

__all__ = ["read_postprocess"]

_DEFAULT = Postprocess()


def read_postprocess(settings: Settings, model: Model | None, reader: Reader) -> Postprocess | None:
    """Checks the block, and its numbers against the model's classes; `None` after an error."""
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
        hint = "give the list that belongs to this model, or correct `classes`"
        reader.report(error("Z0504", message, labels.span, labels=label, hint=hint))
        sound = False
    elif labels is not None and classes is None:
        classes, classes_span = len(labels.names), labels.span
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
    message = f"`topk {topk}` asks for more than the {classes} classes there are"
    reader.report(error("Z0505", message, span, labels=label, hint=f"write `topk {min(5, classes)}`"))
