"""The pipeline, as one visible tuple of stages; a compile can be stopped before any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import PIL

from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.images import CalibrationImages, pixel_batches
from zooc.calibration.imported import load_ranges, read_table, refuse_ranges
from zooc.calibration.ranges import choose_ranges
from zooc.calibration.run import calibration_identity, run_calibration
from zooc.compilation import Compilation
from zooc.consumers.check import CONSUMERS, Consumption, check_consumer
from zooc.deployment import Deployment, Quantize
from zooc.diagnostics.diagnostic import ZoocError, warning
from zooc.frontend.semantics.analyze import load_deployment
from zooc.ir.rewriter import Refusals
from zooc.ir.stages import assemble, build_postlude
from zooc.networks.check import network_contradictions
from zooc.networks.load import load_network
from zooc.package.contents import PackageContents, golden_bytes
from zooc.package.emit import check_output, emit_package
from zooc.package.manifest import build_manifest, stage_boundaries
from zooc.package.report import render_report
from zooc.passes.legalize.legalize import legalize
from zooc.passes.simplify.simplify import simplify
from zooc.pipeline.contract import check_contract_of, hold_contract_of
from zooc.preprocessing.fold_normalization import fold_normalization
from zooc.preprocessing.nv12 import as_image_input
from zooc.preprocessing.prelude import build_prelude, resample_order_of_pillow
from zooc.quantization.corrections.apply import correct, correction_batches, left_out
from zooc.quantization.corrections.equalization import equalize
from zooc.quantization.fp16 import to_fp16
from zooc.quantization.layers import Quantized
from zooc.quantization.qdq import quantize_body
from zooc.support.memory import keep_freed, release
from zooc.vastai.export_vdsp import NotExpressible, vdsp_document
from zooc.verification.agreement import compare_bodies
from zooc.verification.engine_view import float_convolutions
from zooc.verification.goldens import check_against_pillow, logits_tolerance, make_goldens, record
from zooc.verification.whole_graph import check_whole

__all__ = ["STAGES", "run", "stage_names"]


def run(compilation: Compilation) -> Compilation:
    """Run the stages in order, up to `request.stop_before`.

    Raises:
        ZoocError: the user's input cannot be compiled; nothing was written.
    """
    keep_freed()
    for stage in STAGES:
        if stage.__name__ == compilation.request.stop_before:
            break
        with compilation.progress.stage(stage.__name__):
            if stage in _TAKE_MUCH_MEMORY:
                release()
            stage(compilation)
    compilation.warnings += compilation.cache.warnings
    return compilation


def stage_names() -> list[str]:
    """The stages' names in order."""
    return [stage.__name__ for stage in STAGES]


def analyze(c: Compilation) -> None:
    """Text to a checked `Deployment`, and a look at the place where its package would go."""
    deployment, diagnostics = load_deployment(
        c.request.file,
        c.request.variant,
        c.request.overrides,
        may_miss_data=c.request.ranges is not None,
    )
    if deployment is None:
        raise ZoocError(*diagnostics)
    c.warnings += diagnostics
    c.deployment = deployment
    if c.request.stop_before is None:
        check_output(c.output, force=c.request.force)
    if c.request.ranges is not None:
        read_table(c.request.ranges)


def load_model(c: Compilation) -> None:
    """The source to a float32 ONNX network, from the cache when it was exported before."""
    c.network = load_network(c.deployment.model, c.cache, on_progress=c.progress.note)
    c.warnings += c.network.warnings
    if problems := network_contradictions(c.deployment, c.network):
        raise ZoocError(*problems)


def simplify_graph(c: Compilation) -> None:
    """Fold constants and BatchNorms, drop what has no effect."""
    refusals: Refusals = {}
    c.float_body = simplify(c.network.model, refusals)
    c.warnings += [
        warning(
            "Z0417",
            f"{name} names the axes that it pads, and {reason}",
            c.deployment.model.source.span,
            hint="export the network with fixed shapes; some versions of ONNX Runtime pad other axes",
        )
        for name, reason in refusals["pads_of_all_axes"].items()
    ]
    c.network = replace(c.network, model=onnx.ModelProto())  # its weights would be held twice to the end


def fuse_preprocessing(c: Compilation) -> None:
    """Prelude in front, normalization into the first convolution, softmax behind."""
    preprocess = c.deployment.preprocess
    if preprocess is not None:
        c.folded = fold_normalization(c.float_body, preprocess.normalize)
        c.float_body = c.folded.model
        order = resample_order_of_pillow(PIL.__version__)
        c.prelude = build_prelude(preprocess, c.network.height, c.network.width, order)
    if c.deployment.postprocess.softmax and not c.network.ends_in_softmax:
        c.postlude = build_postlude(c.network.classes)


def prepare_for_int8(c: Compilation) -> None:
    """Exact rewrites of the float body into operators that engines have in integers (int8 only)."""
    if c.deployment.quantize.dtype == "int8":
        c.prepared_body = legalize(c.float_body)
        if "equalization" in c.deployment.quantize.corrections:
            c.prepared_body, c.equalized = equalize(c.prepared_body)
        if c.request.stop_before is None:
            check_contract_of(c)


def calibrate_ranges(c: Compilation) -> None:
    """Run the calibration images once, keep a sketch of each tensor, choose the ranges (int8 only)."""
    quantize = c.deployment.quantize
    if quantize.dtype != "int8":
        refuse_ranges(c.request.ranges, quantize)
        return
    assert quantize.data is not None and c.prelude is not None and c.deployment.preprocess is not None
    if c.request.ranges is not None:
        expected = calibration_identity(c.prepared_body, c.prelude, c.deployment.preprocess.to_json())
        found = load_ranges(c.request.ranges, c.prepared_body, expected, c.observed)
        c.imported_ranges = not isinstance(found, ActivationHistograms)
        c.ranges = (
            choose_ranges(found, quantize.calibrate) if isinstance(found, ActivationHistograms) else found
        )
        with suppress(ZoocError):  # the images only serve to compare with float; they may be elsewhere
            c.images = CalibrationImages.find(quantize.data, c.deployment.preprocess.to_json()["steps"])
        return
    c.images = CalibrationImages.find(quantize.data, c.deployment.preprocess.to_json()["steps"])
    c.warnings += c.images.warnings
    c.sketches = run_calibration(
        c.prepared_body, c.prelude, c.images, c.observed, c.observer, c.cache, c.progress
    )
    c.warnings += c.images.skip_warnings()
    c.ranges = choose_ranges(c.sketches, quantize.calibrate)


def quantize_network(c: Compilation) -> None:
    """The body in the data type asked for, and how close it is to float."""
    quantize = c.deployment.quantize
    c.body = c.float_body
    if quantize.dtype == "fp16":
        c.quantized = to_fp16(c.float_body, quantize)
    elif quantize.dtype == "int8":
        c.quantized = quantize_int8(c, quantize)
    if c.quantized is not None:
        c.body = c.quantized.model


def quantize_int8(c: Compilation, quantize: Quantize) -> Quantized:
    """The prepared body in int8; the contract asks again with more in `quantize.keep`."""
    assert c.ranges is not None and c.prelude is not None
    quantized = quantize_body(c.prepared_body, c.ranges, quantize)
    if c.correction_batches is None:
        c.correction_batches = correction_batches(quantize, c.images, c.prelude, c.network.batch or 1)
        if (finding := left_out(quantize, c.correction_batches)) is not None:
            c.warnings.append(finding)
    correct(quantize, quantized, c.prepared_body, c.correction_batches, c.observer, c.progress)
    return quantized


def hold_contract(c: Compilation) -> None:
    """Measure int8 on the contract's images; layers go back to float until it holds (int8 only)."""
    hold_contract_of(c, lambda keep: quantize_int8(c, replace(c.deployment.quantize, keep=keep)))
    c.opened = None  # its memory serves the stages to come


def assemble_graph(c: Compilation) -> None:
    """One graph from image to probabilities, as the bytes that will be written."""
    model = assemble(c.prelude, c.body, c.postlude)
    c.model = model.SerializeToString(deterministic=True)


def check_result(c: Compilation) -> None:
    """Compare with Pillow, the whole graph with its stages, and int8 with float; record goldens."""
    if c.prelude is not None and c.deployment.preprocess is not None:
        c.images_compared = check_against_pillow(c.prelude, c.deployment.preprocess)
    c.goldens = make_goldens(c.prelude, c.body, c.postlude)
    check_whole(c.model, stage_boundaries(c), c.network.batch, whole_inputs(c))
    c.consumptions = try_in_consumers(c)
    if c.images is not None and c.prelude is not None:
        with c.progress.track("comparing with float", len(c.images.paths)) as advance:
            batches = pixel_batches(c.prelude, c.images, c.network.batch or 1)
            c.agreement, c.images_agreed_on = compare_bodies(c.float_body, c.body, batches, advance)
        layers = c.quantized.layers if c.quantized else ()
        c.float_nodes = float_convolutions(c.body.SerializeToString(), layers)
    if c.request.measure:
        from zooc.verification.speed import measure_speed

        c.speed = measure_speed(c.deployment.preprocess, c.float_body, c.body, c.prelude)


def try_in_consumers(c: Compilation) -> list[Consumption]:
    """The goldens and some calibration images in the other runtimes that were asked for."""
    if not c.request.consumers:
        return []
    answers = [*c.goldens, *record(c.prelude, c.body, c.postlude, calibration_inputs(c))]
    wanted = [answer.values for answer in answers]
    tolerance = logits_tolerance(c.deployment.quantize.dtype)
    base = c.request.node_modules or Path.cwd()
    found = []
    for consumer in c.request.consumers:
        c.progress.note(f"trying the graph in {CONSUMERS[consumer]}")
        found.append(check_consumer(consumer, c.model, wanted, tolerance, c.network.batch, base))
    return found


def whole_inputs(c: Compilation) -> Iterator[npt.NDArray[Any]]:
    """What the whole graph is tried on: the goldens' inputs, and some of the calibration images."""
    yield from (next(iter(golden.values.values())) for golden in c.goldens)
    yield from calibration_inputs(c)


def calibration_inputs(c: Compilation) -> Iterator[npt.NDArray[Any]]:
    """A few calibration images as the prelude takes them; none where they are not at hand."""
    if c.images is not None and c.prelude is not None:
        some = c.images.sample(_WHOLE_IMAGES)
        decoded = (some.usable(path) for path in some.paths)
        yield from (as_image_input(c.prelude, image) for image in decoded if image is not None)


def emit(c: Compilation) -> None:
    """Write the package, all or nothing."""
    labels = c.deployment.postprocess.labels
    contents = PackageContents(
        deployment=c.deployment,
        model=c.model,
        manifest=build_manifest(c),
        goldens=golden_bytes({name: array for golden in c.goldens for name, array in golden.arrays()}),
        label_names=labels.names if labels else None,
        vdsp_params=_vdsp_params(c.deployment),
        report_html=render_report(c),
    )
    c.package = emit_package(contents, c.output, force=c.request.force)


def _vdsp_params(deployment: Deployment) -> dict[str, Any] | None:
    """The preprocessing for the accelerator, where one of its operations does exactly this."""
    if deployment.preprocess is None:
        return None
    try:
        return vdsp_document(deployment.preprocess)[0]
    except NotExpressible:
        return None


STAGES: tuple[Callable[[Compilation], None], ...] = (
    analyze,
    load_model,
    simplify_graph,
    fuse_preprocessing,
    prepare_for_int8,
    calibrate_ranges,
    quantize_network,
    hold_contract,
    assemble_graph,
    check_result,
    emit,
)

_WHOLE_IMAGES = 8
"""Calibration images on which the whole graph is compared with its stages."""

_TAKE_MUCH_MEMORY = (calibrate_ranges, quantize_network, assemble_graph)
"""Before these what is free goes back to the system; to do so before every stage would cost a second."""
