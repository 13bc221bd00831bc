"""Streaming, mergeable histograms of activations: what every range method is derived from.

A histogram holds a tensor's exact minimum and maximum and counts of a fixed number of bins. These have the
width `2 ** (exponent - 11)`, a power of two, and are indexed by `trunc(x / width)`. Multiplying a float32 by
a power of two is exact, and truncation composes (`trunc(trunc(y) / 2) == trunc(y / 2)`), so widening the
range by merging neighbouring bins gives the very counts that binning into the wide range from the start would
have given. The final exponent depends on the extremes alone. Hence the result does not depend on the order of
the values, nor on how they were split between batches, processes or machines: merging is bit-identical to a
single pass.

2047 bins a side, and one around zero: at worst (a one-sided tensor whose range has just doubled) 1024 of
them are in use, four for each of uint8's 256 levels, so that the range searches see inside a level. With 32
KiB a tensor the histogram stays in the first-level cache while counting.
"""

from __future__ import annotations

import functools
import io
import math
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.graph import read_graph
from zooc_runtime.support.files import written_whole

__all__ = ["BINS", "ActivationHistograms", "Histogram", "NotFiniteError"]

BINS = 4095
"""Bins of a histogram: indices -2047 to 2047, stored from 0."""

_SIDE_BITS = 11
_ZERO = 2047
_CHUNK = 1 << 18
_LANES = 2
"""Values at even and odd places are counted apart: a processor cannot increment one counter twice in a row
without waiting for the first increment, and after a ReLU every other value is zero."""
_STRIDE = 1 << 12
_LOWEST_EXPONENT = -100
_FORMAT = 1

Counts = npt.NDArray[np.int64]


class NotFiniteError(ZoocError):
    """Z0411: some `values` of `tensor` are NaN or infinite."""

    def __init__(self, tensor: str, values: npt.NDArray[np.float32], layer: str = "") -> None:
        self.tensor, self.values, self.layer = tensor, values, layer
        nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        kinds = [f"{nan} NaN"] * bool(nan) + [f"{infinite} infinite"] * bool(infinite)
        result = f", the result of {layer}," if layer else ""
        super().__init__(
            error(
                "Z0411",
                f'the activation "{tensor}"{result} has {" and ".join(kinds)} of {values.size} values',
                notes=("the float network itself produces them; quantization cannot correct this",),
                hint="check the weights file, and that the preprocessing is that of the training",
            )
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return NotFiniteError, (self.tensor, self.values, self.layer)

    def of(self, body: onnx.ModelProto) -> NotFiniteError:
        """The same with the name of the node that computes the tensor, which histograms do not know."""
        layers = (n.name for n in read_graph(body).nodes if any(o.name == self.tensor for o in n.outputs))
        return NotFiniteError(self.tensor, self.values, next(layers, ""))


@dataclass(slots=True)
class Histogram:
    """What was seen of one tensor.

    Attributes:
        counts: int64 `[4095]`, values a bin; bin `i` holds the values with `trunc(x / width) == i - 2047`.
        exponent: every value is below `2 ** exponent` in magnitude.
        low: exact minimum, `inf` before the first value.
        high: exact maximum, `-inf` before the first value.
    """

    counts: Counts = field(default_factory=lambda: np.zeros(BINS, np.int64))
    exponent: int = _LOWEST_EXPONENT
    low: float = math.inf
    high: float = -math.inf

    @property
    def seen(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Bin limits, float64 `[4096]`, ascending, clipped to the exact extremes."""
        magnitude = np.arange(1, _ZERO + 2, dtype=np.float64) * 2.0 ** (self.exponent - _SIDE_BITS)
        return np.asarray(np.clip(np.concatenate([-magnitude[::-1], magnitude]), self.low, self.high))

    def update(self, values: npt.NDArray[np.float32]) -> bool:
        """Add the values of one float32 array of any shape.

        Returns:
            False, with the histogram unchanged, if a value is NaN or infinite.
        """
        flat = values.reshape(-1)
        if not flat.size:
            return True
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            return False
        self._extend(low, high)
        scale = np.float32(2.0 ** (_SIDE_BITS - self.exponent))
        scratch = _scratch()
        lanes = np.zeros(_LANES * _STRIDE, np.int64)
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            n = part.size
            scaled, truncated, index = scratch.scaled[:n], scratch.truncated[:n], scratch.index[:n]
            np.multiply(part, scale, out=scaled)
            np.copyto(truncated, scaled, casting="unsafe")
            np.add(truncated, scratch.offsets[:n], out=index)
            lanes += np.bincount(index, minlength=lanes.size)
        self.counts += lanes.reshape(_LANES, _STRIDE).sum(axis=0)[:BINS]
        return True

    def merge(self, other: Histogram) -> None:
        """Add everything that `other` saw; `other` stays as it is."""
        if not other.seen:
            return
        self._extend(other.low, other.high)
        self.counts += _coarsen(other.counts, self.exponent - other.exponent)

    def _extend(self, low: float, high: float) -> None:
        largest = max(abs(low), abs(high))
        exponent = max(self.exponent, math.frexp(largest)[1]) if largest else self.exponent
        self.counts = _coarsen(self.counts, exponent - self.exponent)
        self.exponent = exponent
        # Adding 0.0 turns -0.0 into 0.0: which zero a minimum keeps would depend on the order.
        self.low, self.high = min(self.low, low) + 0.0, max(self.high, high) + 0.0


class _Scratch(threading.local):
    """A thread's work space for counting, kept because giving a page back and asking again costs more."""

    def __init__(self) -> None:
        self.scaled = np.empty(_CHUNK, np.float32)
        self.truncated = np.empty(_CHUNK, np.int32)
        self.index = np.empty(_CHUNK, np.int64)
        self.offsets = (np.arange(_CHUNK) % _LANES * _STRIDE + _ZERO).astype(np.int32)


@functools.cache
def _scratch() -> _Scratch:
    return _Scratch()


def _coarsen(counts: Counts, doublings: int) -> Counts:
    """Counts of the same values in bins `2 ** doublings` times as wide."""
    if doublings == 0:
        return counts
    index = np.arange(BINS) - _ZERO
    wider = np.sign(index) * (np.abs(index) >> min(doublings, _SIDE_BITS))
    result = np.zeros(BINS, np.int64)
    np.add.at(result, wider + _ZERO, counts)
    return result


class ActivationHistograms:
    """The histograms of a network's observed tensors, and how many images they have seen."""

    def __init__(self, tensors: Iterable[str]) -> None:
        """Empty histograms of the named tensors, each name once."""
        self._histograms = {name: Histogram() for name in tensors}
        self.images = 0

    def __getitem__(self, tensor: str) -> Histogram:
        return self._histograms[tensor]

    def __contains__(self, tensor: object) -> bool:
        return tensor in self._histograms

    def __iter__(self) -> Iterator[str]:
        return iter(self._histograms)

    def __len__(self) -> int:
        return len(self._histograms)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActivationHistograms):
            return NotImplemented
        return self.images == other.images and _bytes(self.arrays()) == _bytes(other.arrays())

    __hash__ = None  # type: ignore[assignment]

    def update(self, tensor: str, values: npt.NDArray[np.float32]) -> None:
        """Add a batch's values of one tensor.

        Raises:
            NotFiniteError: Z0411, a value is NaN or infinite.
        """
        if not self._histograms[tensor].update(values):
            raise NotFiniteError(tensor, values)

    def merge(self, other: ActivationHistograms) -> None:
        """Add everything that `other` saw.

        Raises:
            ZoocError: Z0415, the two observed different tensors.
        """
        if list(self) != list(other):
            odd = sorted(set(self) ^ set(other))
            what = f'only one of them has "{odd[0]}"' if odd else "their order differs"
            raise ZoocError(
                error(
                    "Z0415",
                    f"calibrations of different networks cannot be merged: {what}",
                    hint="calibrate every part with the same model, preprocessing and zooc version",
                )
            )
        for name in self:
            self[name].merge(other[name])
        self.images += other.images

    def copy(self) -> ActivationHistograms:
        """Return the same, sharing nothing."""
        result = ActivationHistograms(self)
        result.merge(self)
        return result

    def only(self, tensors: Iterable[str]) -> ActivationHistograms:
        """Return the histograms of some tensors, shared, in the order given."""
        result = ActivationHistograms(())
        result._histograms = {name: self._histograms[name] for name in tensors}
        result.images = self.images
        return result

    def become(self, other: ActivationHistograms) -> None:
        """Take over what `other` saw in place of its own; the two share it from then on."""
        self._histograms, self.images = other._histograms, other.images

    def save(self, path: Path) -> None:
        """Write an `.npz` without pickles; atomically, so a killed run leaves the old file or the new."""
        with written_whole(path) as file:
            np.savez(file, allow_pickle=False, **self.arrays())

    @classmethod
    def load(cls, path: Path) -> ActivationHistograms:
        """Read what `save` wrote.

        Raises:
            ZoocError: Z0412, the file is missing, damaged, or of another version.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                arrays: dict[str, npt.NDArray[Any]] = {name: file[name] for name in file.files}
            version = int(arrays["format"])
            if version == _FORMAT:
                return cls.from_arrays(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
            raise ZoocError(
                error(
                    "Z0412",
                    f"cannot read the calibration file {path.name}: {problem}",
                    hint="delete it and calibrate again",
                )
            ) from problem
        raise ZoocError(
            error(
                "Z0412",
                f"the calibration file {path.name} has format {version}, this zooc reads format {_FORMAT}",
                hint="calibrate again with this version",
            )
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything, as the arrays of an `.npz`: equal histograms give equal bytes."""
        every = list(self._histograms.values())
        return {
            "format": np.asarray(_FORMAT),
            "images": np.asarray(self.images, np.int64),
            "tensors": np.asarray(list(self), np.str_),
            "counts": np.stack([s.counts for s in every]) if every else np.zeros((0, BINS), np.int64),
            "exponents": np.asarray([s.exponent for s in every], np.int32),
            "lows": np.asarray([s.low for s in every], np.float64),
            "highs": np.asarray([s.high for s in every], np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ActivationHistograms:
        """Return what `arrays` gave.

        Raises:
            ValueError, KeyError: they are no such arrays.
        """
        result = cls(str(name) for name in arrays["tensors"])
        result.images = int(arrays["images"])
        expected = (len(result), BINS)
        if arrays["counts"].shape != expected or arrays["counts"].dtype != np.int64:
            raise ValueError(f"its histograms are not int64 {expected}")
        columns = zip(arrays["counts"], arrays["exponents"], arrays["lows"], arrays["highs"], strict=True)
        for name, (counts, exponent, low, high) in zip(result, columns, strict=True):
            result._histograms[name] = Histogram(counts.copy(), int(exponent), float(low), float(high))
        return result


def _bytes(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}
