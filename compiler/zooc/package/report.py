"""`report.html`: what was compiled, how exact, how fast; one file that needs no network to be viewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
import PIL

from zooc import __version__
from zooc.compilation import agreement_json
from zooc.ir.count import count_macs
from zooc.quantization.saturation import saturation_json
from zooc.resources import resource

if TYPE_CHECKING:
    from zooc.compilation import Compilation
    from zooc.deployment import Normalize, Step

__all__ = ["render_report"]


def render_report(c: Compilation) -> str:
    """The page; everything from the user is escaped by jinja2's autoescape."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(_facts(c))


def _facts(c: Compilation) -> dict[str, Any]:
    preprocess = c.deployment.preprocess
    layers = c.quantized.layers if c.quantized else ()
    convolutions = [layer for layer in layers if layer.op in {"Conv", "Gemm", "MatMul"}]
    return {
        "deployment": c.deployment,
        "network": c.network,
        "zooc_version": __version__,
        "pillow_version": PIL.__version__,
        "macs": count_macs(c.float_body),
        "model_bytes": len(c.model),
        "float_bytes": c.float_body.ByteSize(),
        "steps": [describe_step(step) for step in preprocess.steps] if preprocess else [],
        "normalize": describe_normalize(preprocess.normalize) if preprocess else None,
        "folded": c.folded,
        "images_compared": c.images_compared,
        "agreement": agreement_json(c) if c.agreement else None,
        "contract": c.contract,
        "images": c.images,
        "layers": layers,
        "equalized": c.equalized,
        "saturation": saturation_json(c.body, c.deployment.quantize.target),
        "integer_share": [sum(layer.dtype == "int8" for layer in convolutions), len(convolutions)],
        "float_nodes": c.float_nodes,
        "float_kinds": c.quantized.float_kinds() if c.quantized else [],
        "speed": c.speed,
    }


def describe_step(step: Step) -> str:
    """A step as the language writes it, its defaults left out."""
    fields = {name: getattr(step, name) for name in step.__dataclass_fields__ if name != "span"}
    return f"{type(step).__name__}({', '.join(f'{name}={value}' for name, value in fields.items())})"


def describe_normalize(normalize: Normalize) -> str:
    """The normalization as a formula."""
    mean = ", ".join(f"{m:g}" for m in normalize.mean)
    std = ", ".join(f"{s:g}" for s in normalize.std)
    return f"(pixel / {normalize.divisor:g} - [{mean}]) / [{std}]"
