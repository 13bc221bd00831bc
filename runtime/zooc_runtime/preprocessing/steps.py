"""The preprocessing's steps, which map `uint8` pixels to `uint8` pixels, and their form in manifests.

The compiler reads them from a description, and then each has the `span` it came from; the runtime reads them
from `manifest.json` or from a vdsp file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from ..errors import PackageError

__all__ = [
    "CenterCrop",
    "Crop",
    "Decode",
    "ECenterCrop",
    "Grayscale",
    "Interpolation",
    "Letterbox",
    "Pad",
    "PadMode",
    "Resize",
    "ResizeCv",
    "ResizeTorch",
    "Step",
    "SwapChannels",
    "TorchInterpolation",
    "decodes_scaled",
    "steps_from_json",
    "steps_to_json",
    "without_decoding",
]

Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
TorchInterpolation = Literal["bilinear", "bicubic"]
Decoding = Literal["exact", "scaled"]
PadMode = Literal["constant", "edge", "reflect", "symmetric"]


@dataclass(frozen=True, slots=True)
class Decode:
    """How image files are decoded: `scaled` reads JPEG files no larger than needed, which is inexact.

    It is the first step; the others begin with what is decoded.
    """

    how: Decoding = "scaled"
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Resize:
    """torchvision's `Resize` on a PIL image.

    `size` an int: the shorter side becomes `size`, the longer `int(size * long / short)`, at most
    `max_size`.
    `size` a pair: `(height, width)`.
    """

    size: int | tuple[int, int]
    interpolation: Interpolation = "bilinear"
    max_size: int | None = None
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """torchvision's `CenterCrop` on a PIL image; a smaller image is first padded with zeros."""

    height: int
    width: int
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ECenterCrop:
    """ResNeSt's crop of a centred square, `n / (n + 32)` of the shorter side, resized to `n x n` bicubic."""

    size: int
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pad:
    """torchvision's `Pad` on a PIL image; `fill` is RGB and matters only in mode `constant`.

    Of an image of other than three channels, `fill` is one value thrice.
    """

    left: int
    top: int
    right: int
    bottom: int
    fill: tuple[int, int, int] = (0, 0, 0)
    mode: PadMode = "constant"
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SwapChannels:
    """RGB to BGR (and back): reverses the channels."""

    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Grayscale:
    """torchvision's `Grayscale` on a PIL image: Pillow's `L`, in one channel or the same in three."""

    channels: int = 1
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Crop:
    """A crop at a fixed offset, as vdsp's `CropX`, `CropY`; it must lie inside the image."""

    left: int
    top: int
    height: int
    width: int
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ResizeCv:
    """OpenCV's `resize` with `INTER_LINEAR` on `uint8` (vdsp's `BILINEAR_CV`)."""

    height: int
    width: int
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ResizeTorch:
    """torchvision's `Resize` (v2) on a `uint8` tensor; sizes as in `Resize`."""

    size: int | tuple[int, int]
    interpolation: TorchInterpolation = "bilinear"
    max_size: int | None = None
    antialias: bool = True
    span: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Resized as a whole to fit into `height x width`, centred, the rest filled with `fill` (RGB)."""

    height: int
    width: int
    interpolation: Interpolation | Literal["bilinear_cv"] = "bilinear_cv"
    fill: tuple[int, int, int] = (114, 114, 114)
    span: Any = field(default=None, compare=False, repr=False)


Step = (
    Decode
    | Resize
    | CenterCrop
    | ECenterCrop
    | Pad
    | SwapChannels
    | Grayscale
    | Crop
    | ResizeCv
    | ResizeTorch
    | Letterbox
)

_KINDS: dict[str, type[Step]] = {kind.__name__: kind for kind in get_args(Step)}


def without_decoding(steps: Sequence[Step]) -> list[Step]:
    """Return the steps for files that are decoded in full."""
    return [step for step in steps if not isinstance(step, Decode)]


def decodes_scaled(steps: Sequence[Step]) -> bool:
    """Tell whether JPEG files may be decoded at a reduced size."""
    return any(isinstance(step, Decode) and step.how == "scaled" for step in steps)


def steps_to_json(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Return `[{"op": "Resize", "size": 256, ...}, ...]`: a step's keys are its fields; tuples are lists."""
    return [{"op": type(step).__name__, **_plain(step)} for step in steps]


def steps_from_json(entries: Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    """Return the steps that `steps_to_json` wrote.

    Raises:
        PackageError: a step is unknown, or lacks a parameter.
    """
    return tuple(_read(entry) for entry in entries)


def _plain(step: Step) -> dict[str, Any]:
    values = ((item.name, getattr(step, item.name)) for item in fields(step) if item.name != "span")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values}


def _read(entry: dict[str, Any]) -> Step:
    kind = _KINDS.get(str(entry.get("op")))
    if kind is None:
        name = entry.get("op")
        raise PackageError(f"unknown preprocessing step {name}; this package needs a newer runtime")
    values: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in entry.items() if key != "op"
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise PackageError(
            f"preprocessing step {kind.__name__}: {error}; compile the package again"
        ) from None
