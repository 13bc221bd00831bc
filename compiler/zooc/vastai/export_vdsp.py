"""Preprocessing as a `vdsp_params` JSON, as the field writes it: sizes, and Mean and Std rounded to fp16."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zooc.deployment import Normalize, Preprocess
from zooc.diagnostics.diagnostic import Span
from zooc.vastai.steps_text import step_text
from zooc_runtime.preprocessing.nv12 import is_nv12
from zooc_runtime.preprocessing.sources import bands_of
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Crop,
    Decode,
    ECenterCrop,
    Grayscale,
    Letterbox,
    Pad,
    Resize,
    ResizeCv,
    ResizeTorch,
    Step,
    SwapChannels,
)
from zooc_runtime.preprocessing.vdsp.keys import RESIZE_TYPES

__all__ = ["NotExpressible", "vdsp_document"]

_RGB, _NV12, _END = "FUSION_OP_RGB_", "FUSION_OP_YUV_NV12_", "_NORM_TENSOR"
_NAMES = {
    "crop": "RESIZE_CVTCOLOR_CROP",
    "resize": "RESIZE_CVTCOLOR",
    "letterbox": "LETTERBOX_CVTCOLOR",
    "letterbox_ext": "LETTERBOX_CVTCOLOR",
    "crop_first": "CROP_RESIZE_CVTCOLOR",
}
_NV12_NAMES = {"crop": "CVTCOLOR_RESIZE_CROP", "resize": "CVTCOLOR_RESIZE", "letterbox": "CVTCOLOR_LETTERBOX"}
_ECENTER_MARGIN = 32
_ONE = (1.0, 1.0, 1.0)
_ZERO = (0.0, 0.0, 0.0)


class NotExpressible(Exception):
    """No vdsp operation does this.

    Attributes:
        reason: which step, and why.
        span: the step's place.
    """

    def __init__(self, reason: str, span: Span | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.span = span


@dataclass(frozen=True)
class _Approximation:
    """A step, what takes its place, and what is then different."""

    steps: tuple[Step, ...]
    difference: str


def vdsp_document(preprocess: Preprocess, *, approximate: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Return the JSON's values.

    Args:
        preprocess: the steps.
        approximate: replace steps that no operation does by the nearest that one does.

    Returns:
        `{"OpType": ..., "OpConfig": {...}}`, and what differs, a line each; nothing without `approximate`.

    Raises:
        NotExpressible: naming the step.
    """
    changes: list[str] = []
    steps: list[Step] = []
    swapped = False
    if (bands := bands_of(preprocess.source)) is not None:
        raise NotExpressible(
            f"every operation has three channels, but the images have {bands}", preprocess.span
        )
    for step in preprocess.steps:
        if isinstance(step, SwapChannels):
            swapped = not swapped
            continue
        if isinstance(step, Decode) and approximate:
            changes.append(f"{step_text(step)}: a file is decoded before the operation, and in full")
            continue
        stand_in = _approximation(step)
        if stand_in is None:
            steps.append(_unswapped(step, swapped=swapped))
        elif approximate and stand_in.steps:
            steps += stand_in.steps
            changes.append(f"{step_text(step)}: {stand_in.difference}")
        else:
            raise NotExpressible(f"{step_text(step)} {stand_in.difference}", step.span)
    kind, geometry, image = _geometry(steps)
    nv12 = is_nv12(preprocess.source)
    if nv12 and kind not in _NV12_NAMES:
        raise NotExpressible("no NV12 operation pads or crops like this", preprocess.span)
    if preprocess.source == "nv12-bt709":
        if not approximate:
            raise NotExpressible(
                "NV12(bt709): a vdsp file cannot name the matrix; BT.601 is implied", preprocess.span
            )
        changes.append("NV12(bt709): converted with BT.601's coefficients")
    name = f"{_NV12}{_NV12_NAMES[kind]}{_END}" if nv12 else f"{_RGB}{_NAMES[kind]}{_END}"
    config = {
        "IimageFormat": "YUV_NV12" if nv12 else "RGB_PLANAR",
        "IimageWidth": image[1],
        "IimageHeight": image[0],
        **geometry,
        "IimageWidthPitch": image[1],
        "IimageHeightPitch": image[0],
        **_normalization(preprocess.normalize),
        "ColorCvtCode": _color(nv12=nv12, swapped=swapped),
        "ResizeType": _resize_type(steps),
    }
    return {"OpType": f"{name}_EXT" if kind == "letterbox_ext" else name, "OpConfig": config}, changes


def _approximation(step: Step) -> _Approximation | None:  # noqa: PLR0911 - one return a case
    """`None` for a step that an operation does exactly; `steps` is empty where nothing comes near."""
    match step:
        case Decode():
            return _Approximation((), "is about files; an operation begins with what is decoded of them")
        case Resize(size, interpolation, max_size):
            if max_size is not None:
                return _Approximation((), "limits the longer side, which no operation can do")
            if isinstance(size, int):
                stretched = Resize((size, size), _nearest(interpolation))
                return _Approximation((stretched,), "keeps the aspect ratio, but the operations do not")
            if _nearest(interpolation) != interpolation:
                return _Approximation((replace(step, interpolation="bilinear"),), "has no ResizeType")
        case ResizeTorch():
            return _Approximation((), "resizes as torch does, which has no ResizeType")
        case ECenterCrop(size):
            side = size + _ECENTER_MARGIN
            steps = (Resize((side, side), "bicubic"), CenterCrop(size, size))
            return _Approximation(steps, "crops before it resizes, but the operations resize the whole image")
        case Pad(mode=mode) if mode != "constant":
            return _Approximation(
                (replace(step, mode="constant"),),
                "mirrors or repeats pixels, but the operations fill with a colour",
            )
        case Grayscale():
            return _Approximation((), "makes grey of colours, but the operations only reverse them")
        case Letterbox(interpolation="nearest"):
            return _Approximation((replace(step, interpolation="bilinear"),), "has no ResizeType")
        case _:
            return None
    return None


def _nearest(interpolation: str) -> Any:
    return interpolation if interpolation in RESIZE_TYPES.values() else "bilinear"


def _unswapped(step: Step, *, swapped: bool) -> Step:
    """Colours as RGB: the operations reverse the channels last."""
    if swapped and isinstance(step, Pad | Letterbox):
        red, green, blue = step.fill
        return replace(step, fill=(blue, green, red))
    return step


def _geometry(steps: list[Step]) -> tuple[str, dict[str, Any], tuple[int, int]]:
    """Kind of operation, the keys of sizes and places, and the input image's nominal height and width."""
    match steps:
        case [Letterbox(height, width, _, fill)]:
            return "letterbox", {**_output(height, width), "Padding": list(fill)}, (height, width)
        case [(Resize() | ResizeCv()) as resize]:
            size = _sides(resize)
            return "resize", _output(*size), size
        case [(Resize() | ResizeCv()) as resize, (CenterCrop() | Crop()) as crop]:
            size = _sides(resize)
            return "crop", {**_output(crop.height, crop.width), **_crop(crop, size), **_resized(size)}, size
        case [Crop() as crop, (Resize() | ResizeCv()) as resize]:
            size = _sides(resize)
            place = {
                "CropX": crop.left,
                "CropY": crop.top,
                "CropWidth": crop.width,
                "CropHeight": crop.height,
            }
            nominal = crop.top + crop.height, crop.left + crop.width
            return "crop_first", {**_output(*size), **place}, nominal
        case [(Resize() | ResizeCv()) as resize, Pad() as pad]:
            size = _sides(resize)
            sides = {f"Padding{s.capitalize()}": getattr(pad, s) for s in ("left", "top", "right", "bottom")}
            return "letterbox_ext", {"Padding": list(pad.fill), **sides, **_resized(size)}, size
    if not steps:
        raise NotExpressible("there is no resize, but every operation has one")
    shown = ", ".join(step_text(step) for step in steps)
    first = next((s for s in steps if not isinstance(s, Resize | ResizeCv)), steps[-1])
    raise NotExpressible(f"no operation does these steps in this order: {shown}", first.span)


def _crop(crop: CenterCrop | Crop, size: tuple[int, int]) -> dict[str, int]:
    if crop.height > size[0] or crop.width > size[1]:
        raise NotExpressible(f"{step_text(crop)} is larger than the resized image", crop.span)
    if isinstance(crop, Crop):
        return {"CropX": crop.left, "CropY": crop.top}
    return {"CropX": round((size[1] - crop.width) / 2), "CropY": round((size[0] - crop.height) / 2)}


def _sides(resize: Resize | ResizeCv) -> tuple[int, int]:
    if isinstance(resize, ResizeCv):
        return resize.height, resize.width
    assert isinstance(resize.size, tuple)
    return resize.size


def _output(height: int, width: int) -> dict[str, int]:
    return {"OimageWidth": width, "OimageHeight": height}


def _resized(size: tuple[int, int]) -> dict[str, int]:
    return {"ResizeWidth": size[1], "ResizeHeight": size[0]}


def _normalization(normalize: Normalize) -> dict[str, Any]:
    divisor, mean, std = normalize.divisor, normalize.mean, normalize.std
    plain = (mean, std) == (_ZERO, _ONE)
    if divisor == 255:
        return (
            {"NormaType": "DIV255"}
            if plain
            else _scaled("DIV255_MINUSMEAN_DIVSTD", mean, std, normalize.span)
        )
    scaled = tuple(m * divisor for m in mean), tuple(s * divisor for s in std)
    if scaled == ((127.5,) * 3, (127.5,) * 3):
        return {"NormaType": "DIV1275_MINUSONE"}
    if scaled == (_ZERO, _ONE):
        return {"NormaType": "EQUAL"}
    return _scaled("MINUSMEAN_DIVSTD", *scaled, normalize.span)


def _scaled(kind: str, mean: tuple[float, ...], std: tuple[float, ...], span: Span | None) -> dict[str, Any]:
    with np.errstate(over="ignore"):
        rounded = [[float(np.float16(value)) for value in values] for values in (mean, std)]
    if not np.isfinite(rounded).all() or min(rounded[1]) <= 0:
        raise NotExpressible(
            "mean or std is too large for half precision, in which vdsp files store them", span
        )
    return {"Mean": rounded[0], "Std": rounded[1], "NormaType": kind}


def _color(*, nv12: bool, swapped: bool) -> str:
    if nv12:
        return "YUV2BGR_NV12" if swapped else "YUV2RGB_NV12"
    return "RGB2BGR" if swapped else "NO_CHANGE"


def _resize_type(steps: list[Step]) -> str:
    for step in steps:
        match step:
            case ResizeCv():
                return "BILINEAR_CV"
            case Resize(interpolation=word) | Letterbox(interpolation=word):
                return next(name for name, known in RESIZE_TYPES.items() if known == word)
    raise NotExpressible("there is no resize, but every operation has one")
