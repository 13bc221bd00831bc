"""Follows an image's channels through the preprocessing: how many there are, and which colours.

Images begin as RGB, unless the model takes another number of channels than one and three and nothing makes
grey of them: then they begin with as many as the model takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from zooc.deployment import InputShape
from zooc.diagnostics.diagnostic import Diagnostic, Label, Span, error
from zooc_runtime.preprocessing.sources import RGB, channels
from zooc_runtime.preprocessing.steps import Grayscale, Letterbox, Pad, Step

__all__ = ["ChannelFlow", "first_channels"]

Report = Callable[[Diagnostic], None]

_AS_MANY = "images then have the model's {} channels"


def first_channels(steps: Iterable[Step], shape: InputShape | None, in_colour: str | None) -> int:
    """Return how many channels images have before the first step.

    Args:
        steps: the block's.
        shape: the model's input, `None` when it is unknown.
        in_colour: the step that says that images are in colour: `NV12` or `vdsp`.
    """
    if shape is None or shape.channels in (1, RGB) or in_colour:
        return RGB
    return RGB if any(isinstance(step, Grayscale) for step in steps) else shape.channels


class ChannelFlow:
    """The channels behind the steps so far.

    Attributes:
        count: how many.
        swapped: where they were reversed.
        grey: where they became grey.
    """

    def __init__(self, first: int, in_colour: str | None, refuse: Report) -> None:
        self.count = first
        self.swapped: Span | None = None
        self.grey: Span | None = None
        self._in_colour = in_colour
        self._refuse = refuse

    def apply(self, step: Step) -> None:
        """Follow a step on pixels."""
        match step:
            case Grayscale():
                self._to_grey(step)
            case Pad() | Letterbox() if self.count != RGB and len(set(step.fill)) > 1:
                labels = () if self.grey is None else (Label(self.grey, "it is grey since here"),)
                message = f"`fill` has three values, but the image has {channels(self.count)} here"
                hint = "write one number for `fill`"
                self._refuse(error("Z0318", message, step.span, labels=labels, hint=hint))

    def _to_grey(self, step: Grayscale) -> None:
        if self.grey is not None:
            label = Label(self.grey, "it is grey since here")
            message = "the image is grey already"
            self._refuse(error("Z0316", message, step.span, labels=(label,), hint="keep one of the two"))
        elif self.swapped is not None:
            label = Label(self.swapped, "they are reversed here")
            message = "`Grayscale` weighs red, green and blue, but the channels are reversed"
            hint = "delete the `BGR()`: grey has no order of channels"
            self._refuse(error("Z0317", message, step.span, labels=(label,), hint=hint))
        self.grey, self.count = step.span, step.channels

    def order(self, order: str, span: Span) -> bool:
        """Follow `BGR()` or `RGB()`; return whether the channels are to be reversed."""
        if self.grey is not None:
            label = Label(self.grey, "it is grey since here")
            message = f"`{order}` is about the order of colours, but the image is grey"
            self._refuse(error("Z0317", message, span, labels=(label,), hint="delete it"))
            return False
        if self.count != RGB:
            message = f"`{order}` is about red, green and blue, but the image has {channels(self.count)}"
            hint = "delete it, and give images with their channels in the network's order"
            self._refuse(error("Z0317", message, span, hint=hint))
            return False
        if order == "BGR" and self.swapped is None:
            self.swapped = span
            return True
        if self.swapped is not None:
            label, again = Label(self.swapped, "the channels are BGR since here"), order == "BGR"
            message = "the channels are swapped already" if again else "the channels were swapped before"
            keep = "delete one of the two" if again else "images start as RGB: delete both, or this one"
            self._refuse(error("Z0309", message, span, labels=(label,), hint=keep))
        return False

    def per_channel(self, values: float | Sequence[float], what: str, span: Span) -> tuple[float, ...] | None:
        """Return a value for each channel; one number applies to all of them."""
        if isinstance(values, int | float):
            return (float(values),) * self.count
        if len(values) == self.count:
            return tuple(values)
        labels = () if self.grey is None else (Label(self.grey, f"{channels(self.count)} since here"),)
        wanted = channels(self.count).split()[0]
        plural = "" if self.count == 1 else "s"
        message = f"{what} has {wanted} number{plural}, one per channel, found {len(values)}"
        hint = f"write {wanted} number{plural}" + ("" if self.count == 1 else ", or one for all channels")
        self._refuse(error("Z0114", message, span, labels=labels, hint=hint))
        return None

    def check_end(
        self, shape: InputShape | None, input_span: Span | None, convert: Span | None, block: Span | None
    ) -> None:
        """Compare with the model's input.

        Args:
            shape: the input, `None` when it is unknown.
            input_span: where it is written.
            convert: where the image becomes a tensor.
            block: the block's name.
        """
        if shape is None or shape.channels == self.count:
            return
        wanted = channels(shape.channels)
        labels = () if input_span is None else (Label(input_span, f"the model takes {wanted}"),)
        message = f"the preprocessed image has {channels(self.count)}, but the model takes {wanted}"
        hint = self._remedy(shape.channels)
        self._refuse(error("Z0308", message, self.grey or convert or block, labels=labels, hint=hint))

    def _remedy(self, wanted: int) -> str:
        if self.grey is not None:
            return _other_grey(wanted)
        if self._in_colour == "vdsp":
            return "vdsp operations give three channels: write the steps out instead"
        return "add `Grayscale()` before it" if wanted == 1 else f"delete `NV12`: {_AS_MANY.format(wanted)}"


def _other_grey(wanted: int) -> str:
    if wanted == 1:
        return "write `Grayscale()`, which leaves one channel"
    if wanted == RGB:
        return "delete it, or write `Grayscale(channels=3)` for the grey value in all three"
    return f"delete it: {_AS_MANY.format(wanted)}"
