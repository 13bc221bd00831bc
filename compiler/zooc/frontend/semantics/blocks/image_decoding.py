"""`Decode(exact|scaled)`: the first step, which needs files to decode and a resize that reads all pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zooc.diagnostics.diagnostic import Diagnostic, Label, error
from zooc_runtime.preprocessing.reduced_decoding import first_in_space
from zooc_runtime.preprocessing.sources import RGB, channels
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
)

__all__ = ["check_decoding"]

Report = Callable[[Diagnostic], None]

_Resizes = Resize | ResizeCv | ResizeTorch | Letterbox | ECenterCrop


def check_decoding(
    steps: Sequence[Step | None], first: int, refuse: Report, *, frames: bool
) -> tuple[Decode, ...]:
    """Check where `Decode` stands and what follows; return the step, nothing where files are decoded exactly.

    Args:
        steps: in order, `None` for what is no step on pixels.
        first: how many channels images have before the first step.
        refuse: takes the findings.
        frames: whether the package takes NV12 frames.
    """
    found = [step for step in steps if isinstance(step, Decode)]
    if not found:
        return ()
    decode = found[0]
    if frames:
        message = "`Decode` is about image files, but the package takes NV12 frames"
        refuse(error("Z0325", message, decode.span, hint="delete it"))
        return ()
    for again in found[1:]:
        label = Label(decode.span, "first here")
        refuse(
            error("Z0324", "`Decode` is given twice", again.span, labels=(label,), hint="keep one of the two")
        )
    if steps[0] is not decode:
        message = "`Decode` says how image files are read and must be the first step"
        refuse(error("Z0324", message, decode.span, hint="move it to the beginning of the block"))
    if decode.how == "exact":
        return ()
    _check_scaled(decode, [step for step in steps if step is not None], first, refuse)
    return (decode,)


def _check_scaled(decode: Decode, steps: Sequence[Step], first: int, refuse: Report) -> None:
    next_step = first_in_space(steps)
    if first != RGB:
        message = f"`Decode(scaled)` is for JPEG files in colour, but the images have {channels(first)}"
        refuse(error("Z0325", message, decode.span, hint="delete it"))
    elif next_step is None or not any(isinstance(step, _Resizes) for step in steps):
        message = "`Decode(scaled)` goes with a resize, and no step resizes"
        refuse(error("Z0325", message, decode.span, hint="delete it: every pixel of the image is needed"))
    elif isinstance(next_step, CenterCrop | Crop | Pad):
        name = type(next_step).__name__
        message = f"`Decode(scaled)` goes with a resize, but `{name}` comes before it"
        label = Label(next_step.span, "this counts pixels of the whole picture")
        hint = "delete it, or resize first if training did"
        refuse(error("Z0325", message, decode.span, labels=(label,), hint=hint))
    elif _takes_single_pixels(next_step):
        message = "`Decode(scaled)` goes with a resize that takes in all pixels, and this one does not"
        label = Label(next_step.span, "this picks out pixels, and of a smaller picture others")
        hint = "delete it, or resize with antialiasing if training did: `Resize(...)` without `library`"
        refuse(error("Z0325", message, decode.span, labels=(label,), hint=hint))


def _takes_single_pixels(step: Step) -> bool:
    """Whether a resize leaves pixels out where it shrinks."""
    match step:
        case ResizeTorch():
            return not step.antialias
        case Resize() | Letterbox():
            return step.interpolation in ("nearest", "bilinear_cv")
    return isinstance(step, ResizeCv)
