"""`report.html`: what was compiled, how exact, how fast; one file that needs no network to be viewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2
import PIL

from zooc import __version__
from zooc.ir.count import count_macs
from zooc.quantization.saturation import saturation_json
from zooc.resources import resource

if TYPE_CHECKING:
    from zooc.compilation import Compilation, Verified
    from zooc.deployment import Normalize
    from zooc_runtime.preprocessing.steps import Step

__all__ = ["render_report"]


def render_report(c: Compilation, verified: Verified) -> str:
    """Return the page; everything from the user is escaped by jinja2's autoescape."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(_facts(c, verified))


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
        "images_compared": verified.images_compared,
        "agreement": verified.agreement_json(),
        "contract": c.contract,
        "images": c.images,
        "kept": c.quantized and c.quantized.kept,
        "layers": layers,
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
