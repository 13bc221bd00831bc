"""`.calib` files: a calibration, or a shard of one, with all that tells whether it fits."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from zooc import __version__
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.ranges import Ranges
from zooc.diagnostics.diagnostic import Diagnostic, ZoocError, error, warning
from zooc.ir.weights import large_weights, without_large_weights
from zooc.support.files import refuse_existing, write_file
from zooc_runtime.errors import PackageError
from zooc_runtime.support.archives import check_unpacked_size
from zooc_runtime.support.shards import WHOLE, Shard, joined, missing, overlap

__all__ = ["EXISTS", "Calibration", "Identity", "merge", "model_sha256"]

EXISTS = "Z0471"
"""The code for a file that a calibration would replace."""

FORMAT = 1
_MAGIC = b"PK\x03\x04"
_DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, OverflowError),
    *(NotImplementedError, RecursionError, zipfile.BadZipFile, zlib.error, PackageError),
)
"""What numpy, zipfile and json raise at a damaged archive, and `Shard.parse`."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a calibration was measured on; equal for all shards of one.

    Attributes:
        network: sha256 of the float body as calibrated.
        prelude: sha256 of the compiled preprocessing; empty in imported ranges.
        preprocess: the description's preprocessing as canonical JSON.
        images: hash of the names and sizes of all images drawn; empty in imported ranges.
        drawn: how many they are.
        engine: the version of ONNX Runtime: another one may round differently.
    """

    network: str
    prelude: str
    preprocess: str
    images: str = ""
    drawn: int = 0
    engine: str = onnxruntime.__version__


@dataclass(frozen=True)
class Calibration:
    """What a `.calib` file holds.

    Attributes:
        shards: which parts of the images; `1/1` is all of them.
        histograms: `None` in imported ranges.
        ranges: imported ranges, instead of histograms.
        skipped: images left out, with the reason.
    """

    identity: Identity
    shards: tuple[Shard, ...] = (WHOLE,)
    histograms: ActivationHistograms | None = None
    ranges: Ranges | None = None
    skipped: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def recognizes(data: bytes) -> bool:
        """Tell whether a file's bytes begin like a `.calib` file."""
        return data.startswith(_MAGIC)

    def save(self, path: Path, *, force: bool = False) -> None:
        """Write the file in one step; equal calibrations give equal bytes.

        Raises:
            ZoocError: Z0471, there is a file already and `force` is not set; Z0702, it cannot be written.
        """
        about = {
            "zooc": __version__,
            "identity": {name: getattr(self.identity, name) for name in Identity.__slots__},
            "shards": [str(shard) for shard in self.shards],
            "skipped": dict(sorted(self.skipped.items())),
        }
        text = json.dumps(about, sort_keys=True).encode()
        arrays: dict[str, Any] = {"calib": np.asarray(FORMAT), "about": np.frombuffer(text, np.uint8)}
        if self.histograms is not None:
            arrays |= self.histograms.arrays()
        elif self.ranges is not None:
            arrays["tensors"] = np.asarray(list(self.ranges), np.str_)
            arrays["ranges"] = np.asarray(list(self.ranges.values()), np.float64).reshape(-1, 2)
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **arrays)
        refuse_existing(path, force=force, code=EXISTS)
        write_file(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            ZoocError: Z0461, the file is missing, truncated, damaged or something else; Z0462, it was written
                in another version's format.
        """
        try:
            data = path.read_bytes()
            if not cls.recognizes(data):
                raise _not_a_calibration(path, "it is empty" if not data else "it is another kind of file")
            content = io.BytesIO(data)
            check_unpacked_size(content)
            with np.load(content, allow_pickle=False) as file:
                arrays: dict[str, npt.NDArray[Any]] = {name: file[name] for name in file.files}
            if "calib" not in arrays:
                raise _not_a_calibration(path, "it is another kind of .npz file")
            if (version := int(arrays["calib"])) != FORMAT:
                raise _other_version(path, version)
            return cls._from_arrays(arrays)
        except OSError as problem:
            raise _not_a_calibration(path, problem.strerror or str(problem)) from None
        except _DAMAGE as problem:
            raise _not_a_calibration(path, f"it is truncated or damaged ({problem})") from None

    @classmethod
    def _from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> Calibration:
        about = json.loads(arrays["about"].tobytes())
        result = cls(
            Identity(**about["identity"]),
            tuple(Shard.parse(text) for text in about["shards"]),
            skipped=about["skipped"],
        )
        if "ranges" not in arrays:
            return replace(result, histograms=ActivationHistograms.from_arrays(arrays))
        limits = arrays["ranges"]
        if limits.shape != (len(arrays["tensors"]), 2) or not np.isfinite(limits).all():
            raise ValueError("its ranges are not pairs of finite numbers")
        names = (str(name) for name in arrays["tensors"])
        return replace(
            result, ranges={n: (float(a), float(b)) for n, (a, b) in zip(names, limits, strict=True)}
        )

    def measured(self, path: Path) -> ActivationHistograms:
        """Return the histograms.

        Raises:
            ZoocError: Z0474, the file holds imported ranges, from which nothing else can be derived.
        """
        if self.histograms is None:
            raise ZoocError(
                error(
                    "Z0474",
                    f"{path} holds imported ranges and no histograms",
                    hint="use it with zooc compile --ranges, or calibrate on images for another method",
                )
            )
        return self.histograms


def merge(
    parts: Sequence[tuple[Path, Calibration]], *, partial: bool = False
) -> tuple[Calibration, list[Diagnostic]]:
    """Return one calibration of several parts, the same to the bit whatever their order and the split.

    Args:
        parts: at least one, each with the file it came from.
        partial: accept that shards are missing.

    Returns:
        The whole, and warnings (Z0476, the parts were measured with different versions of ONNX Runtime).

    Raises:
        ZoocError: Z0474, imported ranges; Z0467, parts of different calibrations; Z0465, shards overlap;
            Z0466, shards are missing; Z0453, more than half of all images could not be used.
    """
    first_path, first = parts[0]
    for path, part in parts:
        part.measured(path)
        if what := _difference(first.identity, part.identity):
            raise ZoocError(
                error(
                    "Z0467",
                    f"{path} and {first_path} are parts of different calibrations: {what}",
                    hint="calibrate all shards with the same .zoo file, images and zooc",
                )
            )
    placed = [(shard, path) for path, part in parts for shard in part.shards]
    _refuse_overlaps(placed)
    shards = [shard for shard, _ in placed]
    if (lacking := missing(shards)) and not partial:
        raise ZoocError(shards_missing(lacking, ", ".join(str(path) for path, _ in parts[:4])))
    total = ActivationHistograms(first.measured(first_path))
    skipped: dict[str, str] = {}
    for path, part in parts:
        total.merge(part.measured(path))
        skipped |= part.skipped
    if not lacking and 2 * len(skipped) > first.identity.drawn:
        raise ZoocError(_too_few(skipped, first.identity.drawn))
    engines = sorted({part.identity.engine for _, part in parts})
    identity = replace(first.identity, engine=", ".join(engines))
    return Calibration(identity, joined(shards), total, None, skipped), _engine_warnings(engines)


def shards_missing(lacking: Sequence[Shard], what: str) -> Diagnostic:
    """Return the diagnostic Z0466."""
    named = ", ".join(map(str, lacking[:10])) + (", ..." if len(lacking) > 10 else "")
    return error(
        "Z0466",
        f"{what}: not the whole calibration, shard{'s' * (len(lacking) > 1)} {named} missing",
        hint="calibrate the missing shards and merge all; `zooc calibrate merge --partial` accepts a part",
    )


def model_sha256(model: onnx.ModelProto) -> str:
    """Return the hash of a model."""
    digest = hashlib.sha256(without_large_weights(model).SerializeToString(deterministic=True))
    for tensor in large_weights(model):
        digest.update(tensor.raw_data or tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _difference(one: Identity, other: Identity) -> str | None:
    if (one.preprocess, one.prelude) != (other.preprocess, other.prelude):
        return "their preprocessing differs"
    if one.network != other.network:
        return "their networks differ"
    if one.images != other.images:
        counts = f" ({one.drawn} and {other.drawn})" if one.drawn != other.drawn else ""
        return f"they draw from different images{counts}"
    return None


def _too_few(skipped: dict[str, str], drawn: int) -> Diagnostic:
    return error(
        "Z0453",
        f"{len(skipped)} of {drawn} calibration images cannot be read",
        notes=tuple(f"{name}: {reason}" for name, reason in sorted(skipped.items())[:10]),
        hint="replace the damaged images and calibrate their shards again",
    )


def _refuse_overlaps(placed: Sequence[tuple[Shard, Path]]) -> None:
    for index, (shard, path) in enumerate(placed):
        for earlier, earlier_path in placed[:index]:
            if overlap(shard, earlier):
                raise ZoocError(
                    error(
                        "Z0465",
                        f"shard {shard} of {path} and shard {earlier} of {earlier_path} share images",
                        hint="leave out one of them, or these images would count twice",
                    )
                )


def _engine_warnings(engines: Sequence[str]) -> list[Diagnostic]:
    if len(engines) == 1:
        return []
    return [
        warning(
            "Z0476",
            f"the parts were measured with different versions of ONNX Runtime: {', '.join(engines)}",
            hint="with one version everywhere the result is bit-identical to a single run's",
        )
    ]


def _not_a_calibration(path: Path, reason: str) -> ZoocError:
    hint = "name a file that `zooc calibrate` wrote, or calibrate again"
    return ZoocError(error("Z0461", f"cannot use the calibration {path}: {reason}", hint=hint))


def _other_version(path: Path, version: int) -> ZoocError:
    return ZoocError(
        error(
            "Z0462",
            f"{path} has format {version} of calibration files, zooc {__version__} reads format {FORMAT}",
            hint="calibrate again with this zooc, or use the zooc that wrote the file",
        )
    )
