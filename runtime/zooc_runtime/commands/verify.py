"""`verify`: every file against its hash, then the golden inputs through each stage and through the whole."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PackageError
from ..inference.cpu import available_cores
from ..inference.engines import OnnxRuntimeStage, Stage, choose_engine, open_body
from ..inference.placement import DEFAULT, Placement
from ..inference.settings import Settings, default_settings
from ..inference.whole import Whole
from ..package.manifest import Manifest
from ..package.signature import check_signed
from ..package.stages import STAGE_NAMES, Graph
from ..package.trust import TrustedKey
from ..support.arrays import AnyArray, fill_batch

__all__ = ["verify"]

_POSTLUDE_TOLERANCE = 1e-5


def verify(
    directory: Path,
    engine: str = "auto",
    placement: Placement = DEFAULT,
    trusted_key: str | os.PathLike[str] | None = None,
) -> Iterator[str]:
    """Yield complaints about a package, none if it is as compiled; the first differing stage ends the replay.

    Every stage is fed the golden output of the one before it, so that the stage named is the one at fault.
    The prelude must agree exactly, the body within the manifest's relative L2 tolerance (with every rounding
    as written, also in OpenVINO), the postlude within 1e-5. Then `model.onnx` as a whole must give what its
    stages give here, to the bit, in ONNX Runtime.

    Args:
        directory: the import package's folder.
        engine: what runs the body.
        placement: on what.
        trusted_key: a public key (PEM); first of all, every file must be as signed with its private one.

    Raises:
        PackageError: no package at all, or an engine, provider or device that cannot be had; with
            `trusted_key`, an unsigned package, or one that is not as signed.
    """
    manifest = Manifest(directory)
    if trusted_key is not None:
        check_signed(manifest, TrustedKey(trusted_key))
    complaints = [*manifest.changed_files(), *manifest.changed_distribution_files()]
    complaints += [f"{directory / name}: not written by the compiler" for name in manifest.unexpected_files()]
    yield from complaints
    if not any(manifest.changed_files()):
        chosen = choose_engine(engine, manifest["engines"])
        yield from _replay(manifest, default_settings(chosen, available_cores(), placement=placement))


def _replay(manifest: Manifest, settings: Settings) -> Iterator[str]:
    goldens = _read(manifest)
    model = manifest.read("model.onnx")
    graph = Graph(model)
    tolerances = {"prelude": 0.0, "body": float(manifest["goldens"]["logits_tolerance"])}
    count = sum(key.startswith("logits_") for key in goldens)
    batch = manifest["model"]["input"]["shape"][0]
    for name in STAGE_NAMES:
        boundary = manifest["stages"][name]
        if boundary is None:
            continue
        stage = _open(graph, name, boundary, settings)
        tolerance = tolerances.get(name, _POSTLUDE_TOLERANCE)
        for index in range(count):
            given, wanted = (goldens[f"{boundary[side]}_{index}"] for side in ("input", "output"))
            got = stage.run(given if name == "prelude" else fill_batch(given, batch))
            difference = _distance(got[: len(wanted)], wanted, relative=name == "body")
            if difference > tolerance:
                yield f"golden {index}: the {name} differs by {difference:.3g}, {tolerance:.3g} is allowed"
                return
    yield from _compare_whole(manifest, model, goldens, count)


def _compare_whole(
    manifest: Manifest, model: bytes, goldens: dict[str, AnyArray], count: int
) -> Iterator[str]:
    stages = manifest["stages"]
    first = next(stages[name] for name in STAGE_NAMES if stages[name] is not None)["input"]
    whole = Whole(model, stages, manifest["model"]["input"]["shape"][0])
    yield from whole.differences(goldens[f"{first}_{index}"] for index in range(count))


def _read(manifest: Manifest) -> dict[str, AnyArray]:
    data = manifest.read(manifest["goldens"]["file"])
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, KeyError) as error:
        raise PackageError(f"{manifest['goldens']['file']}: not a golden file ({error})") from None


def _open(graph: Graph, name: Any, boundary: dict[str, str], settings: Settings) -> Stage:
    model = graph.cut(name, [boundary["input"]], [boundary["output"]])
    if name == "body":
        return open_body(model, settings, as_written=True)
    return OnnxRuntimeStage(model, 1)


def _distance(got: AnyArray, wanted: AnyArray, *, relative: bool) -> float:
    if got.shape != wanted.shape:
        return float("inf")
    got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    if not np.isfinite(got).all():
        return float("inf")
    if relative:
        return float(np.linalg.norm(got - wanted) / max(float(np.linalg.norm(wanted)), 1e-12))
    return float(np.abs(got - wanted).max())
