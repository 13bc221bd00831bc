"""What a package says of itself: the entries of `manifest.json` that the compiler knows.

The hashes of the files are added as they are written (`zooc.package.files`). No time, no machine and no path
outside the package is recorded, so the same inputs give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy
import onnx
import onnxruntime
import PIL

from zooc import __version__
from zooc.compilation import agreement_json
from zooc.ir.count import count_macs
from zooc.preprocessing.prelude import resample_order_of_pillow
from zooc.quantization.saturation import saturation_json
from zooc.verification.goldens import logits_tolerance

if TYPE_CHECKING:
    from zooc.compilation import Compilation

__all__ = ["build_manifest", "stage_boundaries"]


def build_manifest(c: Compilation) -> dict[str, Any]:
    """Schema 1 of `docs/design/architecture.md`, without the file hashes."""
    deployment = c.deployment
    preprocess = deployment.preprocess
    labels = deployment.postprocess.labels
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
            "source": c.network.origin,
            "weights": c.network.weights,
            "weights_sha256": c.network.weights_sha256,
            "input": _boundary(c.body.graph.input[0]),
            "classes": c.network.classes,
            "parameters": c.network.parameters,
            "macs": count_macs(c.float_body),
        },
        "stages": stage_boundaries(c),
        "preprocess": preprocess
        and {
            **preprocess.to_json(),
            "pillow": PIL.__version__,
            "resample_order": resample_order_of_pillow(PIL.__version__),
        },
        "quantization": _quantization(c),
        "postprocess": {
            "softmax": deployment.postprocess.softmax,
            "topk": min(deployment.postprocess.topk, c.network.classes),
            "labels": "labels.txt" if labels else None,
        },
        "engines": list(deployment.package.engines),
        **({"consumers": [found.to_json() for found in c.consumptions]} if c.consumptions else {}),
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
    """The tensors between which each stage stands, `None` for a stage that there is not."""
    stages = {"prelude": c.prelude, "body": c.body, "postlude": c.postlude}
    return {
        name: stage and {"input": stage.graph.input[0].name, "output": stage.graph.output[0].name}
        for name, stage in stages.items()
    }


def _boundary(info: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = info.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    return {"name": info.name, "dtype": dtype, "shape": shape}


def _quantization(c: Compilation) -> dict[str, Any]:
    quantize = c.deployment.quantize
    summary: dict[str, Any] = {"dtype": quantize.dtype, "keep": list(quantize.keep)}
    if c.quantized is not None:
        summary["layers"] = dict(sorted(Counter(layer.dtype for layer in c.quantized.layers).items()))
    if quantize.dtype == "int8":
        summary["activations"] = quantize.activations
        summary["corrections"] = {
            "asked_for": list(quantize.corrections),
            "equalized": list(c.equalized),
            "images": sum(map(len, c.correction_batches or ())),
        }
        summary["saturation"] = saturation_json(c.body, quantize.target)
    if c.images is not None:
        summary["calibrate"] = "imported ranges" if c.imported_ranges else str(quantize.calibrate)
        summary["weights"] = quantize.weights
        summary["images"] = {
            "used": len(c.images.paths) - len(c.images.skipped),
            "skipped": sorted(c.images.skipped),
        }
    if c.agreement is not None:
        summary["agreement"] = agreement_json(c)
    if c.contract is not None:
        summary["contract"] = c.contract.to_json()
    return summary
