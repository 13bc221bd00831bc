"""What a package says of itself: the entries of `manifest.json` that the compiler knows.

The hashes of the files are added as they are written (`zooc.package.files`). No time, no machine and no path
outside the package is recorded, so the same inputs give the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy
import onnx
import onnxruntime
import PIL

from zooc import __version__
from zooc.ir.count import count_macs
from zooc.ir.interface import input_of, output_of
from zooc.preprocessing.prelude import resample_order_of_pillow
from zooc.quantization.saturation import saturation_json
from zooc.verification.goldens import logits_tolerance
from zooc_runtime.package.heads import heads_to_json

if TYPE_CHECKING:
    from zooc.compilation import Compilation, Verified

__all__ = ["build_manifest", "stage_boundaries"]


def build_manifest(c: Compilation, verified: Verified) -> dict[str, Any]:
    """Return schema 1 of `docs/design/architecture.md`, without the file hashes."""
    deployment = c.deployment
    preprocess = deployment.preprocess
    consumptions = verified.consumptions
    return {
        "schema": 1,
        "name": deployment.package.name,
        "version": deployment.package.version,
        "zooc": __version__,
        "form": "tensor" if preprocess is None else "image",
        "source": {
            "file": deployment.path.name,
            "text": deployment.source_text,
            "sha256": hashlib.sha256(deployment.source_text.encode()).hexdigest(),
            "variant": deployment.variant,
            "overrides": list(deployment.overrides),
        },
        "model": {
            "source": c.facts.origin,
            "weights": c.facts.weights,
            "weights_sha256": c.facts.weights_sha256,
            "input": input_of(c.body).to_json(),
            "classes": c.facts.classes,
            "parameters": c.facts.parameters,
            "macs": count_macs(c.program.body),
        },
        "stages": stage_boundaries(c),
        "preprocess": preprocess
        and {
            **preprocess.to_json(),
            **({"decoding": verified.decoding.to_json()} if verified.decoding else {}),
            "pillow": PIL.__version__,
            "resample_order": resample_order_of_pillow(PIL.__version__),
        },
        "quantization": _quantization(c, verified),
        "postprocess": heads_to_json(c.program.heads),
        "engines": list(deployment.package.engines),
        **({"calibration": calibration} if (calibration := _calibration(c)) is not None else {}),
        **({"speed": c.speed.choice()} if c.speed is not None else {}),
        **({"consumers": [found.to_json() for found in consumptions]} if consumptions else {}),
        "goldens": {
            "file": "goldens.npz",
            "logits_tolerance": logits_tolerance(deployment.quantize.dtype),
        },
        "tools": {
            "numpy": numpy.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "pillow": PIL.__version__,
        },
    }


def stage_boundaries(c: Compilation) -> dict[str, dict[str, str] | None]:
    """Return the tensors between which each stage stands, `None` for a stage that there is not."""
    return {
        name: stage and {"input": input_of(stage).name, "output": output_of(stage).name}
        for name, stage in c.stages.items()
    }


def _calibration(c: Compilation) -> dict[str, Any] | None:
    """What int8 was calibrated on; `None` where nothing was, or the images are not at hand."""
    images = c.images
    if images is None:
        return None
    return {
        "images": len(images.paths) - len(images.skipped),
        "sha256": images.contents_sha256(),
        "names_and_sizes_sha256": images.content,
    }


def _quantization(c: Compilation, verified: Verified) -> dict[str, Any]:
    quantize = c.deployment.quantize
    summary: dict[str, Any] = {"dtype": quantize.dtype, "keep": list(quantize.keep)}
    if c.quantized is not None:
        summary["layers"] = dict(sorted(c.quantized.layer_counts().items()))
    if c.quantized is not None and c.quantized.kept is not None:
        summary["ranges"] = {"from": "source", **asdict(c.quantized.kept)}
        summary["saturation"] = saturation_json(c.body, quantize.target)
    if c.int8 is not None:
        summary["activations"] = quantize.activations
        summary["corrections"] = {
            "asked_for": list(quantize.corrections),
            "equalized": list(c.int8.legalized.equalized),
            "images": c.int8.correction_images,
            "found_by_auto": c.int8.found,
        }
        summary["saturation"] = saturation_json(c.body, quantize.target)
        if (images := c.images) is not None:
            imported = c.int8.calibrated.imported
            summary["calibrate"] = "imported ranges" if imported else str(quantize.calibrate)
            summary["weights"] = quantize.weights
            summary["images"] = {
                "used": len(images.paths) - len(images.skipped),
                "skipped": sorted(images.skipped),
            }
        if (agreement := verified.agreement_json()) is not None:
            summary["agreement"] = agreement
            summary["poor"] = verified.poor and verified.poor.to_json()
        if c.int8.placement is not None:
            summary["placement"] = c.int8.placement.to_json()
        if (search := c.int8.calibrated.search) is not None:
            summary["search"] = search.to_json()
    if c.contract is not None:
        summary["contract"] = c.contract.to_json()
    return summary
