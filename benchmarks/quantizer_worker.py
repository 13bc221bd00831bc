"""One measurement of quantizer.py, in a process of its own: quantize with one tool, then evaluate.

Reads a job (JSON) from its only argument and leaves `report.json` in the job's `work` folder. Every tool gets
the same float32 ONNX file and the same images in the same order; peers get them through Pillow and numpy as
normalized float32, zooc decodes and preprocesses them in its own pipeline. Imports are not timed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zooc_runtime.data.image_folder import draw, list_images
from zooc_runtime.preprocessing.decode import decode
from zooc_runtime.preprocessing.pillow_steps import reference_pixels
from zooc_runtime.preprocessing.steps import ECenterCrop

MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
METHODS = ("max", "percentile", "kl_divergence", "mse")
BATCH = 50

Job = dict[str, Any]
Floats = NDArray[np.float32]


class Skip(Exception):
    """This contestant cannot run here; the arguments are the report's key and the reason."""


def main() -> int:
    """Runs the job named on the command line."""
    job: Job = json.loads(sys.argv[1])
    if job["tool"] == "export":
        return _export(Path(job["network"]))
    runners = {
        "float": _float,
        "import": _import,
        "zooc": _zooc,
        "onnxruntime": _onnxruntime,
        "nncf": _nncf_openvino,
        "nncf-onnx": _nncf_onnx,
    }
    try:
        report = runners[job["tool"]](job)
    except Skip as skip:
        report = dict([skip.args])
    (Path(job["work"]) / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return 0


class Clock:
    """Wall and processor seconds since it was made; the peak memory of the process so far."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def report(self) -> dict[str, Any]:
        """Seconds, and megabytes (10^6 bytes)."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return {"seconds": wall, "cpu_seconds": cpu, "peak_mb": _peak_bytes() / 1e6}


def _peak_bytes() -> int:
    """Highest resident memory; from /proc where it exists, since ru_maxrss starts at the parent's."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# The tools.


def _float(job: Job) -> dict[str, Any]:
    logits = _onnx_logits(job["network"], job)
    np.save(job["float_logits"], logits)
    return {"engine": "onnxruntime", **_compare(logits, job)}


def _import(job: Job) -> dict[str, Any]:
    """Fills the cache with the network as zooc reads it from the file; not measured."""
    from zooc.compilation import Request
    from zooc.pipeline.compile import compile_graph
    from zooc.pipeline.context import Context, Stopped
    from zooc.support.cache import Cache
    from zooc.support.progress import Progress

    job = {**job, "options": {"method": "max", "lines": []}}
    file = Path(job["work"]) / "subject.zoo"
    file.write_text(_description(job), encoding="utf-8")
    with contextlib.suppress(Stopped):
        compile_graph(Request(file), Context(Cache(Path(job["cache"])), Progress(), "simplify_graph"))
    return {}


def _zooc(job: Job) -> dict[str, Any]:
    from zooc.calibration.ranges import choose_ranges
    from zooc.compilation import Request
    from zooc.deployment import CalibrationMethod
    from zooc.diagnostics.diagnostic import ZoocError
    from zooc.pipeline.compile import compile_graph
    from zooc.pipeline.context import Context
    from zooc.support.cache import Cache
    from zooc.support.progress import Progress

    file = Path(job["work"]) / "subject.zoo"
    file.write_text(_description(job), encoding="utf-8")
    cache = Path(job["work"]) / "cache"
    if "cache" in job and not job["options"].get("cold"):
        shutil.copytree(job["cache"], cache)
    clock = Clock()
    stages = _StageTimes()
    progress = stages.over(Progress())
    try:
        compiled = compile_graph(Request(file), Context(Cache(cache), progress))
    except ZoocError as problem:
        raise Skip("refused", problem.diagnostics[0].message) from None
    if job["options"].get("all"):
        # The other methods' ranges come from the histograms that the one pass left behind.
        used = compiled.deployment.quantize.calibrate.name
        for name in METHODS:
            if name != used:
                assert compiled.int8 is not None and compiled.int8.calibrated.histograms is not None
                with progress.stage(name):
                    choose_ranges(compiled.int8.calibrated.histograms, CalibrationMethod(name))  # type: ignore[arg-type]
    report = {**clock.report(), "engine": "onnxruntime", "stages": stages.seconds}
    if job.get("evaluate"):
        report |= _compare(_session_logits(compiled.body.SerializeToString(), job, normalized=False), job)
    return report


class _StageTimes:
    """Records how long the pipeline's stages take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def over(self, progress: Any) -> Any:
        """`progress` with its `stage` replaced by one that takes the time."""

        @contextlib.contextmanager
        def stage(name: str) -> Iterator[None]:
            start = time.perf_counter()
            yield
            self.seconds[name] = time.perf_counter() - start

        progress.stage = stage
        return progress


def _description(job: Job) -> str:
    size, folder = job["size"], job["folder"]
    return "\n".join(
        [
            f"model {{ source onnx({json.dumps(job['network'])})  input [batch, 3, {size}, {size}] }}",
            f"preprocess {{\n  ECenterCrop({size})\n  ToTensor()",
            "  Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])\n}",
            f"quantize int8 {{\n  calibrate {job['options']['method']}",
            f"  data images({json.dumps(folder)}, count={job['count']}, seed=0)",
            *(f"  {line}" for line in job["options"]["lines"]),
            "}\npostprocess { softmax }\npackage { name subject }\n",
        ]
    )


def _onnxruntime(job: Job) -> dict[str, Any]:
    _need("onnxruntime", "onnxruntime")
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.paths = iter(_drawn(job))

        def get_next(self) -> dict[str, Floats] | None:
            path = next(self.paths, None)
            return None if path is None else {"input": _input(path, job)[None]}

    options, result = job["options"], Path(job["work"]) / "quantized.onnx"
    settings: dict[str, Any] = {"calibrate_method": q.CalibrationMethod[options["method"]]}
    if not options.get("default"):
        settings |= {
            "activation_type": q.QuantType.QUInt8,
            "weight_type": q.QuantType.QInt8,
            "per_channel": True,
        }
    if "percentile" in options:
        settings["extra_options"] = {"CalibPercentile": options["percentile"]}
    prepared = Path(job["work"]) / "prepared.onnx"
    q.quant_pre_process(job["network"], os.fspath(prepared), skip_symbolic_shape=True)
    clock = Clock()
    q.quantize_static(
        os.fspath(prepared), os.fspath(result), Reader(), quant_format=q.QuantFormat.QDQ, **settings
    )
    report = {**clock.report(), "engine": "onnxruntime"}
    if job.get("evaluate"):
        report |= _compare(_onnx_logits(os.fspath(result), job), job)
    return report


def _nncf_openvino(job: Job) -> dict[str, Any]:
    _need("nncf", "nncf openvino")
    import nncf
    import openvino

    clock = Clock()
    model = openvino.Core().read_model(job["network"])
    dataset = nncf.Dataset(_drawn(job), lambda path: _input(path, job)[None])
    quantized = nncf.quantize(model, dataset, subset_size=job["count"])
    report = {**clock.report(), "engine": "openvino"}
    if job.get("evaluate"):
        # Processors with bfloat16 would run what is left in float in that; the float reference does not.
        compiled = openvino.Core().compile_model(quantized, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        outputs = [compiled(x)[0] for x in _batches(job, normalized=True)]
        report |= _compare(np.concatenate(outputs), job)
    return report


def _nncf_onnx(job: Job) -> dict[str, Any]:
    _need("nncf", "nncf onnx")
    import nncf
    import onnx

    clock = Clock()
    model = onnx.load(job["network"])
    dataset = nncf.Dataset(_drawn(job), lambda path: {"input": _input(path, job)[None]})
    quantized = nncf.quantize(model, dataset, subset_size=job["count"])
    report = {**clock.report(), "engine": "onnxruntime"}
    if job.get("evaluate"):
        report |= _compare(_session_logits(quantized.SerializeToString(), job, normalized=True), job)
    return report


def _need(module: str, packages: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise Skip("missing", f"not installed here; pip install {packages}")


def _export(path: Path) -> int:
    from zooc.deployment import InputShape, Model, ModelSource, RandomWeights
    from zooc.diagnostics.diagnostic import ZoocError
    from zooc.networks.load import load_network
    from zooc.support.cache import Cache, default_root

    shape = InputShape(None, 3, 224, 224)
    subject = Model(ModelSource("timm", "resnest50d"), RandomWeights(0), shape, 1000)
    try:
        network = load_network(subject, Cache(default_root()))
    except ZoocError as problem:
        print(f"quantizer.py: {problem}", file=sys.stderr)
        return 1
    path.write_bytes(network.model.SerializeToString(deterministic=True))
    print(path)
    return 0


# Images in, logits out.


def _pixels(path: Path, size: int) -> NDArray[np.uint8]:
    return reference_pixels(decode(path), "rgb", [ECenterCrop(size)])


def _normalized(pixels: NDArray[np.uint8]) -> Floats:
    values: Floats = (pixels.astype(np.float32) / np.float32(255) - MEAN) / STD
    return values


def _drawn(job: Job) -> list[Path]:
    """The calibration images; `images(FOLDER, count=N, seed=0)` in a description draws the same."""
    return draw(list_images(job["folder"]), job["count"], 0)


def _input(path: Path, job: Job) -> Floats:
    return _normalized(_pixels(path, job["size"]))


def _batches(job: Job, *, normalized: bool) -> Iterator[NDArray[Any]]:
    files = list_images(job["evaluate"])
    for start in range(0, len(files), BATCH):
        pixels = np.stack([_pixels(f, job["size"]) for f in files[start : start + BATCH]])
        yield _normalized(pixels) if normalized else pixels


def _onnx_logits(path: str, job: Job) -> Floats:
    return _session_logits(Path(path).read_bytes(), job, normalized=True)


def _session_logits(model: bytes, job: Job, *, normalized: bool) -> Floats:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {source: x})[0] for x in _batches(job, normalized=normalized)])


def _compare(logits: Floats, job: Job) -> dict[str, Any]:
    """Top-1 by the folders' names, and the distance from the float network's logits."""
    from zooc.verification.agreement import compare_logits

    folders = [path.parent.name for path in list_images(job["evaluate"])]
    names = sorted(set(folders))
    truth = np.array([names.index(name) for name in folders])
    right = logits.argmax(axis=1) == truth
    agreement = compare_logits(np.load(job["float_logits"]), logits)
    result: dict[str, Any] = {"images": len(truth), "top1": float(right.mean()), "agreement": agreement.top1}
    if job["tool"] != "float":
        result["sqnr_db"] = agreement.sqnr_db
    return result


if __name__ == "__main__":
    sys.exit(main())
