"""`zooc analyze`: a description or a package, layer by layer against its float reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from zooc.accuracy.dequantized_reference import dequantized_reference
from zooc.accuracy.integer_graph import IntegerGraph
from zooc.accuracy.layer_statistics import compare_layers
from zooc.accuracy.layer_table import LayerRow, analysis_rows, sort_rows
from zooc.accuracy.sensitivity import measure_sensitivity
from zooc.calibration.images import CalibrationImages, pixel_batches
from zooc.compilation import Program, Request
from zooc.deployment import Deployment, ImageSet
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error
from zooc.ir.count import macs_of_nodes
from zooc.ir.interface import input_of
from zooc.pipeline.context import Context
from zooc.pipeline.lower import analyze, lower
from zooc.pipeline.quantize import Int8Quantizer
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import Agreement
from zooc_runtime.data.opening import is_source
from zooc_runtime.errors import PackageError
from zooc_runtime.package.heads import Head, read_heads
from zooc_runtime.package.manifest import Manifest, find_package
from zooc_runtime.package.stages import Graph
from zooc_runtime.preprocessing.steps import Step, steps_from_json
from zooc_runtime.support.workers import HERE, Workers

__all__ = ["Analysis", "AnalysisRequest", "analyze_path"]


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """What the command line asks for.

    Attributes:
        path: a `.zoo` file or a package's folder.
        images: a folder or another source of images, in place of a description's calibration images.
        count: how many images at most.
        alone: on how many of them each layer is run alone in integers; 0 leaves that out.
        sort: one of `SORT_KEYS`.
        verify_images: as in `Context`.
    """

    path: Path
    images: str | None = None
    count: int = 32
    alone: int = 8
    sort: str = "logits"
    variant: str | None = None
    overrides: tuple[str, ...] = ()
    verify_images: bool = False


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result, rows worst first.

    `float_weights`: whether the reference has the network's own weights, or, for a package, only those that
    its integers stand for, so that the rounding of weights does not show.
    """

    name: str
    float_weights: bool
    images: int
    images_alone: int
    logits: Agreement
    rows: tuple[LayerRow, ...]
    warnings: tuple[Diagnostic, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `--format json`."""
        return {
            "name": self.name,
            "reference": "float" if self.float_weights else "float activations, integer weights",
            "images": self.images,
            "images_alone": self.images_alone,
            "logits": {
                "sqnr_db": round(min(self.logits.sqnr_db, 999.0), 3),
                "cosine": round(self.logits.cosine, 6),
                "top1_agreement": None if self.logits.top1 is None else round(self.logits.top1, 6),
            },
            "layers": [row.to_json() for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    reference: onnx.ModelProto
    graph: IntegerGraph
    prelude: onnx.ModelProto
    images: CalibrationImages
    float_weights: bool
    heads: tuple[Head, ...]
    warnings: tuple[Diagnostic, ...] = ()


def analyze_path(
    request: AnalysisRequest, cache: Cache, progress: Progress, workers: Workers = HERE
) -> Analysis:
    """Analyze a description (its int8 as asked for, before a contract returns layers) or a package.

    Memory does not depend on the number of images: batches are compared as they come. Workers elsewhere
    calibrate, and run each layer alone; the images that all layers are compared on are run here.

    Raises:
        ZoocError: Z0496, nothing to analyze; Z0497, no package; Z0451 and others, the images.
    """
    is_package = request.path.is_dir()
    subject = _of_package(request) if is_package else _of_description(request, cache, progress, workers)
    graph, images = subject.graph, subject.images
    if not any(layer.int8 for layer in graph.layers):
        raise ZoocError(_nothing(f"{subject.name} has no int8 layer", "analyze an int8 compile"))
    size = input_of(subject.reference).batch
    with progress.track("comparing layers", len(images.paths)) as advance:
        batches = pixel_batches(subject.prelude, images, size)
        statistics, logits, seen = compare_layers(
            subject.reference, graph, graph.layers, batches, advance, subject.heads
        )
    layers = [layer for layer in graph.layers if layer.int8] if request.alone else []
    few = list(pixel_batches(subject.prelude, images.sample(request.alone), size)) if layers else []
    with progress.track("each layer alone", len(layers)) as advance:
        solo = (
            measure_sensitivity(subject.reference, graph, layers, few, advance, subject.heads, workers)
            if layers
            else []
        )
    macs = macs_of_nodes(subject.reference)
    known = subject.reference if subject.float_weights else None
    rows = analysis_rows(graph.layers, statistics, solo, macs, known)
    return Analysis(
        subject.name,
        subject.float_weights,
        seen,
        sum(len(batch) for batch in few),
        logits,
        tuple(sort_rows(rows, request.sort)),
        (*subject.warnings, *images.skip_warnings()),
    )


def _of_description(request: AnalysisRequest, cache: Cache, progress: Progress, workers: Workers) -> _Subject:
    context = Context(cache, progress, "hold_contract", workers, verify_images=request.verify_images)
    wanted = Request(request.path, variant=request.variant, overrides=request.overrides)
    deployment = analyze(wanted, context)
    if deployment.quantize.dtype != "int8" or deployment.preprocess is None:
        message = f"{request.path.name} compiles to {deployment.quantize.dtype}"
        if deployment.quantize.ranges == "source":
            hint = "add a `preprocess` block: the analysis runs on images"
            raise ZoocError(_nothing(f"{request.path.name} takes tensors, not images", hint))
        raise ZoocError(_nothing(message, "try --set quantize=int8, with calibration data in the file"))
    facts, program = lower(deployment, context)
    if program.levels is not None:
        return _of_source(request, deployment, program, context)
    quantizer = Int8Quantizer(deployment, facts, program, context)
    calibrated = quantizer.calibrate(wanted)
    quantized = quantizer.quantize(calibrated)
    assert program.prelude is not None and calibrated.images is not None
    if request.images is not None:
        images = _find(
            request.images, request.count, deployment.preprocess.steps, deployment.preprocess.source
        )
    else:
        images = calibrated.images.sample(request.count)
    return _Subject(
        deployment.package.name,
        quantizer.legalized.body,
        IntegerGraph(quantized.model),
        program.prelude,
        images,
        float_weights=True,
        heads=program.heads,
        warnings=tuple(context.diagnostics()),
    )


def _of_source(
    request: AnalysisRequest, deployment: Deployment, program: Program, context: Context
) -> _Subject:
    """A network that is quantized already, against its float twin."""
    assert program.levels is not None and program.prelude is not None and deployment.preprocess is not None
    if request.images is None:
        message = "a description with `ranges source` names no calibration images"
        raise ZoocError(_nothing(message, f"zooc analyze {request.path} --on FOLDER"))
    return _Subject(
        deployment.package.name,
        program.body,
        IntegerGraph(program.levels),
        program.prelude,
        _find(request.images, request.count, deployment.preprocess.steps, deployment.preprocess.source),
        float_weights=False,
        heads=program.heads,
        warnings=tuple(context.diagnostics()),
    )


def _of_package(request: AnalysisRequest) -> _Subject:
    if request.variant is not None or request.overrides:
        message = "--variant and --set change a description; a package is compiled already"
        raise ZoocError(_nothing(message, "analyze the .zoo file"))
    try:
        manifest = Manifest(find_package(request.path))
        stages, name = manifest["stages"], str(manifest["name"])
        if stages["prelude"] is None:
            raise ZoocError(_nothing(f"{name} takes tensors, not images", "analyze the image form"))
        if request.images is None:
            raise ZoocError(
                _nothing("a package contains no images", f"zooc analyze {request.path} --on FOLDER")
            )
        cut = Graph(manifest.read("model.onnx"))
        parts = {
            stage: onnx.load_from_string(cut.cut(stage, [stages[stage]["input"]], [stages[stage]["output"]]))
            for stage in ("prelude", "body")
        }
        preprocess, heads = manifest["preprocess"], read_heads(manifest)
        steps, source = steps_from_json(preprocess["steps"]), preprocess.get("source", "rgb")
    except PackageError as problem:
        hint = "give the folder that `zooc compile` wrote"
        raise ZoocError(error("Z0497", str(problem), hint=hint)) from None
    graph = IntegerGraph(parts["body"])
    images = _find(request.images, request.count, steps, source)
    reference = dequantized_reference(graph)
    return _Subject(name, reference, graph, parts["prelude"], images, float_weights=False, heads=heads)


def _find(place: str, count: int, steps: Sequence[Step], source: str) -> CalibrationImages:
    """A draw from the images; where there are fewer they are taken whole, without a warning of that."""
    folder = place if is_source(place) and not Path(place).is_dir() else Path(place).absolute()
    images = CalibrationImages.find(ImageSet(folder, count=count), steps, source)
    return replace(images, warnings=[one for one in images.warnings if one.code != "Z0452"])


def _nothing(message: str, hint: str) -> Diagnostic:
    return error("Z0496", message, hint=hint)
