"""Vastai's `vdsp_params` JSON: the preprocessing that a `--vdsp_params` run executes in the prelude's place.

Meaning of the file, as this module takes it:

- `..._RESIZE_CVTCOLOR_CROP_NORM_TENSOR`: stretch to `ResizeWidth x ResizeHeight`, cut `OimageWidth x
  OimageHeight` at `(CropX, CropY)`. `..._RESIZE_CVTCOLOR_NORM_TENSOR`: stretch to `OimageWidth x
  OimageHeight`.
- `..._LETTERBOX_CVTCOLOR_NORM_TENSOR`: fit into `OimageWidth x OimageHeight`, ratio kept, centred on
  `Padding` (114 where the file has none). `_EXT`: stretch to `ResizeWidth x ResizeHeight`, then pad each
  side as stated.
- `Iimage...` describe vamp's buffers; images of any size are taken. A `BGR...` input format and a
  `ColorCvtCode` other than `NO_CHANGE` each reverse the channels, so both together cancel out.
- The normalization is compiled into the network, so the file's must be the compiled one.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .errors import PackageError

__all__ = ["VdspParams", "check_override", "parse_vdsp", "read_vdsp"]

_CROP = "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR"
_RESIZE = "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR"
_LETTERBOX = "FUSION_OP_RGB_LETTERBOX_CVTCOLOR_NORM_TENSOR"
_PADDINGS = ("PaddingLeft", "PaddingTop", "PaddingRight", "PaddingBottom")
_OUTPUT = ("OimageWidth", "OimageHeight")
_RESIZED = ("ResizeWidth", "ResizeHeight")
_GEOMETRY = {
    _CROP: (*_RESIZED, "CropX", "CropY", *_OUTPUT),
    _RESIZE: _OUTPUT,
    _LETTERBOX: _OUTPUT,
    f"{_LETTERBOX}_EXT": (*_RESIZED, *_PADDINGS),
}
_NORMALIZATIONS = {  # divisor; mean and std, None when the file's own hold
    "DIV255_MINUSMEAN_DIVSTD": (255.0, None),
    "MINUSMEAN_DIVSTD": (1.0, None),
    "DIV255": (255.0, (0.0, 1.0)),
    "DIV127.5_MINUSONE": (127.5, (1.0, 1.0)),
    "DIV1275_MINUSONE": (127.5, (1.0, 1.0)),
    "EQUAL": (1.0, (0.0, 1.0)),
}
_RESIZE_TYPES = {
    "BILINEAR_CV": "bilinear_cv",
    "BILINEAR": "bilinear_cv",
    "BILINEAR_PILLOW": "bilinear",
    "BICUBIC_PILLOW": "bicubic",
    "BOX_PILLOW": "box",
    "HAMMING_PILLOW": "hamming",
    "LANCZOS_PILLOW": "lanczos",
}
_FORMATS = ("RGB_PLANAR", "BGR_PLANAR", "RGB888", "BGR888")
_COLORS = ("NO_CHANGE", "RGB2BGR", "BGR2RGB")
_OTHER = ("IimageWidth", "IimageHeight", "IimageWidthPitch", "IimageHeightPitch", "Mean", "Std", "Padding")
_KEYS = (
    "IimageFormat", "ResizeType", "NormaType", "ColorCvtCode", "Scale", "TensorType0",
    *_OTHER, *_GEOMETRY[_CROP], *_PADDINGS,
)  # fmt: skip


@dataclass(frozen=True)
class VdspParams:
    """A checked vdsp file: steps for `reference.apply_steps`, the output's size, and the normalization.

    `mean` and `std` are in the channel order that the steps leave: `(pixel / divisor - mean) / std`.
    """

    steps: tuple[dict[str, Any], ...]
    height: int
    width: int
    bgr: bool
    divisor: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def read_vdsp(path: str | os.PathLike[str]) -> VdspParams:
    """Reads and checks a vdsp_params file.

    Raises:
        PackageError: unreadable, not JSON, or values that make no sense; with line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{os.fspath(path)}: cannot be read ({error}); check the path") from None
    return parse_vdsp(text, os.fspath(path))


def parse_vdsp(text: str, name: str) -> VdspParams:
    """`read_vdsp` for a text already read; `name` stands in messages."""
    return _File(text, name).checked()


class _File:
    """One file under examination: every complaint says where."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise PackageError(
                f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}; correct it"
            ) from None
        except RecursionError:
            raise PackageError(f"{name}:1:1: not a vdsp_params file: nested too deeply") from None
        if not isinstance(document, dict):
            raise PackageError(f"{name}:1:1: an object with OpType and OpConfig is wanted")
        self.op_type = self.choice(document, "OpType", tuple(_GEOMETRY))
        config = document.get("OpConfig")
        if not isinstance(config, dict):
            raise self.fault("OpConfig", "OpConfig, an object, is missing")
        self.config: dict[str, Any] = config

    def fault(self, key: str, message: str) -> PackageError:
        """An error at the first place that `key` is written as a key, else at the file's start."""
        found = re.search(rf'"{re.escape(key)}"\s*:', self.text)
        start = found.start() if found else 0
        line = self.text.count("\n", 0, start) + 1
        column = start - (self.text.rfind("\n", 0, start) + 1) + 1
        return PackageError(f"{self.name}:{line}:{column}: {message}")

    def choice(self, where: dict[str, Any], key: str, known: Sequence[str]) -> str:
        value = self.required(where, key)
        if value not in known:
            near = get_close_matches(str(value), known, 1, 0.5)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
            raise self.fault(key, f"{key} {json.dumps(value)} is unknown; {hint}")
        return str(value)

    def required(self, where: dict[str, Any], key: str) -> Any:
        if key in where:
            return where[key]
        near = get_close_matches(key, [str(k) for k in where if k not in _KEYS], 1, 0.7)
        if near:
            raise self.fault(near[0], f'{key} is missing; is "{near[0]}" a misspelling of it?')
        raise self.fault("OpConfig", f"{key} is missing; add it")

    def integer(self, key: str, least: int) -> int:
        value = self.required(self.config, key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.fault(
                key, f"{key} is {json.dumps(value)}; a whole number of at least {least} is wanted"
            )
        return value

    def triple(self, key: str) -> tuple[float, float, float]:
        value = self.required(self.config, key)
        values = value if isinstance(value, list) else [value]
        if len(values) != 3 or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
            raise self.fault(key, f"{key} is {json.dumps(value)}; three numbers are wanted")
        if not all(math.isfinite(v) for v in values):
            raise self.fault(key, f"{key} is {json.dumps(value)}; finite numbers are wanted")
        return float(values[0]), float(values[1]), float(values[2])

    def checked(self) -> VdspParams:
        for key in self.config:
            if key not in _KEYS:
                near = get_close_matches(key, _KEYS, 1, 0.7)
                hint = f'did you mean "{near[0]}"?' if near else "remove it"
                raise self.fault(key, f'unknown key "{key}"; {hint}')
        divisor, mean, std = self.normalization()
        resize = _RESIZE_TYPES[self.choice(self.config, "ResizeType", tuple(_RESIZE_TYPES))]
        order = self.choice(self.config, "IimageFormat", _FORMATS)
        color = self.choice(self.config, "ColorCvtCode", _COLORS)
        bgr = order.startswith("BGR") != (color != "NO_CHANGE")
        steps, height, width = self.geometry(resize)
        if bgr:
            steps.append({"op": "SwapChannels"})
        return VdspParams(tuple(steps), height, width, bgr, divisor, mean, std)

    def normalization(self) -> tuple[float, tuple[float, float, float], tuple[float, float, float]]:
        kind = self.choice(self.config, "NormaType", tuple(_NORMALIZATIONS))
        divisor, constants = _NORMALIZATIONS[kind]
        if constants is not None:
            mean, std = constants
            return divisor, (mean,) * 3, (std,) * 3
        stds = self.triple("Std")
        if 0 in stds:
            raise self.fault("Std", f"Std holds a 0, by which {kind} would divide; correct it")
        return divisor, self.triple("Mean"), stds

    def geometry(self, resize: str) -> tuple[list[dict[str, Any]], int, int]:
        if self.op_type == _LETTERBOX:
            width, height = (self.integer(key, 1) for key in _OUTPUT)
            fill = self.fill(114)
            box = {"op": "Letterbox", "height": height, "width": width, "fill": fill, "interpolation": resize}
            return [box], height, width
        if self.op_type == _RESIZE:
            width, height = (self.integer(key, 1) for key in _OUTPUT)
            return [_stretch(height, width, resize)], height, width
        width, height = (self.integer(key, 1) for key in _RESIZED)
        steps = [_stretch(height, width, resize)]
        if self.op_type == _CROP:
            left, top = self.integer("CropX", 0), self.integer("CropY", 0)
            out_width, out_height = (self.integer(key, 1) for key in _OUTPUT)
            if left + out_width > width or top + out_height > height:
                key = "CropX" if left + out_width > width else "CropY"
                raise self.fault(
                    key,
                    f"a crop of {out_width} x {out_height} at ({left}, {top}) reaches outside the "
                    f"resized image "
                    f"of {width} x {height}; lower the offset or the crop",
                )
            steps.append({"op": "Crop", "left": left, "top": top, "height": out_height, "width": out_width})
            return steps, out_height, out_width
        pads = [self.integer(key, 0) for key in _PADDINGS]
        names = ("left", "top", "right", "bottom")
        steps.append(
            {"op": "Pad", "mode": "constant", "fill": self.fill(0), **dict(zip(names, pads, strict=True))}
        )
        return steps, height + pads[1] + pads[3], width + pads[0] + pads[2]

    def fill(self, default: int) -> list[int]:
        if "Padding" not in self.config:
            return [default] * 3
        values = self.triple("Padding")
        if any(v != int(v) or not 0 <= v <= 255 for v in values):
            raise self.fault("Padding", "Padding holds a value that is no whole number from 0 to 255")
        return [int(v) for v in values]


def _stretch(height: int, width: int, resize: str) -> dict[str, Any]:
    if resize == "bilinear_cv":
        return {"op": "ResizeCv", "height": height, "width": width}
    return {"op": "Resize", "size": [height, width], "interpolation": resize}


_FP16_ROUNDING = 1e-3  # twice the relative rounding of fp16: the field's files hold Mean and Std so rounded


def check_override(
    params: VdspParams, preprocess: dict[str, Any], height: int, width: int, name: str
) -> None:
    """Refuses a vdsp file that means another network input than the one compiled.

    Args:
        params: the file.
        preprocess: the package's own, from its manifest.
        height: the network's.
        width: the network's.
        name: the file's name, for messages.

    Raises:
        PackageError: another output size, channel order or normalization.
    """
    if (params.height, params.width) != (height, width):
        raise PackageError(
            f"{name}: gives {params.width} x {params.height} pixels, but the network takes {width} x "
            f"{height}; "
            "correct OimageWidth and OimageHeight, or compile for that size"
        )
    swaps = sum(step["op"] == "SwapChannels" for step in preprocess["steps"])
    if params.bgr != (swaps % 2 == 1):
        order = "BGR" if params.bgr else "RGB"
        raise PackageError(
            f"{name}: ColorCvtCode gives {order}, but the network was compiled for the other channel order; "
            "change ColorCvtCode or compile again"
        )
    own = preprocess["normalize"]
    for key, theirs, ours in (("Mean", params.mean, own["mean"]), ("Std", params.std, own["std"])):
        asked = [value * params.divisor for value in theirs]
        compiled = [value * own["divisor"] for value in ours]
        for one, other in zip(asked, compiled, strict=True):
            if not math.isclose(one, other, rel_tol=_FP16_ROUNDING, abs_tol=1e-4):
                raise PackageError(
                    f"{name}: Mean, Std and NormaType mean another normalization than the one compiled "
                    f"into the "
                    f"network ({key} in pixel units: {asked} against {compiled}); compile again with "
                    f"these values"
                )
