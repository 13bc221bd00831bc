"""A tiny network and the contents of a package around it, made without the rest of the compiler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from zooc.deployment import (
    Deployment,
    Labels,
    Model,
    ModelSource,
    Normalize,
    Package,
    Postprocess,
    Preprocess,
    Quantize,
)
from zooc.package.contents import PackageContents, golden_bytes
from zooc_runtime.package.stages import Graph
from zooc_runtime.preprocessing.steps import CenterCrop

SIDE = 8
CLASSES = 7
NAMES = ("crane", "crane", 'a "quoted" bird', "{{ owl }}", "naïve gull", "heron", "ibis")


def tiny_model(*, batch: int | None = None, softmax: bool = True, tensor: bool = False) -> onnx.ModelProto:
    """`image -> [prelude: top left 8 x 8] -> pixels -> [body] -> logits -> [postlude] -> probabilities`."""
    rng = np.random.default_rng(3)
    nodes, constants = [], {}
    dims = [batch or "batch", 3, SIDE, SIDE]
    source = "input" if tensor else "pixels"
    if not tensor:
        constants |= {
            "prelude/start": np.array([0, 0]),
            "prelude/end": np.array([SIDE, SIDE]),
            "prelude/axis": np.array([0]),
        }
        nodes += [
            helper.make_node(
                "Slice", ["image", "prelude/start", "prelude/end"], ["prelude/cut"], "prelude/Slice"
            ),
            helper.make_node(
                "Transpose", ["prelude/cut"], ["prelude/chw"], "prelude/Transpose", perm=[2, 0, 1]
            ),
            helper.make_node("Unsqueeze", ["prelude/chw", "prelude/axis"], ["pixels"], "prelude/Unsqueeze"),
        ]
    if batch and not tensor:
        constants["rows"] = np.array([batch, 1, 1, 1])
        nodes.append(helper.make_node("Expand", ["pixels", "rows"], ["repeated"], "body/repeat"))
    constants |= {
        "conv.weight": (rng.standard_normal((4, 3, 3, 3)) / 100).astype(np.float32),
        "fc.weight": rng.standard_normal((4, CLASSES)).astype(np.float32),
    }
    nodes += [
        helper.make_node(
            "Cast",
            ["repeated" if batch and not tensor else source],
            ["float"],
            "conv/Cast",
            to=TensorProto.FLOAT,
        ),
        helper.make_node("Conv", ["float", "conv.weight"], ["maps"], "conv/Conv", strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["active"], "conv/Relu"),
        helper.make_node("GlobalAveragePool", ["active"], ["mean"], "pool/GlobalAveragePool"),
        helper.make_node("Flatten", ["mean"], ["flat"], "pool/Flatten"),
        helper.make_node("MatMul", ["flat", "fc.weight"], ["logits"], "fc/MatMul"),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], "postlude/Softmax", axis=-1))
    info = helper.make_tensor_value_info
    first = (
        info("input", TensorProto.FLOAT, dims)
        if tensor
        else info("image", TensorProto.UINT8, ["height", "width", 3])
    )
    inner = [info("logits", TensorProto.FLOAT, [dims[0], CLASSES])]
    if not tensor:
        inner.append(info("pixels", TensorProto.UINT8, ["rows", 3, SIDE, SIDE]))
    last = info("probabilities" if softmax else "logits", TensorProto.FLOAT, [dims[0], CLASSES])
    graph = helper.make_graph(
        nodes,
        "tiny",
        [first],
        [last],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
        value_info=inner,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def stages_of(*, softmax: bool, tensor: bool) -> dict[str, Any]:
    """The manifest's `stages`."""
    return {
        "prelude": None if tensor else {"input": "image", "output": "pixels"},
        "body": {"input": "input" if tensor else "pixels", "output": "logits"},
        "postlude": {"input": "logits", "output": "probabilities"} if softmax else None,
    }


def tiny_contents(
    *,
    name: str = "tinybird",
    version: str = "1.2.3",
    batch: int | None = None,
    softmax: bool = True,
    tensor: bool = False,
    labels: tuple[str, ...] | None = NAMES,
    engines: tuple[str, ...] = ("onnxruntime", "openvino"),
    source: str = "tiny.onnx",
    report: str = "<!doctype html><title>tiny</title>",
) -> PackageContents:
    """Contents whose prelude, body and postlude are those of `tiny_model`."""
    model = tiny_model(batch=batch, softmax=softmax, tensor=tensor).SerializeToString()
    stages = stages_of(softmax=softmax, tensor=tensor)
    preprocess = {
        "steps": [{"op": "Crop", "left": 0, "top": 0, "height": SIDE, "width": SIDE}],
        "normalize": {"divisor": 255.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "pillow": "13.0.0",
        "resample_order": "pillow-13",
    }
    deployment = Deployment(
        model=Model(ModelSource("onnx", f"/somewhere/{source}"), None, None, CLASSES),
        preprocess=None if tensor else Preprocess((CenterCrop(SIDE, SIDE),), Normalize()),
        quantize=Quantize(),
        heads=(
            Postprocess("softmax" if softmax else "none", 5, None if labels is None else Labels("x", labels)),
        ),
        package=Package(name, version, engines),
        path=Path("/somewhere/tiny.zoo"),
        source_text="model {}",
    )
    manifest: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "version": version,
        "zooc": "0.1.0",
        "form": "tensor" if tensor else "image",
        "source": {"file": "tiny.zoo", "text": "model {}", "sha256": "", "variant": None, "overrides": []},
        "model": {
            "source": source,
            "weights": None,
            "weights_sha256": None,
            "input": {
                "name": stages["body"]["input"],
                "dtype": "float32" if tensor else "uint8",
                "shape": [batch, 3, SIDE, SIDE],
            },
            "classes": CLASSES,
            "parameters": 136,
            "macs": 1000,
        },
        "stages": stages,
        "preprocess": None if tensor else preprocess,
        "quantization": {"dtype": "fp32"},
        "postprocess": {
            "activation": "softmax" if softmax else "none",
            "topk": 5,
            "labels": None if labels is None else "labels.txt",
        },
        "engines": list(engines),
        "goldens": {"file": "goldens.npz", "logits_tolerance": 1e-4},
        "tools": {},
    }
    return PackageContents(
        deployment,
        model,
        manifest,
        golden_bytes(_goldens(model, stages, batch)),
        {} if labels is None else {"labels.txt": labels},
        None,
        report,
    )


def _goldens(model: bytes, stages: dict[str, Any], batch: int | None) -> dict[str, np.ndarray]:
    graph = Graph(model)
    arrays: dict[str, np.ndarray] = {}
    for index in range(2):
        rng = np.random.default_rng(index)
        value = (
            rng.integers(0, 256, (12 + index, 9, 3), dtype=np.uint8)
            if stages["prelude"]
            else rng.standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)
        )
        for name, boundary in stages.items():
            if boundary is None:
                continue
            arrays[f"{boundary['input']}_{index}"] = value
            cut = graph.cut(name, [boundary["input"]], [boundary["output"]])  # type: ignore[arg-type]
            given = value if name == "prelude" or batch is None else np.repeat(value, batch, axis=0)
            value = onnxruntime.InferenceSession(cut).run(None, {boundary["input"]: given})[0][:1]
            arrays[f"{boundary['output']}_{index}"] = value
    return arrays
