"""Vastai's `vdsp_params` JSON: a preprocessing in one object, examined and translated into steps.

Meaning of the file, as this module takes it:

- `FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR`: stretch to `ResizeWidth x ResizeHeight`, cut
  `OimageWidth x OimageHeight` at `(CropX, CropY)`. `..._CROP_RESIZE_CVTCOLOR...`: cut `CropWidth x
  CropHeight`, then stretch. `..._RESIZE_CVTCOLOR_NORM_TENSOR`: stretch to `OimageWidth x OimageHeight`.
- `..._LETTERBOX_CVTCOLOR_NORM_TENSOR`: fit into `OimageWidth x OimageHeight`, ratio kept, centred on
  `Padding` (114 where the file has none). `_EXT`: stretch to `ResizeWidth x ResizeHeight`, then pad each
  side as stated (with 0 where the file has no `Padding`).
- `FUSION_OP_YUV_NV12_CVTCOLOR_...`: the same after a conversion from NV12, of BT.601. `RGB` operations with
  an `IimageFormat` of `YUV_NV12` mean this too.
- `Iimage...` sizes describe vamp's buffers; images of any size are taken. A `BGR...` input format and a
  `ColorCvtCode` other than `NO_CHANGE` each reverse the channels, so both together cancel out.
- A missing `OimageWidth` or `OimageHeight` is the network's: the accelerator's own tools fill it in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ...errors import PackageError
from ..steps import Crop, Letterbox, Pad, Resize, ResizeCv, Step, SwapChannels
from .keys import COLORS, FORMATS, KEYS, NORMALIZATIONS, OPERATIONS, RESIZE_TYPES, UNSUPPORTED, Geometry
from .placed_json import JsonError, Placed, position, read_json
from .values import ConfigReader, Fault

Shape = tuple[list[Step], int, int]
"""Steps, and the height and width that they leave."""

__all__ = ["Examination", "Fault", "VdspParams", "examine_values", "examine_vdsp", "parse_vdsp", "read_vdsp"]


@dataclass(frozen=True)
class VdspParams:
    """A checked vdsp file: steps, the output's size, and the normalization.

    `mean` and `std` are in the channel order that the steps leave: `(pixel / divisor - mean) / std`.
    `source` is as in the manifest: `rgb`, or `nv12-bt601` where the file works on camera frames.
    """

    steps: tuple[Step, ...]
    height: int
    width: int
    bgr: bool
    divisor: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str = "rgb"


@dataclass(frozen=True)
class Examination:
    """What a text says.

    Attributes:
        params: `None` exactly when there are faults.
        faults: all of them, in the order found.
        assumed: the keys that the file lacks and for which defaults were taken.
        unused: `Mean` and `Std` where the file's `NormaType` gives them no effect.
        places: where each key's value stands.
    """

    params: VdspParams | None
    faults: tuple[Fault, ...]
    assumed: tuple[str, ...]
    unused: tuple[str, ...]
    places: Mapping[str, tuple[int, int]]


def read_vdsp(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> VdspParams:
    """Read and check a vdsp_params file.

    Args:
        path: the file.
        size: the network's height and width, for a file that leaves its output's size out.

    Raises:
        PackageError: unreadable, not JSON, or values that make no sense; with line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{os.fspath(path)}: cannot be read ({error}); check the path") from None
    return parse_vdsp(text, os.fspath(path), size)


def parse_vdsp(text: str, name: str, size: tuple[int, int] | None = None) -> VdspParams:
    """Check a text already read as `read_vdsp` does; `name` stands in messages. Raises the first fault."""
    found = examine_vdsp(text, {} if size is None else {"OimageHeight": size[0], "OimageWidth": size[1]})
    if found.params is None:
        fault = found.faults[0]
        line, column = position(text, fault.start)
        hint = f"; {fault.hint}" if fault.hint else ""
        raise PackageError(f"{name}:{line}:{column}: {fault.message}{hint}")
    return found.params


def examine_vdsp(text: str, defaults: Mapping[str, int] | None = None) -> Examination:
    """Return all faults of a file, or what it means.

    Args:
        text: the file's.
        defaults: values of sizes and offsets that the file may leave out.
    """
    try:
        document = read_json(text)
    except JsonError as error:
        return Examination(None, (Fault(error.start, error.end, error.message, error.hint),), (), (), {})
    return examine_values(document, defaults)


def examine_values(document: Placed, defaults: Mapping[str, int] | None = None) -> Examination:
    """Return all faults of values already read, or what they mean."""
    file = _File(document, defaults or {})
    params = file.checked()
    if file.faults:
        params = None
    return Examination(params, tuple(file.faults), tuple(file.assumed), tuple(file.unused), file.places())


class _File(ConfigReader):
    """One file under examination."""

    def checked(self) -> VdspParams | None:
        if not isinstance(self.document.value, dict):
            start = self.document.start
            self.fault((start, start + 1), "an object with OpType and OpConfig is wanted")
            return None
        operation = self.operation()
        config = self.document.value.get("OpConfig")
        if operation is None:
            return None
        if config is None or not isinstance(config.value, dict):
            place = self.document.keys.get("OpConfig", (self.document.start, self.document.start + 1))
            self.fault(place, "OpConfig, an object, is missing", 'add `"OpConfig": {...}`')
            return None
        self.config = config
        self.unknown_keys()
        normalization = self.normalization()
        resize = self.choice("ResizeType", tuple(RESIZE_TYPES))
        source, bgr = self.channels(operation)
        shape = self.geometry(operation.kind, RESIZE_TYPES.get(resize or "", "bilinear_cv"))
        if normalization is None or shape is None:
            return None
        steps, height, width = shape
        if bgr:
            steps.append(SwapChannels())
        return VdspParams(tuple(steps), height, width, bgr, *normalization, source)

    def operation(self) -> Geometry | None:
        found = self.document.value.get("OpType")
        if found is None:
            self.fault(
                (self.document.start, self.document.start + 1), "OpType is missing", 'add `"OpType": "..."`'
            )
            return None
        name = found.value
        if isinstance(name, str) and name in OPERATIONS:
            return OPERATIONS[name]
        for beginning, reason in UNSUPPORTED.items():
            if isinstance(name, str) and name.startswith(beginning):
                self.fault(found, f"OpType {name} {reason}", unsupported=True)
                return None
        near = get_close_matches(str(name), OPERATIONS, 1, 0.8)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(OPERATIONS)}"
        self.fault(found, f"OpType {json.dumps(found.plain())} is unknown", hint)
        return None

    def unknown_keys(self) -> None:
        for key, place in self.config.keys.items():
            if key not in KEYS:
                near = get_close_matches(key, KEYS, 1, 0.7)
                hint = f'did you mean "{near[0]}"?' if near else "remove it"
                self.fault(place, f'unknown key "{key}"', hint)

    def normalization(self) -> tuple[float, tuple[float, float, float], tuple[float, float, float]] | None:
        kind = self.choice("NormaType", tuple(NORMALIZATIONS))
        if kind is None:
            return None
        divisor, constants = NORMALIZATIONS[kind]
        if constants is not None:
            self.unused = [key for key in ("Mean", "Std") if key in self.config.value]
            mean, std = constants
            return divisor, (mean,) * 3, (std,) * 3
        means, stds = self.triple("Mean"), self.triple("Std")
        if means is None or stds is None:
            return None
        for item in self.config.value["Std"].value:
            if item.value <= 0:
                what = "a 0" if item.value == 0 else f"{item.value}"
                self.fault(item, f"Std holds {what}, by which {kind} would divide", "write a number above 0")
                return None
        return divisor, means, stds

    def channels(self, operation: Geometry) -> tuple[str, bool]:
        """Return the source, and whether the steps end in BGR."""
        default = "YUV_NV12" if operation.nv12 else None
        order = self.choice("IimageFormat", FORMATS, default) or "RGB_PLANAR"
        nv12 = order == "YUV_NV12"
        if operation.nv12 and not nv12:
            self.fault(
                self.config.value["IimageFormat"], f"IimageFormat {order} is not what this OpType takes"
            )
        color = self.choice("ColorCvtCode", COLORS, "YUV2RGB_NV12" if nv12 else None) or "NO_CHANGE"
        if not nv12 and color.endswith("NV12"):
            hint = "use NO_CHANGE, RGB2BGR or BGR2RGB"
            self.fault(self.config.value["ColorCvtCode"], f"ColorCvtCode {color} needs YUV_NV12 input", hint)
        if nv12:
            return "nv12-bt601", color in ("YUV2BGR_NV12", "RGB2BGR", "BGR2RGB")
        return "rgb", order.startswith("BGR") != (color != "NO_CHANGE")

    def geometry(self, kind: str, resize: Any) -> Shape | None:  # noqa: PLR0911 - one return a case
        if kind == "letterbox_ext":
            return self.extended(resize)
        output = self.integers("OimageHeight", "OimageWidth")
        if kind == "crop":
            return self.cropped(resize, output)
        if kind == "crop_first":
            size, offset = self.integers("CropHeight", "CropWidth"), self.integers("CropY", "CropX", least=0)
            if output is None or size is None or offset is None:
                return None
            crop = Crop(left=offset[1], top=offset[0], height=size[0], width=size[1])
            return [crop, _stretch(output, resize)], output[0], output[1]
        fill = self.fill(114) if kind == "letterbox" else None
        if output is None:
            return None
        if kind == "resize":
            return [_stretch(output, resize)], output[0], output[1]
        if fill is None:
            return None
        return [Letterbox(output[0], output[1], resize, fill)], output[0], output[1]

    def cropped(self, resize: Any, output: list[int] | None) -> Shape | None:
        resized = self.integers("ResizeHeight", "ResizeWidth")
        offset = self.integers("CropY", "CropX", least=0)
        if output is None or resized is None or offset is None:
            return None
        (height, width), (top, left) = output, offset
        outside = [
            key
            for key, o, part, whole in zip(("CropY", "CropX"), offset, output, resized, strict=True)
            if o + part > whole
        ]
        if outside:
            key = outside[-1] if outside[-1] in self.config.value else "OpType"
            place = self.places().get(key, (self.config.start, self.config.start + 1))
            message = (
                f"a crop of {width} x {height} at ({left}, {top}) reaches outside the resized image of "
                f"{resized[1]} x {resized[0]}"
            )
            self.fault(place, message, "lower the offset or the crop")
            return None
        crop = Crop(left=left, top=top, height=height, width=width)
        return [_stretch(resized, resize), crop], height, width

    def extended(self, resize: Any) -> Shape | None:
        resized = self.integers("ResizeHeight", "ResizeWidth")
        sides = ("left", "top", "right", "bottom")
        pads = self.integers(*(f"Padding{side.capitalize()}" for side in sides), least=0)
        fill = self.fill(0)
        if resized is None or pads is None or fill is None:
            return None
        left, top, right, bottom = pads
        pad = Pad(left, top, right, bottom, fill)
        height, width = resized[0] + pads[1] + pads[3], resized[1] + pads[0] + pads[2]
        return [_stretch(resized, resize), pad], height, width

    def fill(self, default: int) -> tuple[int, int, int] | None:
        edge = self.config.value.get("EdgePaddingType")
        if edge is not None and edge.value != "CONSTANT":
            shown = json.dumps(edge.plain())
            self.fault(edge, f"EdgePaddingType {shown} is not supported", "use CONSTANT", unsupported=True)
        if "Padding" not in self.config.value:
            return default, default, default
        values = self.triple("Padding")
        if values is None:
            return None
        if any(v != int(v) or not 0 <= v <= 255 for v in values):
            place = self.config.value["Padding"]
            self.fault(place, "Padding holds a value that is no whole number from 0 to 255")
            return None
        return int(values[0]), int(values[1]), int(values[2])


def _stretch(size: list[int], resize: Any) -> Step:
    height, width = size
    return ResizeCv(height, width) if resize == "bilinear_cv" else Resize((height, width), resize)
