"""Preprocessing steps as they are written in the language."""

from __future__ import annotations

from zooc.deployment import Normalize, Preprocess
from zooc_runtime.preprocessing.nv12 import is_nv12
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

__all__ = ["normalize_lines", "normalize_text", "preprocess_lines", "step_text"]


def preprocess_lines(preprocess: Preprocess) -> list[str]:
    """Return the statements of a `preprocess` block."""
    nv12 = is_nv12(preprocess.source)
    source = [] if not nv12 else [f"NV12({preprocess.source.removeprefix('nv12-')})"]
    return [*source, *map(step_text, preprocess.steps), *normalize_lines(preprocess.normalize)]


def step_text(step: Step) -> str:  # noqa: PLR0911 - one return a case
    """Return one step as the language writes it."""
    match step:
        case Decode(way):
            return f"Decode({way})"
        case Resize(size, interpolation, max_size):
            limit = f", max_size={max_size}" if max_size is not None else ""
            return f"Resize({_size(size)}, interpolation={interpolation}{limit})"
        case ResizeTorch(size, interpolation, max_size, antialias):
            limit = f", max_size={max_size}" if max_size is not None else ""
            how = "library=torch" if antialias else "library=torch, antialias=false"
            return f"Resize({_size(size)}, interpolation={interpolation}{limit}, {how})"
        case ResizeCv(height, width):
            return f"Resize([{height}, {width}], library=opencv)"
        case CenterCrop(height, width):
            return f"CenterCrop({height})" if height == width else f"CenterCrop([{height}, {width}])"
        case ECenterCrop(size):
            return f"ECenterCrop({size})"
        case Crop(left, top, height, width):
            return f"Crop(top={top}, left={left}, height={height}, width={width})"
        case Letterbox(height, width, interpolation, fill):
            how = "" if interpolation == "bilinear_cv" else f", interpolation={interpolation}, library=pillow"
            return f"Letterbox([{height}, {width}]{how}, fill={_fill(fill)})"
        case Pad(left, top, right, bottom, fill, mode):
            border = f", fill={_fill(fill)}" if mode == "constant" else f", mode={mode}"
            return f"Pad([{left}, {top}, {right}, {bottom}]{border})"
        case SwapChannels():
            return "BGR()"
        case Grayscale(channels):
            return "Grayscale()" if channels == 1 else f"Grayscale(channels={channels})"


def normalize_lines(normalize: Normalize) -> list[str]:
    """Return conversion and normalization, exact for every divisor."""
    mean, std = normalize.mean, normalize.std
    if normalize.divisor == 255:
        lines = ["ToTensor()"]
    else:
        lines = ["PILToTensor()"]
        # (p / d - m) / s is (p - m d) / (s d)
        mean = tuple(m * normalize.divisor for m in mean)
        std = tuple(s * normalize.divisor for s in std)
    if any(mean) or set(std) != {1.0}:
        lines.append(f"Normalize(mean={_numbers(mean)}, std={_numbers(std)})")
    return lines


def normalize_text(normalize: Normalize) -> str:
    """Return `normalize_lines` in one line."""
    return " ".join(normalize_lines(normalize))


def _size(size: int | tuple[int, int]) -> str:
    return str(size) if isinstance(size, int) else f"[{size[0]}, {size[1]}]"


def _fill(fill: tuple[int, int, int]) -> str:
    return str(fill[0]) if len(set(fill)) == 1 else str(list(fill))


def _numbers(values: tuple[float, ...]) -> str:
    return f"[{', '.join(map(repr, values))}]"
