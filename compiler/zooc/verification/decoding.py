"""`Decode(scaled)` against decoding in full: how far apart the network's inputs are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from zooc.calibration.images import CalibrationImages, pixel_pairs
from zooc.diagnostics.diagnostic import Diagnostic, Span, warning

__all__ = ["DecodingDifference", "measure_decoding", "unmeasured"]


@dataclass(frozen=True, slots=True)
class DecodingDifference:
    """How far the pixels that the network is given are from those of files decoded in full, in grey levels.

    Attributes:
        images: how many were decoded both ways.
        differing: of these, how many differ at all; the others were decoded in full.
        mean: over the pixels of those that differ.
        worst: of a single value.
    """

    images: int
    differing: int
    mean: float
    worst: int

    def in_words(self) -> str:
        """Return it as a line for people."""
        what = f"Decode(scaled): {self.differing} of {self.images} images differ from decoding in full"
        return (
            f"{what}, by {self.mean:.2f} grey levels on average and {self.worst} at most"
            if self.differing
            else what
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data for manifests and `--format json`."""
        return {
            "images": self.images,
            "differing": self.differing,
            "mean": round(self.mean, 3),
            "max": self.worst,
        }


def measure_decoding(
    prelude: onnx.ModelProto, images: CalibrationImages, on_image: Callable[[int], None]
) -> DecodingDifference:
    """Decode the images both ways and compare what the prelude makes of them.

    Raises:
        ZoocError: Z0453, too few of them can be used.
    """
    apart = []
    for exact, own in pixel_pairs(prelude, images, 1):
        difference = np.abs(exact.astype(np.int16) - own)
        apart.append((float(difference.mean()), int(difference.max())))
        on_image(1)
    differing = [(mean, worst) for mean, worst in apart if worst]
    means, worsts = zip(*differing, strict=True) if differing else ((0.0,), (0,))
    return DecodingDifference(len(apart), len(differing), float(np.mean(means)), max(worsts))


def unmeasured(found: DecodingDifference | None, span: Span | None) -> Diagnostic | None:
    """Return the warning Z0326 where nothing was measured of what `Decode(scaled)` changes."""
    if found is not None and found.differing:
        return None
    if found is None:
        message = "`Decode(scaled)` is not exact, and there are no images to measure the difference on"
        hint = "measure it with `zooc compare` of this package and one without it"
    else:
        message = f"`Decode(scaled)` changes none of the {found.images} calibration images"
        hint = "calibrate on JPEG files as large as those to come: only large ones are decoded smaller"
    return warning("Z0326", message, span, hint=hint)
