"""The `postprocess` and `heads` blocks: activation, how many answers, and the classes' names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from zooc.deployment import Labels, Model, OutputName, Postprocess
from zooc.diagnostics.diagnostic import Label, Span, error
from zooc.frontend.semantics.blocks.labels import read_labels
from zooc.frontend.semantics.blocks.model import MAX_CLASSES
from zooc.frontend.semantics.declarations import BlockSettings, Setting
from zooc.frontend.semantics.values import Reader

if TYPE_CHECKING:
    from zooc_runtime.package.heads import Activation

__all__ = ["read_heads", "read_postprocess"]

_DEFAULT = Postprocess()
_ACTIVATIONS: tuple[Activation, ...] = ("softmax", "sigmoid", "l2_normalize")
_THRESHOLD = 0.5
_SIDES = 2
"""Names of a single score's classes: below the threshold, and from it up."""


@dataclass(frozen=True, slots=True)
class _Classes:
    """How many classes a head has, `None` if nobody says, and where it is said."""

    count: int | None
    span: Span | None


def read_postprocess(settings: BlockSettings, model: Model | None, reader: Reader) -> Postprocess | None:
    """Check the block, and its numbers against the model's classes; `None` after an error."""
    classes = _Classes(model.classes, model.classes_span) if model else _Classes(None, None)
    return _read(settings, classes, reader)


def read_heads(
    settings: BlockSettings, others: BlockSettings | None, model: Model | None, reader: Reader
) -> tuple[Model | None, tuple[Postprocess, ...] | None]:
    """Check a `heads` block.

    Args:
        settings: the block.
        others: the `postprocess` block if there is one, which contradicts this one.
        model: what the `model` block says.
        reader: reads values and takes findings.

    Returns:
        The model with the heads' outputs, and the heads in their order; `None` after an error.
    """
    sound = bool(settings.heads) and model is not None
    if others is not None:
        label = (Label(settings.name_span, "the heads"),) if settings.name_span else ()
        message = "`postprocess` and `heads` exclude each other"
        hint = "write its statements behind the name of the head that they are for"
        reader.report(error("Z0510", message, others.name_span, labels=label, hint=hint))
        sound = False
    if model is not None and model.outputs:
        message, hint = "`output` and `heads` exclude each other", "delete `output`: each head names its own"
        reader.report(error("Z0510", message, model.outputs[0].span, hint=hint))
        sound = False
    elif model is not None and not model.source.is_file:
        message = f"a network of {model.source.kind} has a single output"
        hint = "write a `postprocess` block; heads are for files that have several outputs"
        reader.report(error("Z0510", message, settings.name_span, hint=hint))
        sound = False
    outputs, heads = [], []
    for name, one in settings.heads:
        head = _read(one, _Classes(None, None), reader)
        output = OutputName(name.text, name.span)
        if (field := one.fields.get("output")) is not None and field.values:
            text = reader.string(field.values[0], "the output's name")
            sound &= text is not None
            output = OutputName(text or "", field.span)
        if head is not None:
            outputs.append(output)
            heads.append(replace(head, name=name.text))
        sound &= head is not None
    if not sound or model is None:
        return None, None
    return replace(model, outputs=tuple(outputs)), tuple(heads)


def _read(settings: BlockSettings, classes: _Classes, reader: Reader) -> Postprocess | None:
    fields = settings.fields
    activation, sound = _activation(fields, reader)
    field = fields.get(activation)
    _check_no_effect(fields, activation, reader)
    threshold: float | None = _THRESHOLD if activation == "sigmoid" else None
    if activation == "sigmoid" and "threshold" in fields:
        threshold = _threshold(fields["threshold"], reader)
        sound &= threshold is not None
    labels = None
    if "labels" in fields:
        values = fields["labels"].values
        labels = read_labels(values[0], fields["labels"].span, reader) if values else None
        sound &= labels is not None
    sides = activation == "sigmoid" and labels is not None and len(labels.names) == _SIDES
    sound &= _check_labels(labels, classes, reader, sides=sides)
    if labels is not None and classes.count is None:
        classes = _Classes(len(labels.names), labels.span)
    if activation == "softmax" and field is not None and classes.count == 1:
        hint = "write `sigmoid` for the probability of the one class"
        reader.report(
            error("Z0506", "softmax over one class answers 1 for every image", field.span, hint=hint)
        )
        sound = False
    topk = _topk(fields.get("topk"), classes, reader)
    if topk is None or not sound:
        return None
    return Postprocess(
        activation,
        topk,
        labels,
        threshold,
        topk_span=fields["topk"].span if "topk" in fields else None,
        activation_span=None if field is None else field.span,
        span=settings.name_span,
    )


def _activation(fields: dict[str, Setting], reader: Reader) -> tuple[Activation, bool]:
    """The one that is on; and whether that is sound."""
    chosen: list[Activation] = []
    sound = True
    for name in _ACTIVATIONS:
        if name not in fields:
            continue
        on = True
        if fields[name].values:  # only an override gives it a value
            word = reader.word(fields[name].values[0], ("true", "false"), f"setting of {name}")
            sound, on = sound and word is not None, word == "true"
        if on:
            chosen.append(name)
    if len(chosen) > 1:
        first, second, *_ = chosen
        label = (Label(fields[first].span, "the first"),)
        message, hint = f"`{first}` and `{second}` exclude each other", "keep the one that training used"
        reader.report(error("Z0507", message, fields[second].span, labels=label, hint=hint))
        sound = False
    return (chosen[0] if chosen else "none"), sound


def _check_no_effect(fields: dict[str, Setting], activation: Activation, reader: Reader) -> None:
    useless = [] if activation == "sigmoid" else ["threshold"]
    if activation == "l2_normalize":
        useless += ["topk", "labels"]
    for name in useless:
        if name in fields:
            reason = "embeddings have no classes" if activation == "l2_normalize" else "there is no `sigmoid`"
            hint = f"delete this `{name}`" + ("" if activation == "l2_normalize" else ", or write `sigmoid`")
            reader.report(error("Z0508", f"`{name}` has no effect: {reason}", fields[name].span, hint=hint))


def _threshold(field: Setting, reader: Reader) -> float | None:
    if not field.values:
        return None
    value = reader.number(field.values[0], "the threshold")
    if value is None or 0.0 <= value <= 1.0:
        return value
    hint = (
        f"write `threshold {value / 100:g}`" if 1.0 < value <= 100.0 else "write for example `threshold 0.5`"
    )
    message = f"the threshold is a probability from 0 to 1, found {value:g}"
    reader.report(error("Z0110", message, field.values[0].span, hint=hint))
    return None


def _check_labels(labels: Labels | None, classes: _Classes, reader: Reader, *, sides: bool) -> bool:
    if labels is None or classes.count is None or len(labels.names) == classes.count:
        return True
    if sides and classes.count == 1:
        return True
    message = f"{len(labels.names)} labels for {classes.count} classes"
    label = () if classes.span is None else (Label(classes.span, f"the model has {classes.count} classes"),)
    hint = "use the list that belongs to this model, or correct `classes`"
    reader.report(error("Z0504", message, labels.span, labels=label, hint=hint))
    return False


def _topk(field: Setting | None, classes: _Classes, reader: Reader) -> int | None:
    if field is None:
        return min(_DEFAULT.topk, classes.count or _DEFAULT.topk)
    topk = reader.integer(field.values[0], "`topk`", 1, MAX_CLASSES) if field.values else None
    if topk is None or classes.count is None or topk <= classes.count:
        return topk
    label = () if classes.span is None else (Label(classes.span, f"{classes.count} classes"),)
    message = f"`topk {topk}` is more than the {classes.count} classes there are"
    hint = f"write `topk {min(5, classes.count)}`"
    reader.report(error("Z0505", message, field.span, labels=label, hint=hint))
    return None
