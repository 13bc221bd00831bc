"""Writes a configuration as a commented `.zoo` file."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from zooc.deployment import ModelSource, Preprocess
from zooc.vastai.config import Calibration, Config
from zooc.vastai.guess_source import package_name
from zooc.vastai.steps_text import preprocess_lines

__all__ = ["Plan", "write_zoo"]


@dataclass(frozen=True)
class Plan:
    """What was decided about a configuration.

    Attributes:
        origin: the files it came from, for the first line.
        source: the model that the names tell, `None` for an ONNX file.
        onnx: the ONNX file's path as the description names it; with `source` the alternative to it.
        use_onnx: whether the ONNX file is the source.
        weights: the value of `weights`, as written in the language.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        preprocess: `None` for the tensor form.
        folder: of the calibration images as the description names it.
        imagenet: whether the classes are ImageNet's.
    """

    origin: str
    source: ModelSource | None
    onnx: str
    use_onnx: bool
    weights: str
    height: int
    width: int
    preprocess: Preprocess | None
    folder: str | None
    imagenet: bool


def write_zoo(config: Config, plan: Plan) -> str:
    """Return the description's text, in the standard layout."""
    lines = [f"# Imported from {plan.origin} by zooc import."]
    for remark in config.remarks:
        lines += _comment(remark)
    lines += ["", *_model(config, plan), "", *_preprocess(plan), *_quantize(config, plan), ""]
    lines += _postprocess(config, plan)
    lines += ["", f'package {{ name {package_name(config.name)}  version "1.0.0" }}']
    if config.unused:
        lines += ["", "# Without effect in zooc:"]
        for key, value, why in config.unused:
            lines += _comment(f"{key} = {value}: {why}", "#   ")
    return "\n".join(lines) + "\n"


def _comment(text: str, start: str = "# ") -> list[str]:
    clean = " ".join(text.split())
    return textwrap.wrap(
        clean,
        108,
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _model(config: Config, plan: Plan) -> Iterator[str]:
    yield "model {"
    if plan.use_onnx or plan.source is None:
        if plan.source is not None:
            name = f"{plan.source.kind}.{plan.source.name}"
            yield f"  # By its name this is {name}, which zooc could export itself:"
            yield f"  #   source  {name}"
            yield f"  #   weights {plan.weights}"
        if config.framework not in ("onnx", "") or not plan.onnx.lower().endswith(".onnx"):
            yield f"  # zooc reads ONNX files: export the {config.framework} checkpoint to this one."
        yield f"  source onnx({_string(plan.onnx)})"
    else:
        if config.checkpoint is not None:
            yield "  # The checkpoint is not here; by its name it is this model, which zooc exports. Or:"
            yield f"  #   source onnx({_string(plan.onnx)})"
        yield f"  source {plan.source.kind}.{plan.source.name}"
        yield '  # Or: "file.pth"; pretrained; random(seed=0), to measure speed and size.'
        yield f"  weights {plan.weights}"
    if config.input is not None and config.input.batch != 1:
        yield f"  # Compiled for a batch of {config.input.batch} by vamc; zooc accepts any batch size."
    channels = config.input.channels if config.input else 3
    yield f"  input [batch, {channels}, {plan.height}, {plan.width}]"
    if plan.imagenet:
        yield "  classes 1000"
    yield "}"


def _preprocess(plan: Plan) -> Iterator[str]:
    if plan.preprocess is None:
        yield "# No preprocess block: the package takes tensors, already normalized, as tvm_runmodel does."
        yield ""
        return
    yield "preprocess {"
    for line in preprocess_lines(plan.preprocess):
        yield f"  {line}"
    yield "}"
    yield ""


def _quantize(config: Config, plan: Plan) -> Iterator[str]:
    known = config.calibration
    if config.dtype != "int8" or known is None:
        if config.dtype == "fp16" and known is not None and known.folder is not None:
            yield "# Half precision needs no calibration: backend.quantize and dataset have no effect."
        yield f"quantize {config.dtype}"
        return
    yield "quantize int8 {"
    yield f"  calibrate {known.method}"
    yield f"  data {_images(known, plan)}"
    yield f"  weights {'per_channel' if known.per_channel else 'per_tensor'}"
    yield "}"


def _images(known: Calibration, plan: Plan) -> str:
    parts = [_string(plan.folder or known.folder or "calibration")]
    if known.suffix:
        parts.append(f"suffix={_string(known.suffix.lstrip('.'))}")
    if known.count is not None:
        parts.append(f"count={known.count}")
    return f"images({', '.join(parts)}, seed=0)"


def _postprocess(config: Config, plan: Plan) -> Iterator[str]:
    if not config.softmax:
        yield "# The graph ends in logits: the configuration adds no softmax."
    statements = ["softmax"] if config.softmax else []
    statements.append("topk 5")
    if plan.imagenet:
        statements.append("labels imagenet1k")
    else:
        yield '# Class names: add `labels "FILE"`, one name a line, or `labels imagenet1k`.'
    yield f"postprocess {{ {'  '.join(statements)} }}"


def _string(text: str) -> str:
    """In the language's quotes; its escapes are JSON's."""
    return json.dumps(text, ensure_ascii=not text.isprintable())
