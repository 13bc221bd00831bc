"""Follows an image through the preprocessing: the order of the steps, and the size after each.

`image_channels` follows its channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zooc.deployment import InputShape, Normalize, Preprocess
from zooc.diagnostics.diagnostic import Diagnostic, Label, Span, error, warning
from zooc.frontend.semantics.blocks.image_channels import ChannelFlow, first_channels
from zooc.frontend.semantics.blocks.image_decoding import check_decoding
from zooc_runtime.preprocessing.sources import RGB
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Crop,
    Decode,
    ECenterCrop,
    Letterbox,
    Pad,
    Resize,
    ResizeCv,
    ResizeTorch,
    Step,
    SwapChannels,
)

__all__ = ["Action", "Channels", "Convert", "Pixel", "Source", "Standardize", "check_flow"]

Report = Callable[[Diagnostic], None]

_PIXEL_UNITS = 8.0
"""A mean beyond this cannot be meant for pixels from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Pixel:
    """A step that maps `uint8` pixels to `uint8` pixels."""

    step: Step


@dataclass(frozen=True, slots=True)
class Source:
    """`NV12(matrix)`: the image comes as a YUV frame; `kind` as in `Preprocess.source`."""

    kind: str
    span: Span


@dataclass(frozen=True, slots=True)
class Channels:
    """`BGR()` or `RGB()`."""

    order: str
    span: Span


@dataclass(frozen=True, slots=True)
class Convert:
    """`ToTensor()` (divisor 255) or `PILToTensor()` (1)."""

    divisor: float
    span: Span


@dataclass(frozen=True, slots=True)
class Standardize:
    """`Normalize(mean, std)`: a number for all channels, or one for each."""

    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    span: Span
    mean_span: Span
    std_span: Span


Action = Source | Pixel | Channels | Convert | Standardize


@dataclass(frozen=True, slots=True)
class _Short:
    """Only the shorter side is known, and it is at most this."""

    side: int


@dataclass
class _State:
    """What is known of the image so far; `size` is (height, width), or the shorter side, or nothing."""

    channels: ChannelFlow
    source: Source | None = None
    size: tuple[int, int] | _Short | None = None
    size_span: Span | None = None
    convert: Convert | None = None
    normalize: Normalize | None = None
    steps: list[Step] = field(default_factory=list)
    sound: bool = True


def check_flow(
    actions: Sequence[Action],
    shape: InputShape | None,
    input_span: Span | None,
    span: Span | None,
    report: Report,
    *,
    vdsp: bool = False,
) -> Preprocess | None:
    """Check the actions in order; `None` after an error.

    Args:
        actions: what the steps do.
        shape: the model's input, `None` when it is unknown.
        input_span: where the model's input is written.
        span: the block's name.
        report: takes the findings.
        vdsp: whether the actions are those of vdsp parameters.
    """

    def refuse(diagnostic: Diagnostic) -> None:
        state.sound &= diagnostic.severity != "error"
        report(diagnostic)

    frames = any(isinstance(action, Source) for action in actions)
    in_colour = "vdsp" if vdsp else "NV12" if frames else None
    first = first_channels((a.step for a in actions if isinstance(a, Pixel)), shape, in_colour)
    state = _State(ChannelFlow(first, in_colour, refuse))
    decoding = check_decoding([_step(action) for action in actions], first, refuse, frames=frames)
    actions = [action for action in actions if not isinstance(_step(action), Decode)]

    for action in actions:
        match action:
            case Source():
                _begin(action, actions[0], state, refuse)
            case Pixel(step):
                _before_conversion(step.span, state, refuse)
                _apply_size(step, state, refuse)
                state.channels.apply(step)
                state.steps.append(step)
            case Channels():
                _before_conversion(action.span, state, refuse)
                if state.channels.order(action.order, action.span):
                    state.steps.append(SwapChannels(action.span))
            case Convert():
                _convert(action, state, refuse)
            case Standardize():
                _standardize(action, state, refuse)
    if state.convert is None:
        hint = "add `ToTensor()`, or `PILToTensor()` for pixels from 0 to 255"
        refuse(error("Z0304", "`preprocess` never converts the image to a tensor", span, hint=hint))
    state.channels.check_end(shape, input_span, state.convert.span if state.convert else None, span)
    _check_result(state, shape, input_span, span, refuse)
    if not state.sound or state.convert is None:
        return None
    count = state.channels.count
    plain = Normalize(state.convert.divisor, (0.0,) * count, (1.0,) * count, state.convert.span)
    normalize = state.normalize or plain
    source = state.source.kind if state.source else "rgb" if first == RGB else f"bands-{first}"
    return Preprocess((*decoding, *state.steps), normalize, source, span)


def _step(action: Action) -> Step | None:
    return action.step if isinstance(action, Pixel) else None


def _begin(action: Source, first: Action, state: _State, refuse: Report) -> None:
    if action is not first:
        message = "`NV12` describes the input frames and must be the first step"
        refuse(error("Z0315", message, action.span, hint="move it to the beginning of the block"))
    state.source = action


def _before_conversion(span: Span | None, state: _State, refuse: Report) -> None:
    if state.convert is not None:
        label = Label(state.convert.span, "from here on the image is a tensor")
        message = "this step works on an image's pixels, but the image has been converted to a tensor"
        refuse(error("Z0306", message, span, labels=(label,), hint="move it before the conversion"))


def _convert(action: Convert, state: _State, refuse: Report) -> None:
    if state.convert is not None:
        label = Label(state.convert.span, "first here")
        message = "the image is converted to a tensor twice"
        refuse(error("Z0305", message, action.span, labels=(label,), hint="keep one of the two"))
    else:
        state.convert = action


def _standardize(action: Standardize, state: _State, refuse: Report) -> None:
    if state.normalize is not None and state.normalize.span is not None:
        label = Label(state.normalize.span, "first here")
        refuse(
            error(
                "Z0307",
                "`Normalize` is given twice",
                action.span,
                labels=(label,),
                hint="keep one of the two",
            )
        )
        return
    mean = state.channels.per_channel(action.mean, "the mean", action.mean_span)
    std = state.channels.per_channel(action.std, "the standard deviation", action.std_span)
    divisor = state.convert.divisor if state.convert else 1.0
    state.normalize = Normalize(divisor, mean or (0.0,), std or (1.0,), action.span)
    if state.convert is None:
        hint = "put `ToTensor()` before it"
        refuse(
            error(
                "Z0307", "`Normalize` works on a tensor, and this is still an image", action.span, hint=hint
            )
        )
    elif state.convert.divisor == 255 and max(map(abs, state.normalize.mean)) > _PIXEL_UNITS:
        label = Label(state.convert.span, "this divides the pixels by 255")
        message = "this mean fits pixels from 0 to 255"
        hint = "use `PILToTensor()`, which does not divide"
        refuse(warning("Z0313", message, action.span, labels=(label,), hint=hint))


def _apply_size(step: Step, state: _State, refuse: Report) -> None:
    match step:
        case Resize() | ResizeTorch():
            state.size = _resized(step, state.size)
        case CenterCrop(height, width):
            _check_crop(step, state, refuse)
            state.size = (height, width)
        case Crop(height=height, width=width):
            _check_place(step, state, refuse)
            state.size = (height, width)
        case ResizeCv(height, width) | Letterbox(height, width):
            state.size = (height, width)
        case ECenterCrop(side):
            state.size = (side, side)
        case Pad(left, top, right, bottom):
            horizontal, vertical = left + right, top + bottom
            if isinstance(state.size, tuple):
                state.size = (state.size[0] + vertical, state.size[1] + horizontal)
            elif state.size is not None:
                same = horizontal == vertical
                state.size = _Short(state.size.side + horizontal) if same else None
    state.size_span = step.span


def _resized(step: Resize | ResizeTorch, size: tuple[int, int] | _Short | None) -> tuple[int, int] | _Short:
    """torchvision's rule: the longer side is truncated; `max_size` bounds it and shrinks the shorter."""
    if isinstance(step.size, tuple):
        return step.size
    if not isinstance(size, tuple):
        return _Short(step.size)
    height, width = size
    short, long = min(size), max(size)
    new_short, new_long = step.size, int(step.size * long / short)
    if step.max_size is not None and new_long > step.max_size:
        new_short, new_long = int(step.max_size * new_short / new_long), step.max_size
    return (new_long, new_short) if height >= width else (new_short, new_long)


def _check_crop(crop: CenterCrop, state: _State, refuse: Report) -> None:
    hint = "use a smaller crop, resize to a larger size, or put `Pad(...)` before the crop for a black border"
    if isinstance(state.size, tuple):
        height, width = state.size
        if crop.height > height or crop.width > width:
            label = (
                ()
                if state.size_span is None
                else (Label(state.size_span, f"the image is {width} x {height} here"),)
            )
            message = f"a crop of {crop.width} x {crop.height} is larger than the resized image"
            refuse(error("Z0301", message, crop.span, labels=label, hint=hint))
    elif state.size is not None and max(crop.height, crop.width) > state.size.side:
        side = state.size.side
        label = (
            () if state.size_span is None else (Label(state.size_span, f"the shorter side is {side} here"),)
        )
        if min(crop.height, crop.width) > side:
            message = f"a crop of {crop.width} x {crop.height} is larger than the resized image"
            refuse(error("Z0301", message, crop.span, labels=label, hint=hint))
        else:
            message = f"a crop of {crop.width} x {crop.height} is larger than some resized images"
            refuse(warning("Z0301", message, crop.span, labels=label, hint=hint))


def _check_place(crop: Crop, state: _State, refuse: Report) -> None:
    if not isinstance(state.size, tuple):
        return
    height, width = state.size
    if crop.top + crop.height > height or crop.left + crop.width > width:
        label = (
            ()
            if state.size_span is None
            else (Label(state.size_span, f"the image is {width} x {height} here"),)
        )
        message = (
            f"a crop of {crop.width} x {crop.height} at ({crop.left}, {crop.top}) reaches outside the image"
        )
        hint = "use a smaller offset or crop, or resize to a larger size"
        refuse(error("Z0301", message, crop.span, labels=label, hint=hint))


def _check_result(
    state: _State, shape: InputShape | None, input_span: Span | None, span: Span | None, refuse: Report
) -> None:
    wanted = f", and the model takes {shape.width} x {shape.height}" if shape else ""
    place = state.size_span or span
    if not isinstance(state.size, tuple):
        known = isinstance(state.size, _Short)
        reason = "only the shorter side is known" if known else "no step sets it"
        message = f"the preprocessed image has no fixed size: {reason}{wanted}"
        size = f"[{shape.height}, {shape.width}]" if shape and shape.height != shape.width else None
        side = size or (str(shape.height) if shape else "224")
        hint = (
            f"add `CenterCrop({side})` after it" if known else f"add `Resize(...)` and `CenterCrop({side})`"
        )
        refuse(error("Z0303", message, place, hint=hint))
    elif shape is not None and state.size != (shape.height, shape.width):
        height, width = state.size
        label = (
            ()
            if input_span is None
            else (Label(input_span, f"the model takes {shape.width} x {shape.height}"),)
        )
        message = f"the preprocessed image is {width} x {height}{wanted}"
        hint = "make the two agree, for example by one `let size = ...` for both"
        refuse(error("Z0302", message, place, labels=label, hint=hint))
