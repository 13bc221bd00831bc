"""`zooc compile`: from a description to a package, as one function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from zooc.calibration.file import EXISTS
from zooc.calibration.table import format_table
from zooc.compilation import Compilation, Int8, Program, Request, Verified
from zooc.deployment import Deployment
from zooc.ir.stages import assemble
from zooc.package.contents import PackageContents, golden_bytes
from zooc.package.emit import emit_package
from zooc.package.manifest import build_manifest
from zooc.package.report.data import report_bytes, report_data
from zooc.package.report.page import render_report
from zooc.package.report.read import StoredReport
from zooc.pipeline.context import Context
from zooc.pipeline.hold_speed import engines_to_time, hold_speed
from zooc.pipeline.keep_source import keep_source
from zooc.pipeline.lower import analyze, lower, output_of
from zooc.pipeline.quantize import quantize_program
from zooc.pipeline.verify import verify
from zooc.quantization.layers import Quantized
from zooc.support.files import refuse_existing, write_file
from zooc.support.memory import release
from zooc.vastai.export_vdsp import NotExpressible, vdsp_document
from zooc_runtime.package.heads import label_files

__all__ = ["WrittenPackage", "compile_graph", "compile_package"]


@dataclass(frozen=True)
class WrittenPackage:
    """A written package: its folder, and what it was made of."""

    folder: Path
    compiled: Compilation
    verified: Verified


def compile_package(request: Request, context: Context) -> WrittenPackage:
    """Compile a description into a package.

    Raises:
        ZoocError: the user's input cannot be compiled; nothing was written.
        Stopped: the stage was reached before which `context` was to stop.
    """
    if request.save_ranges is not None:
        refuse_existing(request.save_ranges, force=request.force, code=EXISTS)
    compiled = compile_graph(request, context)
    verified = verify(compiled, request, context)
    written = WrittenPackage(_emit(compiled, verified, request, context), compiled, verified)
    if request.save_ranges is not None and compiled.int8 is not None:
        write_file(request.save_ranges, _ranges_table(compiled.deployment, compiled.int8))
    return written


def compile_graph(request: Request, context: Context) -> Compilation:
    """Compile a description into one graph, neither checked against its stages nor written.

    Raises:
        ZoocError, Stopped: as for `compile_package`.
    """
    deployment = analyze(request, context)
    engines = engines_to_time(deployment)
    facts, program = lower(deployment, context)
    found = dict(context.facts)
    if program.levels is not None:
        kept, contract = keep_source(deployment, facts, program, request, context)
        model = _assemble(program, kept, context)
        compiled = Compilation(deployment, facts, program, kept, None, model, contract)
    else:
        quantized, int8 = quantize_program(deployment, facts, program, request, context)
        model = _assemble(program, quantized, context)
        contract = int8.contract if int8 else None
        compiled = Compilation(deployment, facts, program, quantized, int8, model, contract)
    with context.stage("hold_speed"):
        if not engines:
            return compiled
        release()
        bodies: dict[str, onnx.ModelProto] = {deployment.quantize.dtype: compiled.body}
        bodies.setdefault("fp32", program.body)
        speed = hold_speed(deployment, bodies, engines, context)
    if speed.dtype != speed.asked_for:
        context.facts = {**found, "dtype": speed.dtype, "speed": context.facts["speed"]}
        compiled = _in_float(compiled, context)
    return replace(compiled, speed=speed)


def _in_float(compiled: Compilation, context: Context) -> Compilation:
    """The same network in float32, where only that is as fast as required."""
    quantize = replace(compiled.deployment.quantize, dtype="fp32", keep=(), keep_spans=(), keep_auto=False)
    program = replace(compiled.program, levels=None)
    deployment = replace(compiled.deployment, quantize=quantize)
    model = _assemble(program, None, context)
    return Compilation(deployment, compiled.facts, program, None, None, model)


def _ranges_table(deployment: Deployment, int8: Int8) -> str:
    """The ranges that were used, as `--ranges` takes them."""
    calibrated = int8.calibrated
    about = [f"zooc ranges: {deployment.package.name}, method {deployment.quantize.calibrate}"]
    if calibrated.search is not None:
        about.append(calibrated.search.in_words())
    return format_table(calibrated.ranges, about=about)


def _assemble(program: Program, quantized: Quantized | None, context: Context) -> bytes:
    """One graph from image to probabilities, as the bytes that will be written."""
    with context.stage("assemble_graph"):
        release()
        body = program.body if quantized is None else quantized.model
        model = assemble(program.prelude, body, program.postlude, program.heads)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _emit(compiled: Compilation, verified: Verified, request: Request, context: Context) -> Path:
    """Write the package, all or nothing."""
    with context.stage("emit"):
        arrays = {name: array for golden in verified.goldens for name, array in golden.arrays()}
        manifest, data = build_manifest(compiled, verified), report_data(compiled, verified)
        contents = PackageContents(
            deployment=compiled.deployment,
            model=compiled.model,
            manifest=manifest,
            goldens=golden_bytes(arrays),
            labels=label_files(compiled.program.heads),
            vdsp_params=_vdsp_params(compiled.deployment),
            report_html=render_report(StoredReport(manifest, data)),
            report_json=report_bytes(data),
        )
        package = emit_package(contents, output_of(compiled.deployment, request), force=request.force)
        size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
        context.facts |= {"package": str(package), "bytes": size}
    return package


def _vdsp_params(deployment: Deployment) -> dict[str, Any] | None:
    """The preprocessing for the accelerator, where one of its operations does exactly this."""
    if deployment.preprocess is None:
        return None
    try:
        return vdsp_document(deployment.preprocess)[0]
    except NotExpressible:
        return None
