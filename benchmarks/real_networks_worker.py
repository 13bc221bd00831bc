"""One contestant of real_networks.py, in a process of its own: quantize, then run the other pictures.

Reads a job (JSON) from its only argument and leaves `report.json` in the job's folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from trained import TRAINED, Subject

PER_CHANNEL_SINCE = 13
"""The opset."""

Job = dict[str, Any]
Floats = NDArray[np.float32]


def main() -> int:
    """Run the job named on the command line."""
    job: Job = json.loads(sys.argv[1])
    folder = Path(job["folder"])
    subject = next(subject for subject in TRAINED if subject.name == job["subject"])
    tools = {"float": _float, "zooc": _zooc, "onnxruntime": _onnxruntime, "nncf": _nncf}
    report = tools[job["tool"]](subject, folder, job)
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
    return 0


def _float(subject: Subject, folder: Path, _job: Job) -> dict[str, Any]:
    logits = _onnx_logits(logits_model(subject, folder), _inputs(subject, folder, "comparison"))
    np.save(folder / "float.npy", logits)
    return {}


def _zooc(subject: Subject, folder: Path, job: Job) -> dict[str, Any]:
    from zooc.compilation import Request
    from zooc.pipeline.compile import compile_graph
    from zooc.pipeline.context import Context
    from zooc.support.cache import Cache
    from zooc.support.progress import Progress

    file = subject.describe(folder, job["statements"])
    start = time.perf_counter()
    compiled = compile_graph(Request(file), Context(Cache(None), Progress()))
    seconds = time.perf_counter() - start
    pixels = np.load(folder / "comparison.npy")
    logits = _onnx_logits(compiled.body.SerializeToString(), [pixels[i : i + 1] for i in range(len(pixels))])
    return {"seconds": seconds, **_compare(logits, folder)}


def _onnxruntime(subject: Subject, folder: Path, job: Job) -> dict[str, Any]:
    from onnxruntime import quantization as q

    source = folder / "logits.onnx"
    source.write_bytes(logits_model(subject, folder))
    name = onnx.load(source).graph.input[0].name

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds: Iterator[dict[str, Floats]] = iter(
                [{name: value} for value in _inputs(subject, folder, "calibration")]
            )

        def get_next(self) -> dict[str, Floats] | None:
            return next(self.feeds, None)

    start = time.perf_counter()
    prepared, result = folder / "prepared.onnx", folder / "static.onnx"
    q.quant_pre_process(os.fspath(source), os.fspath(prepared), skip_symbolic_shape=True)
    q.quantize_static(
        os.fspath(prepared),
        os.fspath(result),
        Reader(),
        quant_format=q.QuantFormat.QDQ,
        activation_type=q.QuantType.QUInt8,
        weight_type=q.QuantType.QInt8,
        per_channel=True,
        calibrate_method=q.CalibrationMethod[job["method"]],
    )
    seconds = time.perf_counter() - start
    logits = _onnx_logits(result.read_bytes(), _inputs(subject, folder, "comparison"))
    return {"seconds": seconds, **_compare(logits, folder)}


def _nncf(subject: Subject, folder: Path, job: Job) -> dict[str, Any]:
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters

    (folder / "logits.onnx").write_bytes(logits_model(subject, folder))
    start = time.perf_counter()
    model = openvino.Core().read_model(folder / "logits.onnx")
    inputs = _inputs(subject, folder, "calibration")
    data = nncf.Dataset(inputs)
    if job.get("accuracy_control"):
        quantized = nncf.quantize_with_accuracy_control(
            model, data, data, _agreement_with(model, inputs), max_drop=0.01, subset_size=len(inputs)
        )
    else:
        advanced = None
        if job.get("full_bias"):
            advanced = AdvancedQuantizationParameters()
        quantized = nncf.quantize(
            model,
            data,
            subset_size=len(inputs),
            fast_bias_correction=not job.get("full_bias"),
            advanced_parameters=advanced,
        )
    seconds = time.perf_counter() - start
    logits = _openvino_logits(quantized, _inputs(subject, folder, "comparison"))
    return {"seconds": seconds, **_compare(logits, folder)}


def _agreement_with(model: Any, inputs: Sequence[Floats]) -> Any:
    """A validation function: the share of inputs of which a network has float's top-1."""
    wanted = _openvino_logits(model, inputs).argmax(axis=1)

    def validate(compiled: Any, items: Any) -> tuple[float, None]:
        found = np.concatenate([compiled(value)[0] for value in items]).argmax(axis=1)
        return float((found == wanted[: len(found)]).mean()), None

    return validate


def _openvino_logits(model: Any, inputs: Sequence[Floats]) -> Floats:
    import openvino

    # Processors with bfloat16 would run what is left in float in that; the float reference does not.
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(value)[0] for value in inputs])


def logits_model(subject: Subject, folder: Path) -> bytes:
    """The file with a batch of one, up to its final softmax, of an opset that has scales per channel."""
    model = onnx.load(folder / f"{subject.name}.onnx")
    if model.opset_import[0].version < PER_CHANNEL_SINCE:
        model = onnx.version_converter.convert_version(model, PER_CHANNEL_SINCE)
    sizes = (subject.height, subject.width)
    shape = (1, *sizes, 3) if subject.channels_last else (1, 3, *sizes)
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    if subject.ends_in_softmax:
        final = [node for node in model.graph.node if node.op_type == "Softmax"][-1]
        del model.graph.output[:]
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(final.input[0], onnx.TensorProto.FLOAT, [1, subject.classes])
        )
    result: bytes = model.SerializeToString()
    return result


def _inputs(subject: Subject, folder: Path, name: str) -> list[Floats]:
    pixels = np.load(folder / f"{name}.npy")
    return [subject.normalized(pixels[i : i + 1]) for i in range(len(pixels))]


def _onnx_logits(model: bytes, inputs: Sequence[NDArray[Any]]) -> Floats:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: value})[0] for value in inputs])


def _compare(logits: Floats, folder: Path) -> dict[str, Any]:
    from zooc.verification.agreement import compare_logits

    wanted = np.load(folder / "float.npy")
    found = compare_logits(wanted, logits)
    return {
        "images": len(logits),
        "agreement": found.top1,
        "sqnr_db": found.sqnr_db,
        "kl": float(_divergence(wanted, logits).mean()),
    }


def _divergence(wanted: Floats, logits: Floats) -> NDArray[np.float64]:
    """The Kullback-Leibler divergence of softmax probabilities, `[images]`, in nats."""
    first, second = (_log_softmax(values.astype(np.float64)) for values in (wanted, logits))
    return np.asarray((np.exp(first) * (first - second)).sum(axis=1))


def _log_softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = values - values.max(axis=1, keepdims=True)
    return np.asarray(values - np.log(np.exp(values).sum(axis=1, keepdims=True)))


if __name__ == "__main__":
    sys.exit(main())
