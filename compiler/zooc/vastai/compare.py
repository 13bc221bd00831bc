"""Holds two preprocessings against each other and says where they differ."""

from __future__ import annotations

import math

from zooc.deployment import Normalize, Preprocess
from zooc.vastai.steps_text import normalize_text, step_text
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Crop,
    Resize,
    ResizeCv,
    ResizeTorch,
    Step,
    SwapChannels,
)

__all__ = ["described", "differences"]

_ROUNDING = 1e-3
"""vdsp files hold Mean and Std as half-precision numbers."""


def differences(one: Preprocess, other: Preprocess) -> list[tuple[str, str, str]]:
    """Return what is unlike: the thing, and how each has it."""
    found: list[tuple[str, str, str]] = []
    if _geometry(one) != _geometry(other):
        found.append(("the geometry", " ".join(_steps(one)), " ".join(_steps(other))))
    if _order(one) != _order(other):
        found.append(("the channel order", _order(one), _order(other)))
    if not _same_normalization(one.normalize, other.normalize):
        found.append(("the normalization", normalize_text(one.normalize), normalize_text(other.normalize)))
    return found


def described(preprocess: Preprocess) -> str:
    """Return the whole preprocessing in one line."""
    return " ".join([*_steps(preprocess), normalize_text(preprocess.normalize)])


def _steps(preprocess: Preprocess) -> list[str]:
    return [step_text(step) for step in preprocess.steps]


def _geometry(preprocess: Preprocess) -> list[Step]:
    """The steps without swaps; a crop of the middle of a known size is the crop at that place."""
    steps: list[Step] = []
    size: tuple[int, int] | None = None
    for step in preprocess.steps:
        if isinstance(step, SwapChannels):
            continue
        if isinstance(step, CenterCrop) and size is not None:
            top, left = (round((whole - part) / 2) for whole, part in zip(size, _sides(step), strict=True))
            if top < 0 or left < 0:
                steps.append(step)
            elif (top, left) != (0, 0) or size != _sides(step):
                steps.append(Crop(left, top, step.height, step.width))
            size = _sides(step)
            continue
        if isinstance(step, Crop) and size == (step.height, step.width):
            continue
        steps.append(step)
        if isinstance(step, Resize | ResizeTorch):
            size = step.size if isinstance(step.size, tuple) else None
        elif isinstance(step, ResizeCv | Crop | CenterCrop):
            size = (step.height, step.width)
        else:
            size = None
    return steps


def _sides(step: CenterCrop) -> tuple[int, int]:
    return step.height, step.width


def _order(preprocess: Preprocess) -> str:
    swaps = sum(isinstance(step, SwapChannels) for step in preprocess.steps)
    return "BGR" if swaps % 2 else "RGB"


def _same_normalization(one: Normalize, other: Normalize) -> bool:
    if len(one.mean) != len(other.mean):
        return False
    for name in ("mean", "std"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            if not math.isclose(a * one.divisor, b * other.divisor, rel_tol=_ROUNDING, abs_tol=1e-4):
                return False
    return True
