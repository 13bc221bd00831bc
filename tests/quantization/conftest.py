"""A small builder of float32 bodies, and the steps every test of the quantizer takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from zooc.calibration.ranges import choose_ranges
from zooc.calibration.run import calibrate
from zooc.deployment import CalibrationMethod, Quantize
from zooc.quantization.layers import Quantized
from zooc.quantization.placement import tensors_to_observe
from zooc.quantization.qdq import quantize_body

INT8 = Quantize(dtype="int8", calibrate=CalibrationMethod("max"))


@dataclass
class Net:
    """Builds a body node by node; every method returns its output's name."""

    seed: int = 0
    size: int = 16
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    source: tuple[str, int] = ("pixels", onnx.TensorProto.UINT8)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def add(self, op: str, *inputs: str, name: str = "", outputs: int = 1, **attributes: Any) -> str:
        name = name or f"{op.lower()}{len(self.nodes)}"
        results = [f"{name}_out{i or ''}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, results, name=f"{name}/{op}", **attributes))
        return results[0]

    def store(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        self.weights[name] = np.asarray(values, dtype)
        return name

    def begin(self, mask: bool = False) -> str:
        """`pixels -> [Pad] -> Cast`."""
        pixels = "pixels"
        if mask:
            pads = self.store("mask/pads", [0, 0, 0, 0, 0, 1, 0, 0], np.int64)
            pixels = self.add("Pad", pixels, pads, self.store("mask/value", 255, np.uint8), name="mask")
        return self.add("Cast", pixels, to=onnx.TensorProto.FLOAT, name="cast")

    def conv(
        self,
        x: str,
        cin: int,
        cout: int,
        k: int = 3,
        name: str = "",
        groups: int = 1,
        **more: Any,
    ) -> str:
        name = name or f"conv{len(self.nodes)}"
        scale = 1 / np.sqrt(cin // groups * k * k)
        weight = self.random.normal(0, scale, (cout, cin // groups, k, k))
        parts = [
            self.store(f"{name}.weight", weight),
            self.store(f"{name}.bias", self.random.normal(0, 0.1, cout)),
        ]
        return self.add("Conv", x, *parts, name=name, pads=[k // 2] * 4, group=groups, **more)

    def head(self, x: str, channels: int, classes: int = 10) -> str:
        """Mean over space, Gemm: ends the body in `logits`."""
        axes = self.store("head/axes", [2, 3], np.int64)
        x = self.add("ReduceMean", x, axes, name="pool", keepdims=0)
        weight = self.store("fc.weight", self.random.normal(0, 1, (classes, channels)))
        bias = self.store("fc.bias", self.random.normal(0, 0.1, classes))
        return self.finish(self.add("Gemm", x, weight, bias, name="fc", transB=1))

    def finish(self, x: str) -> str:
        for node in self.nodes:
            node.output[:] = ["logits" if n == x else n for n in node.output]
            node.input[:] = ["logits" if n == x else n for n in node.input]
        return "logits"

    def model(self) -> onnx.ModelProto:
        source = helper.make_tensor_value_info(*self.source, ["batch", 3, self.size, self.size])
        logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, None)
        stored = [numpy_helper.from_array(v, n) for n, v in self.weights.items()]
        graph = helper.make_graph(self.nodes, "body", [source], [logits], stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model)
        del model.graph.value_info[:]
        return model

    def images(self, count: int = 8, seed: int = 1) -> np.ndarray:
        """Smooth uint8 images `[count, 3, size, size]`, or float32 for a float input."""
        random = np.random.default_rng(seed)
        waves = np.sin(np.linspace(0, 6, self.size) * random.uniform(0.2, 3, (count, 3, self.size, 1)))
        noisy = 127 + 100 * waves + random.normal(0, 12, waves.shape)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
        return (
            pixels
            if self.source[1] == onnx.TensorProto.UINT8
            else (pixels / np.float32(64) - 2).astype(np.float32)
        )


@pytest.fixture
def net() -> Callable[..., Net]:
    return Net


@pytest.fixture
def run() -> Callable[[onnx.ModelProto, np.ndarray], np.ndarray]:
    def run_model(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: images})[0]

    return run_model


@pytest.fixture
def quantized() -> Callable[..., Quantized]:
    def quantize(body: onnx.ModelProto, images: np.ndarray, options: Quantize = INT8) -> Quantized:
        tensors = tensors_to_observe(body, options)
        histograms = calibrate(
            body, [images[i : i + 2] for i in range(0, len(images), 2)], tensors, threads=1
        )
        result = quantize_body(body, choose_ranges(histograms, options.calibrate), options)
        onnx.checker.check_model(result.model, full_check=True)
        return result

    return quantize
