"""A `--vdsp-params` run: whether the file may stand in for the preprocessing that was compiled."""

from __future__ import annotations

import math
from typing import Any

from ...errors import PackageError
from .document import VdspParams

__all__ = ["check_override"]

_FP16_ROUNDING = 1e-3  # twice the relative rounding of fp16: the field's files hold Mean and Std so rounded


def check_override(
    params: VdspParams, preprocess: dict[str, Any], height: int, width: int, name: str
) -> None:
    """Refuse a vdsp file that means another network input than the one compiled.

    Args:
        params: the file.
        preprocess: the package's own, from its manifest.
        height: the network's.
        width: the network's.
        name: the file's name, for messages.

    Raises:
        PackageError: another output size, channel order or normalization.
    """
    if (params.height, params.width) != (height, width):
        raise PackageError(
            f"{name}: gives {params.width} x {params.height} pixels, but the network takes {width} x "
            f"{height}; "
            "correct OimageWidth and OimageHeight, or compile for that size"
        )
    if preprocess.get("source", "rgb").startswith("bands-") or any(
        step["op"] == "Grayscale" for step in preprocess["steps"]
    ):
        raise PackageError(
            f"{name}: vdsp operations give three channels in colour, and the package was compiled for other "
            "ones; leave --vdsp-params out"
        )
    swaps = sum(step["op"] == "SwapChannels" for step in preprocess["steps"])
    if params.bgr != (swaps % 2 == 1):
        order = "BGR" if params.bgr else "RGB"
        raise PackageError(
            f"{name}: ColorCvtCode gives {order}, but the network was compiled for the other channel order; "
            "change ColorCvtCode or compile again"
        )
    own = preprocess["normalize"]
    for key, theirs, ours in (("Mean", params.mean, own["mean"]), ("Std", params.std, own["std"])):
        asked = [value * params.divisor for value in theirs]
        compiled = [value * own["divisor"] for value in ours]
        for one, other in zip(asked, compiled, strict=True):
            if not math.isclose(one, other, rel_tol=_FP16_ROUNDING, abs_tol=1e-4):
                raise PackageError(
                    f"{name}: Mean, Std and NormaType mean another normalization than the one compiled "
                    f"into the "
                    f"network ({key} in pixel units: {asked} against {compiled}); compile again with "
                    f"these values"
                )
