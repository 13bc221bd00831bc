"""A description to its float program: read and checked, network loaded, simplified, preprocessing fused."""

from __future__ import annotations

from pathlib import Path

import PIL

from zooc.calibration.imported import read_table
from zooc.compilation import Program, Request
from zooc.deployment import Deployment
from zooc.diagnostics.diagnostic import ZoocError, warning
from zooc.frontend.semantics.analyze import load_deployment
from zooc.ir.levels import is_quantized
from zooc.ir.rewriter import Refusals
from zooc.ir.stages import build_postlude
from zooc.networks.check import dequantized_warnings, head_warnings, network_contradictions
from zooc.networks.load import load_network
from zooc.networks.network import Facts
from zooc.package.emit import check_output
from zooc.passes.dequantize.dequantize import dequantize
from zooc.passes.simplify.simplify import simplify
from zooc.pipeline.context import Context
from zooc.pipeline.heads import resolve_heads
from zooc.preprocessing.fold_normalization import fold_normalization
from zooc.preprocessing.prelude import build_prelude, resample_order_of_pillow
from zooc.quantization.placement_table import read_placement, require_rules
from zooc.support.memory import keep_freed

__all__ = ["analyze", "lower", "output_of"]


def analyze(request: Request, context: Context) -> Deployment:
    """Return the checked deployment of a description, after a look at the place where its package would go.

    Raises:
        ZoocError: the description is wrong, or the place is taken.
    """
    with context.stage("analyze"):
        may_miss_data = request.ranges is not None
        deployment, diagnostics = load_deployment(
            request.file, request.variant, request.overrides, may_miss_data=may_miss_data
        )
        if deployment is None:
            raise ZoocError(*diagnostics)
        context.warn(diagnostics)
        if context.stop_before is None:
            check_output(output_of(deployment, request), force=request.force)
        if request.ranges is not None:
            read_table(request.ranges)
        if request.placement is not None:
            require_rules(deployment.quantize, f"{request.placement} would be ignored")
            read_placement(request.placement)
        context.facts |= {"name": deployment.package.name, "dtype": deployment.quantize.dtype}
    return deployment


def output_of(deployment: Deployment, request: Request) -> Path:
    """Return where the package goes."""
    return request.output or Path("build") / deployment.package.name


def lower(deployment: Deployment, context: Context) -> tuple[Facts, Program]:
    """Return the facts of the network, and its float program on pixels.

    Raises:
        ZoocError: the network cannot be loaded, or contradicts the description.
    """
    keep_freed()
    with context.stage("load_model"):
        network = load_network(deployment.model, context.cache, on_progress=context.progress.note)
        context.warn(network.warnings)
        if problems := network_contradictions(deployment, network):
            raise ZoocError(*problems)
        context.warn([*head_warnings(deployment, network), *dequantized_warnings(deployment, network)])
        facts = network.facts()
        context.facts |= {"source": facts.origin, "parameters": facts.parameters}
    with context.stage("simplify_graph"):
        refusals: Refusals = {}
        model = network.model
        del network  # its weights would be held twice to the end
        levels = simplify(model) if deployment.quantize.ranges == "source" else None
        body = simplify(dequantize(model) if is_quantized(model) else model, refusals)
        del model
        context.warn(
            warning(
                "Z0417",
                f"{name} names the axes that it pads, and {reason}",
                deployment.model.source.span,
                hint="export the network with fixed shapes; some versions of ONNX Runtime pad other axes",
            )
            for name, reason in refusals["pads_of_all_axes"].items()
        )
    with context.stage("fuse_preprocessing"):
        preprocess, prelude, folded = deployment.preprocess, None, None
        if preprocess is not None:
            folded = fold_normalization(body, preprocess.normalize)
            body = folded.model
            if levels is not None:
                folded = fold_normalization(levels, preprocess.normalize)
                levels = folded.model
            order = resample_order_of_pillow(PIL.__version__)
            prelude = build_prelude(preprocess, facts.height, facts.width, order)
        heads = resolve_heads(deployment, facts)
        return facts, Program(prelude, body, build_postlude(heads), folded, heads, levels)
