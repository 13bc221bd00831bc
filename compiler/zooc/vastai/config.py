"""What a vamc build configuration says, as data, before it becomes a `.zoo` file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from zooc.deployment import CalibrationMethod, Preprocess
from zooc.diagnostics.diagnostic import Span

__all__ = ["Calibration", "Config", "Input"]


@dataclass(frozen=True)
class Input:
    """The network's one image input, NCHW."""

    name: str
    batch: int
    channels: int
    height: int
    width: int
    span: Span


@dataclass(frozen=True)
class Calibration:
    """`dataset` and `backend.quantize`."""

    folder: str | None
    suffix: str | None
    count: int | None
    method: CalibrationMethod
    per_channel: bool


@dataclass
class Config:
    """A build configuration.

    Attributes:
        name: the package's.
        input: `None` for a vdsp file alone whose sizes are not known.
        framework: `onnx`, `pytorch`, `keras`, ...: what `checkpoint` is.
        form: `image` for tvm_vacc, `tensor` for tvm_runmodel.
        preprocess: `process_ops` as steps, `None` without them.
        unused: settings without meaning here, `(key, value, why)`.
        remarks: what the reader of the result should know, a line each.
    """

    name: str
    name_span: Span | None = None
    input: Input | None = None
    framework: str = "onnx"
    checkpoint: str | None = None
    checkpoint_span: Span | None = None
    form: Literal["image", "tensor"] = "image"
    dtype: Literal["int8", "fp16", "fp32"] = "fp32"
    calibration: Calibration | None = None
    softmax: bool = False
    preprocess: Preprocess | None = None
    preprocess_span: Span | None = None
    unused: list[tuple[str, str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
