"""vamc's `process_ops` as steps of the language.

`DecodeImage` gives RGB, `Resize` stretches as OpenCV does (the field's vdsp files of the same networks say
`BILINEAR_CV`), `Normalize` divides by 255 unless `div255` is false, `ToTensor` only reorders the axes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zooc.deployment import Normalize, Preprocess
from zooc.diagnostics.diagnostic import Span
from zooc.vastai.config import Input
from zooc.vastai.sections import Reading, Section
from zooc.vastai.yaml_tree import Node
from zooc_runtime.preprocessing.steps import CenterCrop, Letterbox, ResizeCv, Step, SwapChannels

__all__ = ["read_process_ops"]

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "DecodeImage": ("to_rgb", "channel_first", "img_mode"),
    "Resize": ("size", "adaptive_side", "interpolation", "backend"),
    "CenterCrop": ("crop_size", "size"),
    "Pad": ("pad_to_square", "pad_val", "size"),
    "CvtColor": ("code",),
    "Normalize": ("mean", "std", "div255", "norm_type"),
    "ToTensor": (),
    "ChannelSplit": ("index",),
    "CustomFunc": ("module_path", "func_name", "img_shape"),
}
_SWAPS = ("COLOR_RGB2BGR", "COLOR_BGR2RGB", "RGB2BGR", "BGR2RGB")
_MOST = 8192


@dataclass
class _State:
    steps: list[Step] = field(default_factory=list)
    normalize: Normalize | None = None
    fit: tuple[int, Span] | None = None
    sized: bool = False


def read_process_ops(node: Node, target: Input, reading: Reading) -> Preprocess | None:
    """Return the steps; `None` after an error.

    Args:
        node: the list.
        target: the network's input; where nothing resizes, a resize to its size is added with a warning.
        reading: takes the findings.
    """
    before = len([d for d in reading.diagnostics if d.severity == "error"])
    state = _State()
    for item in node.value:
        _read(item, state, target, reading)
    if state.fit is not None:
        side, span = state.fit
        hint = "a longer side needs `Pad` with `pad_to_square: true` after it"
        reading.error(
            "Z0804", f"a resize of the longer side to {side} does not give a fixed size", span, hint=hint
        )
    if not state.sized:
        message = (
            f"`process_ops` has no resize; a resize to the input's {target.width} x {target.height} is added"
        )
        reading.warn("Z0806", message, node.span, hint="check that this is what the network was trained with")
        state.steps.insert(0, ResizeCv(target.height, target.width))
    if len([d for d in reading.diagnostics if d.severity == "error"]) > before:
        return None
    return Preprocess(tuple(state.steps), state.normalize or Normalize(1.0))


def _read(item: Node, state: _State, target: Input, reading: Reading) -> None:
    kind = item.value.get("type") if isinstance(item.value, dict) else None
    if kind is None or not isinstance(kind.value, str):
        reading.error("Z0802", "a step of `process_ops` is a mapping with a `type`", item.span)
        return
    if kind.value not in _PARAMETERS:
        message = f"the step `{kind.value}` of `process_ops` has no counterpart"
        hint = f"known steps are {', '.join(_PARAMETERS)}"
        reading.error("Z0804", message, kind.span, hint=hint)
        return
    section = Section(item, kind.value, ("type", *_PARAMETERS[kind.value]), reading)
    for key in section.unknown:
        message = f"unknown key `{section.name(key)}`"
        reading.error("Z0803", message, section.span(key), hint="delete it, if it has no effect")
    match kind.value:
        case "Resize":
            _resize(section, state)
        case "CenterCrop":
            key = "crop_size" if section.has("crop_size") else "size"
            if (size := _size(section, key)) is not None:
                state.steps.append(CenterCrop(*size))
        case "Pad":
            _pad(section, state)
        case "CvtColor":
            _convert(section, state)
        case "Normalize":
            state.normalize = _normalize(section) or state.normalize
        case "ChannelSplit" | "CustomFunc":
            what = "extracts one channel of an image" if kind.value == "ChannelSplit" else "is Python code"
            reading.error("Z0804", f"`{kind.value}` {what}; this has no counterpart", kind.span)


def _size(section: Section, key: str) -> tuple[int, int] | None:
    node = section.node_of(key)
    if node is not None and isinstance(node.value, int) and not isinstance(node.value, bool):
        sides = [float(node.value)] * 2
    else:
        found = section.numbers(key, 2)
        if found is None:
            if node is None:
                section.reading.error(
                    "Z0802", f"`{section.name(key)}` is missing", section.span(), hint="add it"
                )
            return None
        sides = found
    if not all(side == int(side) and 1 <= side <= _MOST for side in sides):
        place = node.span if node is not None else section.span()
        section.reading.error(
            "Z0802", f"`{section.name(key)}` must be whole numbers from 1 to {_MOST}", place
        )
        return None
    return int(sides[0]), int(sides[1])


def _resize(section: Section, state: _State) -> None:
    adaptive = section.node_of("adaptive_side")
    size = section.node_of("size")
    state.sized = True
    if adaptive is not None and adaptive.value != "long":
        message = f"`{section.name('adaptive_side')}: {adaptive.shown}` has no counterpart"
        section.reading.error("Z0804", message, adaptive.span, hint="known is `long`")
    elif adaptive is not None and size is not None and isinstance(size.value, list):
        sides = [s.value for s in size.value if isinstance(s.value, int) and 0 < s.value <= _MOST]
        if len(sides) != 1:
            message = f"`{section.name('size')}` with `adaptive_side` must be one side and -1"
            section.reading.error("Z0802", message, size.span)
        else:
            state.fit = (sides[0], size.span)
    elif (whole := _size(section, "size")) is not None:
        state.steps.append(ResizeCv(*whole))


def _pad(section: Section, state: _State) -> None:
    if state.fit is None or section.get("pad_to_square", bool) is not True:
        message = "`Pad` is understood as `pad_to_square: true` after a resize of the longer side only"
        section.reading.error("Z0804", message, section.span("type"))
        return
    side = state.fit[0]
    state.fit = None
    state.steps.append(Letterbox(side, side))
    message = "a padded square becomes a `Letterbox`, centred on grey 114"
    hint = "give the vdsp file with --vdsp, which defines position and fill of the padding"
    section.reading.warn("Z0806", message, section.span("type"), hint=hint)


def _convert(section: Section, state: _State) -> None:
    code = section.get("code", str, required=True)
    if code is None:
        return
    if code not in _SWAPS:
        message = f"`CvtColor.code: {code}` has no counterpart"
        node = section.node_of("code")
        hint = "networks take RGB or BGR images here"
        section.reading.error("Z0804", message, node.span if node else None, hint=hint)
        return
    state.steps.append(SwapChannels())


def _normalize(section: Section) -> Normalize | None:
    divide = True
    if section.node_of("div255") is not None:
        divide = section.get("div255", bool) is not False
    elif section.has("div255"):
        message = "`Normalize.div255` is null, read as true"
        section.reading.warn("Z0806", message, section.span("div255"), hint="write true or false")
    divisor = 255.0 if divide else 1.0
    kind = section.node_of("norm_type")
    if section.has("norm_type") and (kind is None or kind.value in ("None", "none", "null")):
        if kind is not None:
            message = f"`Normalize.norm_type` is the word `{kind.value}`, read as null"
            section.reading.warn("Z0806", message, kind.span, hint="write `null`, or leave it out")
        return Normalize(divisor)
    if not section.has("mean") and not section.has("std"):
        return Normalize(divisor)
    mean, std = section.numbers("mean", 3), section.numbers("std", 3)
    if mean is None or std is None:
        for key in ("mean", "std"):
            if not section.has(key):
                section.reading.error("Z0802", f"`Normalize.{key}` is missing", section.span(), hint="add it")
        return None
    if min(std) <= 0:
        node = section.node_of("std")
        message = "`Normalize.std` must be above 0: pixels are divided by it"
        section.reading.error("Z0802", message, node.span if node else None)
        return None
    return Normalize(divisor, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))
