"""`require latency <= 8 ms`: the first choice of data type and engine that is as fast as required here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from zooc.deployment import Deployment, SpeedRequirement
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error
from zooc.pipeline.context import Context
from zooc.tuning.required_speed import NOISY, Measured, SpeedResult, measure_required, open_timed
from zooc_runtime.inference.cpu import available_cores, cpu_name
from zooc_runtime.inference.engines import ENGINES, installed_engines

__all__ = ["engines_to_time", "hold_speed"]

_Engines = Mapping[SpeedRequirement, Sequence[str]]


def engines_to_time(deployment: Deployment) -> _Engines:
    """Return the engines that may hold each requirement, in the order in which they are taken.

    Raises:
        ZoocError: Z0443, none of them is installed.
    """
    found: dict[SpeedRequirement, Sequence[str]] = {}
    for one in deployment.quantize.speed:
        supported = deployment.package.engines if one.engine is None else (one.engine,)
        found[one] = tuple(installed_engines(supported))
        if not found[one]:
            names = " and ".join(supported)
            message = f"the required {one.quantity} cannot be measured: {names} is not installed"
            hint = f"pip install {' '.join(supported)}"
            raise ZoocError(error("Z0443", message, one.span, hint=hint))
    return found


def hold_speed(
    deployment: Deployment, bodies: Mapping[str, onnx.ModelProto], engines: _Engines, context: Context
) -> SpeedResult:
    """Time the bodies one after the other, and return the first with which every requirement holds.

    Within a body, each requirement is held by the first of its engines that does.

    Args:
        deployment: says what is required.
        bodies: by data type, that of the description first.
        engines: what `engines_to_time` gave.
        context: is told what was measured.

    Raises:
        ZoocError: Z0441, nothing holds them all; Z0442, that is unclear, because the rounds differ too much;
            Z0443, no engine takes a body.
    """
    asked_for = next(iter(bodies))
    measured: list[Measured] = []
    for dtype, body in bodies.items():
        context.progress.note(f"timing {dtype} on this machine")
        refused: dict[str, str] = {}
        found = measure_required(body, dtype, engines, available_cores(), open_timed, refused)
        _check_taken(engines, refused)
        measured += found
        held = [_first_held(one, found) for one in engines]
        if None not in held:
            result = SpeedResult(asked_for, tuple(one for one in held if one is not None), tuple(measured))
            context.facts["speed"] = result.to_json()
            return result
        missed = [one for one, holder in zip(engines, held, strict=True) if holder is None]
        unclear = [one for one in missed if any(_of(one, row) and row.verdict == "unclear" for row in found)]
        if unclear:  # the noise of the machine decides nothing, not even for another data type
            raise ZoocError(*(_unclear(one, measured) for one in unclear))
    others = _elsewhere(deployment, bodies[asked_for], asked_for)
    missed = [
        one for one in engines if _first_held(one, [r for r in measured if r.dtype == asked_for]) is None
    ]
    raise ZoocError(*(_missed(one, measured, others) for one in missed))


def _of(requirement: SpeedRequirement, row: Measured) -> bool:
    return row.requirement == requirement


def _first_held(requirement: SpeedRequirement, rows: Sequence[Measured]) -> Measured | None:
    return next((row for row in rows if _of(requirement, row) and row.verdict == "holds"), None)


def _check_taken(engines: _Engines, refused: Mapping[str, str]) -> None:
    """Refuse a body that no engine of a requirement takes."""
    for one, names in engines.items():
        if all(name in refused for name in names):
            message = f"the required {one.quantity} cannot be measured: {refused[names[0]]}"
            raise ZoocError(
                error("Z0443", message, one.span, hint="name another engine in `this_machine(...)`")
            )


def _elsewhere(deployment: Deployment, body: onnx.ModelProto, dtype: str) -> list[Measured]:
    """What engines reach that are installed, but that the package is not compiled for."""
    others = [name for name in installed_engines(ENGINES) if name not in deployment.package.engines]
    wanted = {one: others for one in deployment.quantize.speed if one.engine is None}
    if not others or not wanted:
        return []
    return measure_required(body, dtype, wanted, available_cores(), open_timed, {})


def _missed(one: SpeedRequirement, measured: Sequence[Measured], others: Sequence[Measured]) -> Diagnostic:
    rows = [row for row in measured if _of(one, row)]
    nearest = max((row for row in rows if row.verdict != "holds"), key=lambda row: row.figure)
    notes = [row.in_words() + ("" if row.verdict != "holds" else ", which holds it alone") for row in rows]
    busy = f"; the rounds spread by {nearest.spread:.0%}, so that other processes slow them down"
    notes.append(
        f"measured on {cpu_name()}, {available_cores()} cores{busy if nearest.spread > NOISY else ''}"
    )
    hint = (
        "`zooc tune` finds layers that are faster in float; a smaller network or another machine may hold it"
    )
    for row in others:
        if _of(one, row):
            notes.append(f"{row.in_words()}, for which the package is not compiled")
            if row.verdict == "holds":
                hint = f"add {row.way.engine} to `engines` in `package`, which holds it"
    reached = f"{one.with_unit(nearest.value)} with {nearest.dtype} in {nearest.way}"
    message = f"`{one}` does not hold on this machine: the nearest is {reached}"
    return error("Z0441", message, one.span, notes=tuple(notes), hint=hint)


def _unclear(one: SpeedRequirement, measured: Sequence[Measured]) -> Diagnostic:
    rows = [row for row in measured if _of(one, row)]
    widest = max(row.spread for row in rows if row.verdict == "unclear")
    return error(
        "Z0442",
        f"this machine is too noisy to decide whether `{one}` holds: the rounds spread by {widest:.0%}",
        one.span,
        notes=tuple(row.in_words() for row in rows),
        hint="compile while nothing else runs, or choose a limit that is further away",
    )
