"""`report.html`: what was compiled, how exact, how fast; one file that needs no network to be viewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import PIL

from zooc import __version__
from zooc.ir.count import count_macs
from zooc.package.page import data_uri, render_page, swaps_channels
from zooc.quantization.saturation import saturation_json

if TYPE_CHECKING:
    from zooc.compilation import Compilation, Verified
    from zooc.deployment import Normalize
    from zooc.verification.divergence import Parted
    from zooc_runtime.preprocessing.steps import Step

__all__ = ["render_report"]


def render_report(c: Compilation, verified: Verified) -> str:
    """Return the page; everything from the user is escaped by jinja2's autoescape."""
    return render_page("report.html.j2", _facts(c, verified))


def _facts(c: Compilation, verified: Verified) -> dict[str, Any]:
    preprocess = c.deployment.preprocess
    layers = c.quantized.layers if c.quantized else ()
    convolutions = [layer for layer in layers if layer.op in {"Conv", "Gemm", "MatMul"}]
    return {
        "deployment": c.deployment,
        "network": c.facts,
        "heads": c.program.heads,
        "answer": "top-1" if len(c.program.heads) == 1 and not c.program.heads[0].multi_label else "answer",
        "zooc_version": __version__,
        "pillow_version": PIL.__version__,
        "macs": count_macs(c.program.body),
        "model_bytes": len(c.model),
        "float_bytes": c.program.body.ByteSize(),
        "steps": [describe_step(step) for step in preprocess.steps] if preprocess else [],
        "normalize": describe_normalize(preprocess.normalize) if preprocess else None,
        "folded": c.program.folded,
        "decoding": verified.decoding,
        "images_compared": verified.images_compared,
        "agreement": verified.agreement_json(),
        "poor": verified.poor,
        "parted": [thumbnail(one, c) for one in verified.comparison.parted] if verified.comparison else [],
        "search": c.int8 and c.int8.calibrated.search,
        "contract": c.contract,
        "placement": c.int8 and c.int8.placement,
        "images": c.images,
        "kept": c.quantized and c.quantized.kept,
        "layers": layers,
        "found_correction": c.int8 and c.int8.found,
        "equalized": c.int8.legalized.equalized if c.int8 else (),
        "refusals": [
            (rule.replace("_", " "), node, reason)
            for rule, found in (c.int8.legalized.refusals if c.int8 else {}).items()
            for node, reason in found.items()
        ],
        "saturation": saturation_json(c.body, c.deployment.quantize.target),
        "integer_share": [sum(layer.dtype == "int8" for layer in convolutions), len(convolutions)],
        "float_nodes": verified.float_layers,
        "float_kinds": c.quantized.float_kinds() if c.quantized else [],
        "speed": verified.speed,
        "required_speed": c.speed.in_words(figures=verified.speed is not None) if c.speed else [],
    }


def thumbnail(one: Parted, c: Compilation) -> dict[str, Any]:
    """Return what the page shows of an image on which int8 parts from float."""
    images, preprocess = c.images, c.deployment.preprocess
    used = [] if images is None else [images.name(path) for path in images.paths]
    skipped = images.skipped if images is not None else {}
    names = [name for name in used if name not in skipped]
    bgr = preprocess is not None and swaps_channels(preprocess.steps)
    return {
        "name": names[one.place] if one.place < len(names) else f"image {one.place + 1}",
        "image": data_uri(one.pixels, bgr=bgr),
        "expected": one.expected,
        "got": one.got,
        "divergence": one.divergence,
    }


def describe_step(step: Step) -> str:
    """Return a step as the language writes it, its defaults left out."""
    fields = {name: getattr(step, name) for name in step.__dataclass_fields__ if name != "span"}
    return f"{type(step).__name__}({', '.join(f'{name}={value}' for name, value in fields.items())})"


def describe_normalize(normalize: Normalize) -> str:
    """Return the normalization as a formula."""
    mean = ", ".join(f"{m:g}" for m in normalize.mean)
    std = ", ".join(f"{s:g}" for s in normalize.std)
    return f"(pixel / {normalize.divisor:g} - [{mean}]) / [{std}]"
