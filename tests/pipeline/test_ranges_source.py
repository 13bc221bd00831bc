"""Networks that are quantized already: the package answers as their file does in ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quantize import quantize_dynamic

from zooc.compilation import Request
from zooc.diagnostics.diagnostic import ZoocError
from zooc.pipeline.analyze import AnalysisRequest, analyze_path
from zooc.pipeline.calibrate import prepare
from zooc.pipeline.compile import WrittenPackage, compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime import open_package

SIZE = 32
MEAN = np.reshape([0.485, 0.456, 0.406], (1, 3, 1, 1))
STD = np.reshape([0.229, 0.224, 0.225], (1, 3, 1, 1))

UINT8, INT8 = QuantType.QUInt8, QuantType.QInt8
QDQ = {"quant_format": QuantFormat.QDQ, "activation_type": UINT8, "weight_type": INT8}
INTEGER = {"quant_format": QuantFormat.QOperator, "activation_type": UINT8, "weight_type": INT8}
FLOAT_BIAS = {"QuantizeBias": False}
UNFOLDED = {"ActivationSymmetric": True, "AddQDQPairToWeight": True, **FLOAT_BIAS}

FORMS: dict[str, dict[str, Any]] = {
    "onnxruntime": QDQ | {"per_channel": True},
    "one_scale": QDQ,
    "integer_operators": INTEGER | {"per_channel": True},
    "integer_operators_uint8": INTEGER | {"weight_type": UINT8},
    # NNCF: asymmetric uint8 activations, a scale for each channel of the weights, biases in float.
    "like_nncf": QDQ | {"per_channel": True, "extra_options": FLOAT_BIAS},
    # ModelOpt: symmetric int8, weights in float behind a pair of their own.
    "like_modelopt": QDQ | {"activation_type": INT8, "per_channel": True, "extra_options": UNFOLDED},
    "asymmetric_weights": QDQ
    | {"weight_type": UINT8, "per_channel": True, "extra_options": {"WeightSymmetric": False}},
}


class Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Normalized pictures for ONNX Runtime's quantizer."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = iter(np.split(images, len(images)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"input": batch}


@pytest.fixture(scope="module")
def quantized(project: Path) -> Path:
    """The project's folder, with `net.onnx` quantized in each of `FORMS`."""
    rng = np.random.default_rng(3)
    images = rng.uniform(0, 1, (6, 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)
    reader = ((images - MEAN) / STD).astype(np.float32)
    for name, options in FORMS.items():
        quantize_static(project / "net.onnx", project / f"{name}.onnx", Pictures(reader), **options)
    return project


def describe(
    project: Path, name: str, quantize: str = "int8 { ranges source }", engines: str = "onnxruntime"
) -> Path:
    file = project / f"{name}.zoo"
    file.write_text(
        f"""
model {{ source onnx("{name}.onnx")  input [batch, 3, {SIZE}, {SIZE}] }}
preprocess {{
  ECenterCrop({SIZE})
  ToTensor()
  Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
}}
quantize {quantize}
postprocess {{ softmax  topk 2  labels "labels.txt" }}
package {{ name tiny  engines [{engines}] }}
""",
        "utf-8",
    )
    return file


def compile_it(file: Path, output: Path, **options: Any) -> tuple[WrittenPackage, Context]:
    context = Context(Cache(None), Progress())
    return compile_package(Request(file, output, **options), context), context


def refused(file: Path, output: Path, **options: Any) -> Any:
    with pytest.raises(ZoocError) as caught:
        compile_it(file, output, **options)
    assert not output.exists()
    first = caught.value.diagnostics[0]
    assert first.hint
    return first


def logits_of(project: Path, folder: Path, name: str, engine: str = "onnxruntime") -> tuple[Any, Any]:
    """Of the file itself in ONNX Runtime, and of the package."""
    model = open_package(folder / "tiny", engine=engine)
    pixels = np.stack([model.pixels(file) for file in sorted((project / "images").glob("*.jpg"))])
    session = onnxruntime.InferenceSession(project / f"{name}.onnx")
    feed = ((pixels / 255 - MEAN) / STD).astype(np.float32)
    return session.run(None, {"input": feed})[0], model.run_tensor(pixels)


def sqnr(wanted: np.ndarray, got: np.ndarray) -> float:
    noise = float(np.square(wanted - got).sum())
    return np.inf if noise == 0 else 10 * np.log10(float(np.square(wanted).sum()) / noise)


def scales_of(model: onnx.ModelProto) -> set[tuple[float, ...]]:
    """The scales of all activations that are rounded, and of all stored weights."""
    stored = {t.name: numpy_helper.to_array(t).reshape(-1) for t in model.graph.initializer}
    pairs = ("QuantizeLinear", "DequantizeLinear")
    return {tuple(stored[n.input[1]].tolist()) for n in model.graph.node if n.op_type in pairs}


@pytest.mark.parametrize("name", FORMS)
def test_the_package_answers_as_the_file_does(quantized: Path, tmp_path: Path, name: str) -> None:
    written, context = compile_it(describe(quantized, name), tmp_path / "out")
    wanted, got = logits_of(quantized, tmp_path / "out", name)
    assert sqnr(wanted, got) > 45
    assert (wanted.argmax(axis=1) == got.argmax(axis=1)).all()
    assert not context.diagnostics()
    kept = written.compiled.quantized.kept if written.compiled.quantized else None
    assert kept is not None and kept.activations >= 7 and kept.weights >= 3


@pytest.mark.parametrize("name", ["onnxruntime", "like_nncf", "like_modelopt", "asymmetric_weights"])
def test_the_scales_of_the_graph_are_the_files(quantized: Path, tmp_path: Path, name: str) -> None:
    compile_it(describe(quantized, name), tmp_path / "out")
    compiled = scales_of(onnx.load(tmp_path / "out" / "tiny" / "model.onnx"))
    assert compiled == scales_of(onnx.load(quantized / f"{name}.onnx"))
    assert len(compiled) > 6


def test_unfolded_weights_are_stored_in_integers(quantized: Path, tmp_path: Path) -> None:
    compile_it(describe(quantized, "like_modelopt"), tmp_path / "out")
    graph = onnx.load(tmp_path / "out" / "tiny" / "model.onnx").graph
    stored = {tensor.name for tensor in graph.initializer}
    assert not [n.name for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] in stored]
    weights = [tensor for tensor in graph.initializer if len(tensor.dims) > 1]
    assert sum(tensor.data_type == onnx.TensorProto.INT8 for tensor in weights) == 3


@pytest.mark.parametrize("name", ["onnxruntime", "integer_operators", "like_modelopt"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_float_is_the_file_without_rounding(quantized: Path, tmp_path: Path, name: str, dtype: str) -> None:
    _, context = compile_it(describe(quantized, name, dtype), tmp_path / "out")
    wanted, got = logits_of(quantized, tmp_path / "out", name)
    assert 25 < sqnr(wanted, got) < 100
    assert [found.code for found in context.diagnostics()] == ["Z0484"]
    graph = onnx.load(tmp_path / "out" / "tiny" / "model.onnx").graph
    assert not {node.op_type for node in graph.node} & {"QuantizeLinear", "DequantizeLinear"}


def test_what_was_kept_is_told(quantized: Path, tmp_path: Path) -> None:
    written, context = compile_it(describe(quantized, "onnxruntime"), tmp_path / "out")
    manifest = json.loads((written.folder / "tiny" / "manifest.json").read_text("utf-8"))
    assert manifest["quantization"]["ranges"] == {"from": "source", "activations": 7, "weights": 6}
    assert context.facts["ranges_kept"] == {"activations": 7, "weights": 6}
    report = (written.folder / "report.html").read_text("utf-8")
    assert "7 activations, 6 stored tensors" in report
    assert "every convolution and matrix product is integer" in report
    layers = {layer.name: layer for layer in written.compiled.quantized.layers}  # type: ignore[union-attr]
    assert layers["block/Conv"].dtype == layers["fc/Gemm"].dtype == "int8"
    assert layers["stem/Conv"].zero_point == 0  # its Relu is the range's lower end


def test_a_tensor_form_needs_no_images(quantized: Path, tmp_path: Path) -> None:
    file = quantized / "tensor.zoo"
    text = 'model { source onnx("onnxruntime.onnx") }  quantize int8 { ranges source }'
    file.write_text(f"{text}  package {{ name tiny }}\n", "utf-8")
    compile_it(file, tmp_path / "out")
    model = open_package(tmp_path / "out" / "tiny")
    images = np.random.default_rng(5).standard_normal((4, 3, SIZE, SIZE)).astype(np.float32)
    session = onnxruntime.InferenceSession(quantized / "onnxruntime.onnx")
    assert sqnr(session.run(None, {"input": images})[0], model.run_tensor(images)) > 45


def test_openvino_agrees(quantized: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    file = describe(quantized, "onnxruntime", engines="onnxruntime, openvino")
    compile_it(file, tmp_path / "out")
    wanted, got = logits_of(quantized, tmp_path / "out", "onnxruntime", "openvino")
    assert sqnr(wanted, got) > 20


def test_other_ranges_and_float_networks_are_refused(quantized: Path, tmp_path: Path) -> None:
    assert refused(describe(quantized, "net"), tmp_path / "out").code == "Z0482"
    measured = 'int8 { data images("images", count=4) }'
    found = refused(describe(quantized, "onnxruntime", measured), tmp_path / "out")
    assert found.code == "Z0483"
    assert "ranges source" in found.hint
    (tmp_path / "ranges.txt").write_text("input 1 -1 1\n", "utf-8")
    file = describe(quantized, "onnxruntime")
    assert refused(file, tmp_path / "out", ranges=tmp_path / "ranges.txt").code == "Z0475"


def test_dynamic_quantization_is_refused(quantized: Path, tmp_path: Path) -> None:
    quantize_dynamic(quantized / "net.onnx", quantized / "dynamic.onnx")
    found = refused(describe(quantized, "dynamic"), tmp_path / "out")
    assert found.code == "Z0216"
    assert "DynamicQuantizeLinear" in found.message


def test_a_contract_is_checked(quantized: Path, tmp_path: Path) -> None:
    require = 'int8 {{ ranges source  require drop <= {limit} on images("images", labels=none) }}'
    file = describe(quantized, "onnxruntime", require.format(limit="50%"))
    written, _ = compile_it(file, tmp_path / "out")
    assert written.compiled.contract is not None
    assert written.compiled.contract.trials[0].verdict == "holds"
    manifest = json.loads((written.folder / "tiny" / "manifest.json").read_text("utf-8"))
    assert manifest["quantization"]["contract"]["holds"]


def test_a_contract_that_does_not_hold_is_refused(quantized: Path, tmp_path: Path) -> None:
    model = onnx.load(quantized / "one_scale.onnx")
    for tensor in model.graph.initializer:  # a hundredfold input scale leaves three levels of the image
        if tensor.name == "input_scale":
            tensor.CopyFrom(numpy_helper.from_array(100 * numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, quantized / "coarse.onnx")
    require = 'int8 { ranges source  require drop <= 0% on images("images", labels=none) }'
    assert refused(describe(quantized, "coarse", require), tmp_path / "out").code == "Z0492"


def test_the_float_twin_is_taken_where_only_it_is_as_fast_as_required(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_timed(body: onnx.ModelProto, _: object) -> Callable[[], float]:
        rounded = any(node.op_type == "QuantizeLinear" for node in body.graph.node)
        return lambda: 0.009 if rounded else 0.007

    monkeypatch.setattr("zooc.pipeline.hold_speed.open_timed", open_timed)
    settings = "int8 {{ ranges source  require latency <= {limit} ms }}"
    written, _ = compile_it(describe(quantized, "onnxruntime", settings.format(limit=8)), tmp_path / "fp32")
    assert (written.compiled.quantized, written.compiled.program.levels) == (None, None)
    manifest = json.loads((written.folder / "tiny" / "manifest.json").read_text("utf-8"))
    assert (manifest["speed"]["asked_for"], manifest["quantization"]["dtype"]) == ("int8", "fp32")
    written, _ = compile_it(describe(quantized, "onnxruntime", settings.format(limit=10)), tmp_path / "int8")
    assert written.compiled.quantized is not None


def test_nothing_is_calibrated(quantized: Path) -> None:
    with pytest.raises(ZoocError) as caught:
        prepare(
            Request(describe(quantized, "onnxruntime")), Context(Cache(None), Progress(), "quantize_network")
        )
    (found,) = caught.value.diagnostics
    assert found.code == "Z0475"
    assert found.span is not None
    assert found.span.text == "ranges source"


def test_analysis_needs_images_and_compares_with_the_twin(quantized: Path) -> None:
    file = describe(quantized, "onnxruntime")
    with pytest.raises(ZoocError) as caught:
        analyze_path(AnalysisRequest(file), Cache(None), Progress())
    assert caught.value.diagnostics[0].code == "Z0496"
    found = analyze_path(AnalysisRequest(file, quantized / "images", 8, 2), Cache(None), Progress())
    assert found.logits.sqnr_db > 25
    assert {row.name for row in found.rows} >= {"stem/Conv", "block/Conv", "fc/Gemm"}
