"""Vastai's `vdsp_params` JSON, as far as it means exactly what Pillow and torchvision do.

The files drive a hardware unit that resizes, swaps colours, crops and normalizes in one operation. Resizing
as OpenCV does (`BILINEAR_CV`) and crops off the centre have no equal among the language's steps: they are
refused with what to write instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zooc.deployment import CenterCrop, Interpolation, Resize
from zooc.diagnostics import Diagnostic, Span, error
from zooc.frontend.model_block import MAX_SIDE
from zooc.frontend.preprocess_flow import Action, Channels, Convert, Pixel, Standardize
from zooc.frontend.suggest import did_you_mean, either

__all__ = ["read_vdsp"]

Report = Callable[[Diagnostic], None]

_CROP = "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR"
_NO_CROP = "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR"
_INTERPOLATIONS: dict[str, Interpolation] = {"BILINEAR_PILLOW": "bilinear", "BICUBIC_PILLOW": "bicubic"}
_NORMA_TYPES = ("DIV255_MINUSMEAN_DIVSTD", "MINUSMEAN_DIVSTD", "DIV255", "DIV127.5_MINUSONE", "EQUAL")
_MAX_BYTES = 1_000_000


class _Refused(Exception):
    """Carries the reason why a file cannot be used."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def read_vdsp(path: Path, span: Span, report: Report) -> list[Action] | None:
    """The steps that the file describes; `None` after an error.

    Args:
        path: the JSON file.
        span: the call that names it; all findings point there.
        report: takes the finding.
    """
    try:
        return _translate(_load(path), span)
    except _Refused as reason:
        report(error(reason.code, f"{path.name}: {reason.message}", span, hint=reason.hint))
        return None


def _load(path: Path) -> dict[str, Any]:
    def no_constants(name: str) -> None:
        raise _Refused("Z0310", f"`{name}` is not JSON", "write a finite number")

    try:
        data = path.read_bytes()
        if len(data) > _MAX_BYTES:
            raise _Refused("Z0310", f"larger than {_MAX_BYTES:,} bytes", "is it a vdsp_params file?")
        document = json.loads(data.decode("utf-8-sig"), parse_constant=no_constants)
    except OSError as failure:
        raise _Refused("Z0310", f"cannot be read: {failure.strerror}") from None
    except json.JSONDecodeError as failure:
        raise _Refused(
            "Z0310", f"no JSON: {failure.msg} (line {failure.lineno}, column {failure.colno})"
        ) from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise _Refused("Z0310", "no JSON text in UTF-8") from None
    if not isinstance(document, dict):
        raise _Refused("Z0310", "holds no JSON object", 'it begins with `{"OpType": ...`')
    return document


def _translate(document: dict[str, Any], span: Span) -> list[Action]:
    kind = _text(document, "OpType")
    if kind not in (_CROP, _NO_CROP):
        hint = (
            did_you_mean(kind, (_CROP, _NO_CROP), cutoff=0.93)
            or "write the steps out in `preprocess { ... }`"
        )
        raise _Refused("Z0311", f"OpType `{kind}` is not supported yet", hint)
    config = document.get("OpConfig")
    if not isinstance(config, dict):
        raise _Refused("Z0310", "lacks the object `OpConfig`")
    image_format = config.get("IimageFormat", "RGB_PLANAR")
    if image_format != "RGB_PLANAR":
        raise _Refused(
            "Z0311", f"IimageFormat `{image_format}` is not supported yet", "images are read as RGB_PLANAR"
        )
    width, height = _side(config, "OimageWidth"), _side(config, "OimageHeight")
    crop: list[Action] = []
    resize_width, resize_height = width, height
    if kind == _CROP:
        resize_width, resize_height = _side(config, "ResizeWidth"), _side(config, "ResizeHeight")
        crop = _crop(config, (resize_width, resize_height), (width, height), span)
    resize = Resize(
        (resize_height, resize_width), _interpolation(config, resize_height, resize_width), None, span
    )
    return [Pixel(resize), *crop, *_colour(config, span), *_normalization(config, span)]


def _crop(
    config: dict[str, Any], resized: tuple[int, int], kept: tuple[int, int], span: Span
) -> list[Action]:
    offsets = _whole(config, "CropX", 0), _whole(config, "CropY", 0)
    for name, offset, whole, part in zip(("CropX", "CropY"), offsets, resized, kept, strict=True):
        if offset + part > whole:
            raise _Refused("Z0310", f"{name} {offset} and {part} pixels exceed the resized {whole}")
        centred = round((whole - part) / 2)
        if offset != centred:
            hint = f"a centred crop has {name} {centred}"
            raise _Refused(
                "Z0311", f"{name} {offset} is not a centred crop; others are not supported yet", hint
            )
    return [] if resized == kept else [Pixel(CenterCrop(kept[1], kept[0], span))]


def _interpolation(config: dict[str, Any], height: int, width: int) -> Interpolation:
    kind = _text(config, "ResizeType")
    if kind in _INTERPOLATIONS:
        return _INTERPOLATIONS[kind]
    if kind not in ("BILINEAR_CV", "BILINEAR"):
        hint = did_you_mean(kind, _INTERPOLATIONS)
        raise _Refused("Z0310", f"unknown ResizeType `{kind}`", hint or f"it takes {either(_INTERPOLATIONS)}")
    hint = (
        f"if Pillow's pixels will do, set ResizeType to BILINEAR_PILLOW, or write "
        f"`Resize([{height}, {width}])` and the rest into `preprocess {{ ... }}`"
    )
    raise _Refused("Z0311", f"ResizeType `{kind}` (OpenCV's pixels) is not supported yet", hint)


def _colour(config: dict[str, Any], span: Span) -> list[Action]:
    code = _text(config, "ColorCvtCode")
    if code == "NO_CHANGE":
        return []
    if code == "RGB2BGR":
        return [Channels("BGR", span)]
    if code == "BGR2RGB":
        hint = "images are read as RGB: use NO_CHANGE, or RGB2BGR for a network that takes BGR"
        raise _Refused("Z0311", "ColorCvtCode `BGR2RGB` is not supported yet", hint)
    near = did_you_mean(code, ("NO_CHANGE", "RGB2BGR", "BGR2RGB"))
    raise _Refused("Z0310", f"unknown ColorCvtCode `{code}`", near)


def _normalization(config: dict[str, Any], span: Span) -> list[Action]:
    kind = _text(config, "NormaType")
    match kind:
        case "DIV255_MINUSMEAN_DIVSTD" | "MINUSMEAN_DIVSTD":
            mean, std = _triple(config, "Mean"), _triple(config, "Std")
            if min(std) <= 0:
                raise _Refused("Z0310", "Std must be above 0")
            return [Convert(255.0 if kind.startswith("DIV255") else 1.0, span), Standardize(mean, std, span)]
        case "DIV255":
            return [Convert(255.0, span)]
        case "DIV127.5_MINUSONE" | "DIV1275_MINUSONE":  # both spellings are in use
            return [Convert(127.5, span), Standardize((1.0,) * 3, (1.0,) * 3, span)]
        case "EQUAL":
            return [Convert(1.0, span)]
    hint = did_you_mean(kind, _NORMA_TYPES) or f"it takes {either(_NORMA_TYPES)}"
    raise _Refused("Z0310", f"unknown NormaType `{kind}`", hint)


def _text(config: dict[str, Any], key: str) -> str:
    value = config.get(key)
    if not isinstance(value, str):
        raise _Refused("Z0310", f"lacks the string `{key}`" if value is None else f"`{key}` must be a string")
    return value


def _whole(config: dict[str, Any], key: str, low: int) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= MAX_SIDE:
        problem = (
            f"lacks `{key}`" if value is None else f"`{key}` must be a whole number from {low} to {MAX_SIDE}"
        )
        raise _Refused("Z0310", problem)
    return value


def _side(config: dict[str, Any], key: str) -> int:
    return _whole(config, key, 1)


def _triple(config: dict[str, Any], key: str) -> tuple[float, float, float]:
    value = config.get(key)
    if not isinstance(value, list) or len(value) != 3:
        raise _Refused("Z0310", f"`{key}` must be a list of three numbers")
    numbers: list[float] = []
    for item in value:
        if not isinstance(item, int | float) or isinstance(item, bool) or not _finite(item):
            raise _Refused("Z0310", f"`{key}` must be a list of three finite numbers")
        numbers.append(float(item))
    return numbers[0], numbers[1], numbers[2]


def _finite(number: int | float) -> bool:
    return abs(number) < 1e38 and math.isfinite(number)
