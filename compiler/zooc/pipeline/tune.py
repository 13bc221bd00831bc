"""`zooc tune`: which layers compute in integers, by measuring on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx

from zooc import __version__
from zooc.accuracy.contract.ranges import complete_ranges
from zooc.accuracy.search.output_noise import HeldBack, OutputNoise
from zooc.calibration.images import CalibrationImages, pixel_batches
from zooc.compilation import Request
from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error, warning
from zooc.ir.graph import read_graph
from zooc.ir.interface import input_of
from zooc.ir.structure import structure_sha256
from zooc.pipeline.context import Context
from zooc.pipeline.lower import analyze, lower
from zooc.pipeline.quantize import Int8Quantizer
from zooc.quantization.placement_table import MeasuredIn, MeasuredPlacement, require_rules
from zooc.support.cache import key
from zooc.support.kept import KeptTrials
from zooc.tuning.bench import NetworkBench
from zooc.tuning.race import Verdict
from zooc.tuning.regions import find_regions
from zooc.tuning.runners import CLOCKS
from zooc.tuning.search import Step, Trials, Tuned, climb_by_time
from zooc_runtime.inference.cpu import available_cores, cpu_flags, cpu_name
from zooc_runtime.inference.engines import installed_engines

__all__ = ["TuneRequest", "Tuning", "tune"]

_VERSION = 2
"""Part of the cache key: raised when the same networks would be compared otherwise."""

_IMAGES = 32
"""On which the logits' noise is watched."""

_LEAST_MARGIN = 0.005
"""By how much a switch must be faster; more where the same network differs more from itself."""

_NOISY, _BLIND = 0.02, 0.05
"""Widths of the interval of a network against itself: from the first on CPU time is compared and not wall
time, from the second on small gains cannot be seen even so."""

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TuneRequest:
    """What the command line asks for.

    Attributes:
        compiled: the description, variant and settings.
        engines: those that are timed, in one race.
        goal: one of `zooc_runtime.inference.settings.HINTS`.
        seconds: after which no further region is tried.
    """

    compiled: Request
    engines: tuple[str, ...]
    goal: str
    seconds: float


@dataclass(frozen=True)
class Tuning:
    """What was found.

    Attributes:
        placement: the table.
        steps: the switches that made it.
        finished: whether all regions were tried.
        regions: how many there are.
        itself: the network by the rules against itself.
        over_float: the float32 network's time over the tuned one's.
    """

    placement: MeasuredPlacement
    steps: tuple[Step, ...]
    finished: bool
    regions: int
    itself: Verdict
    over_float: Verdict

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `--format json`."""
        engines = [one.engine for one in self.placement.engines]
        faster = [round(ratio, 3) for ratio in self.over_float.by_engine]
        return {
            "placement": self.placement.to_json(),
            "over_float": dict(zip(engines, faster, strict=True)),
            "steps": [step.to_json() for step in self.steps],
            "regions": self.regions,
            "finished": self.finished,
            "noise": round(_width(self.itself), 4),
        }


def tune(request: TuneRequest, context: Context) -> Tuning:
    """Compile a description to int8, and find out which of its layers are faster in float.

    Verdicts are kept in the cache, every five seconds and when interrupted: the same command continues there.

    Args:
        request: what is wanted.
        context: cache, progress and warnings.

    Raises:
        ZoocError: Z0436, nothing in it is int8; Z0438, an engine is missing or refuses the network; what the
            stages raise.
    """
    versions = _versions(request.engines)
    deployment = analyze(request.compiled, context)
    require_rules(deployment.quantize, "there is nothing to tune")
    facts, program = lower(deployment, context)
    quantizer = Int8Quantizer(deployment, facts, program, context)
    calibrated = quantizer.calibrate(request.compiled)
    assert program.prelude is not None and calibrated.images is not None
    body, quantize = quantizer.legalized.body, deployment.quantize
    structure = structure_sha256(body)
    ranges = complete_ranges(body, calibrated.ranges, quantize)
    noise = _noise(body, program.prelude, calibrated.images)
    bench = NetworkBench(body, ranges, quantize, noise, request.engines, request.goal, request.seconds)
    kept = KeptTrials(context.cache, "tunings", _cache_key(structure, quantize, versions, request.goal))
    trials = Trials(kept.load())
    if trials.done:
        context.progress.note(f"{len(trials.done)} comparisons are known from an earlier run")
    regions = find_regions(body, bench.model(_NOTHING), quantize)
    bench.on_verdict = lambda: kept.save(trials.done)
    try:
        for bench.clock in CLOCKS:
            itself = _known(trials, f"itself {bench.clock} ", _NOTHING, bench.against_itself)
            if _width(itself) <= _NOISY:
                break
        bench.margin = max(_LEAST_MARGIN, itself.spread)
        tuned = climb_by_time(regions, bench, trials, bench.margin, context.progress)
        speedups: tuple[float, ...] = (1.0,) * len(versions)
        if tuned.layers:
            final = _known(trials, "final ", tuned.layers, lambda: bench.final(tuned.layers))
            if final.is_faster():
                speedups = final.by_engine
            else:
                tuned = replace(tuned, layers=_NOTHING)
        over_float = _known(
            trials, "float ", tuned.layers, lambda: bench.over_float(program.body, tuned.layers)
        )
    except KeyboardInterrupt:
        kept.save(trials.done, now=True)
        context.progress.note("what was compared is kept; the same command continues from there")
        raise
    kept.save(trials.done, now=True)
    placement = MeasuredPlacement(
        name=deployment.package.name,
        network=structure,
        zooc=__version__,
        cpu=cpu_name(),
        cores=available_cores(),
        goal=request.goal,
        clock=bench.clock,
        engines=tuple(
            MeasuredIn(engine, version, speedup)
            for (engine, version), speedup in zip(versions.items(), speedups, strict=True)
        ),
        layers=tuple(node.name for node in read_graph(body).nodes if node.name in tuned.layers),
        notes={
            layer: step.in_words() for step in tuned.steps for layer in step.layers if layer in tuned.layers
        },
    )
    done = Tuning(placement, tuned.steps, tuned.finished, len(regions), itself, over_float)
    context.warn(_warnings(done, tuned))
    return done


def _known(trials: Trials, what: str, layers: frozenset[str], measure: Callable[[], Verdict]) -> Verdict:
    """A comparison of an earlier run, or now."""
    found = trials.verdict(_NOTHING, layers, what)
    if found is None:
        found = measure()
        trials.keep(_NOTHING, layers, found, what)
    return found


def _width(verdict: Verdict) -> float:
    return verdict.high / verdict.low - 1.0


def _noise(body: onnx.ModelProto, prelude: onnx.ModelProto, images: CalibrationImages) -> OutputNoise:
    batches = tuple(pixel_batches(prelude, images.sample(_IMAGES), input_of(body).batch or 1))
    return OutputNoise(body, HeldBack(batches, batches))


def _versions(engines: Sequence[str]) -> dict[str, str]:
    versions = installed_engines(engines)
    for engine in engines:
        if engine not in versions:
            hint = f"pip install {engine}, or name another engine with --engine"
            raise ZoocError(error("Z0438", f"{engine} is not installed, so nothing can be timed", hint=hint))
    return versions


def _cache_key(structure: str, quantize: Quantize, versions: dict[str, str], goal: str) -> str:
    settings = [quantize.keep, quantize.weights, quantize.activations, quantize.target]
    machine = [cpu_name(), sorted(cpu_flags() or ()), available_cores()]
    return key(_VERSION, structure, settings, versions, machine, goal)


def _warnings(tuning: Tuning, tuned: Tuned) -> list[Diagnostic]:
    found = []
    width = _width(tuning.itself)
    if not tuned.layers and (tuned.steps or width > _BLIND):
        what = "what seemed faster was not when measured again" if tuned.steps else "no region was faster"
        found.append(
            warning(
                "Z0437",
                "this machine is too noisy to decide: the placement stays that of the rules",
                notes=(f"{what}; the network against itself differs by {width:.1%}",),
                hint="measure while nothing else runs, with --no-cache to forget what was measured now",
            )
        )
    if tuning.over_float.high < 1.0:
        slower = f"{1 / tuning.over_float.ratio:.2f} times its time"
        found.append(
            warning(
                "Z0439",
                f"the network is faster in float32: int8 takes {slower}",
                hint="write `quantize fp32`, unless the size of the file matters more",
            )
        )
    return found
