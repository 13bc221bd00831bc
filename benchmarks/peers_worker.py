"""One contestant of peers.py: prepares its file, or serves measurements, in a process of its own.

    peers_worker.py prepare JOB     writes one contestant's model and ends
    peers_worker.py serve JOB       answers each line on standard input, a setting, by a line of results

A setting is `{"streams", "threads", "batch", "seconds", "images"}`: so many Python threads call the engine at
once, each with a request of its own, as long as told. With `images` they begin with JPEG files, else with a
tensor that is made once. Results are images a second, the median milliseconds a request, and the process's
processor time a request.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Setting = dict[str, Any]
Run = Callable[[NDArray[Any]], Any]
Make = Callable[[], Run]
"""Makes what runs one request after the other; one for each thread."""

SIZE, SHORTER_SIDE = 224, 256
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
PRODUCTS = 512, 14, 14
"""Channels, height and width of the convolutions that measure the CPU's integer units."""


def main() -> int:
    """Prepares or serves."""
    task, job = sys.argv[1], json.loads(sys.argv[2])
    if task == "prepare":
        PREPARE[job["tool"]](job)
        return 0
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print does not get among the answers
    contestant = CONTESTANTS[job["tool"]](job)
    for line in sys.stdin:
        setting = json.loads(line)
        answers.write(json.dumps(contestant.measure(setting)) + "\n")
        answers.flush()
    return 0


def preprocessed(path: str) -> NDArray[np.float32]:
    """What torchvision's Resize(256), CenterCrop(224), ToTensor and Normalize make, by the same Pillow calls.

    Returns:
        float32 `[3, 224, 224]`.
    """
    with Image.open(path) as image:
        picture = image.convert("RGB")
    scale = SHORTER_SIDE / min(picture.size)
    width, height = (SHORTER_SIDE if s == min(picture.size) else int(s * scale) for s in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    pixels = np.asarray(picture.crop((left, top, left + SIZE, top + SIZE)), np.float32)
    return np.ascontiguousarray(((pixels / 255 - MEAN) / STD).transpose(2, 0, 1))


class Peer:
    """An engine that takes normalized float32, and keeps what it compiled for each setting."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.shape: tuple[int, ...] = tuple(job.get("shape", (3, SIZE, SIZE)))
        self.compiled: dict[str, Make] = {}

    def compile(self, setting: Setting) -> Make:
        """What makes requests, for a number of streams and of threads in each."""
        raise NotImplementedError

    def measure(self, setting: Setting) -> dict[str, float]:
        """See the module."""
        key = json.dumps([setting[k] for k in ("streams", "threads", "images")])
        if key not in self.compiled:
            self.compiled[key] = self.compile(setting)
        return hammer(self.compiled[key], self.inputs(setting), setting)

    def inputs(self, setting: Setting) -> Iterator[Callable[[], NDArray[Any]]]:
        """One input a request, made when called."""
        batch = setting["batch"]
        if not setting["images"]:
            tensor = np.random.default_rng(0).standard_normal((batch, *self.shape)).astype(np.float32)
            return itertools.repeat(lambda: tensor)
        files = itertools.cycle(setting["images"])

        def next_request() -> Callable[[], NDArray[Any]]:
            paths = list(itertools.islice(files, batch))
            return lambda: np.stack([self.prepared(path) for path in paths])

        return iter(next_request, None)

    def prepared(self, path: str) -> NDArray[Any]:
        """One image as the engine takes it."""
        return preprocessed(path)


class OnnxRuntime(Peer):
    """ONNX Runtime."""

    def compile(self, setting: Setting) -> Make:
        """One session; its `run` may be called by several threads."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setting["threads"]
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(self.job["model"], options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda: lambda tensor: session.run(None, {name: tensor})


class OpenVino(Peer):
    """OpenVINO with its own defaults: floating-point layers in bf16 where the CPU has it."""

    def compile(self, setting: Setting) -> Make:
        """One compiled model; a request a thread."""
        import openvino

        core = openvino.Core()
        properties = {
            "NUM_STREAMS": setting["streams"],
            "INFERENCE_NUM_THREADS": setting["streams"] * setting["threads"],
            **self.job.get("properties", {}),
        }
        compiled = core.compile_model(self.model(core), "CPU", properties)

        def make() -> Run:
            request = compiled.create_infer_request()
            return lambda tensor: request.infer([tensor], share_inputs=True)

        return make

    def model(self, core: Any) -> Any:
        """The model as read."""
        return core.read_model(self.job["model"])


class OpenVinoResizes(OpenVino):
    """OpenVINO with resizing and normalization in its graph (PrePostProcessor); images one at a time.

    It resizes to 224 x 224 at once, without a crop: cheaper than what the network was trained with, and other
    pixels.
    """

    def model(self, core: Any) -> Any:
        """The model behind a resize of uint8 images of any size."""
        import openvino
        from openvino.preprocess import PrePostProcessor, ResizeAlgorithm

        steps = PrePostProcessor(super().model(core))
        steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(
            openvino.Layout("NHWC")
        ).set_spatial_dynamic_shape()
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(openvino.Type.f32).resize(
            ResizeAlgorithm.RESIZE_LINEAR
        ).mean([255 * float(m) for m in MEAN]).scale([255 * float(s) for s in STD])
        return steps.build()

    def prepared(self, path: str) -> NDArray[Any]:
        """The decoded image."""
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))


class Products(OpenVino):
    """Large integer convolutions and nothing else: what the CPU's integer units do in practice.

    The rate is in images of the network: how many have that many products.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__(job)
        import onnx

        from zooc.ir.count import count_macs

        ours, network = (count_macs(onnx.load(job[kind])) for kind in ("model", "float"))
        self.images = ours / network

    def inputs(self, setting: Setting) -> Iterator[Callable[[], NDArray[Any]]]:
        """Activations for the first convolution."""
        tensor = np.random.default_rng(0).standard_normal((setting["batch"], *PRODUCTS)).astype(np.float32)
        return itertools.repeat(lambda: tensor)

    def measure(self, setting: Setting) -> dict[str, float]:
        """See the class."""
        found = super().measure(setting)
        return {**found, "per_second": found["per_second"] * self.images}


class Zooc(Peer):
    """The generated package, through its own runtime."""

    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__(job)
        self.models: dict[str, Any] = {}

    def measure(self, setting: Setting) -> dict[str, float]:
        """From images by `stream`, as a user would; a tensor by `run_tensor`."""
        from zooc_runtime import open_package

        options = {"streams": setting["streams"], "threads": setting["threads"]}
        key = json.dumps([*options.values(), setting["batch"]])
        if key not in self.models:
            model = open_package(
                self.job["model"], self.job["engine"], batch_size=setting["batch"], **options
            )
            self.models[key] = model
            for _ in model.stream(setting["images"][: 2 * setting["batch"]]):
                pass
        model = self.models[key]
        if not setting["images"]:
            tensor = np.random.default_rng(0).integers(0, 256, (setting["batch"], *self.shape), np.uint8)
            return hammer(lambda: model.run_tensor, itertools.repeat(lambda: tensor), setting)
        answers = model.stream(itertools.cycle(setting["images"]))
        # The pipeline is full once it has answered as many images as it has in work.
        for _ in itertools.islice(answers, 4 * setting["streams"] * setting["batch"]):
            pass
        begin = now = time.perf_counter()
        count = 0
        while now - begin < setting["seconds"]:
            next(answers)
            now = time.perf_counter()
            count += 1
        answers.close()
        return {"per_second": count / (now - begin), "latency_ms": float("nan")}


def hammer(make: Make, inputs: Iterator[Callable[[], NDArray[Any]]], setting: Setting) -> dict[str, float]:
    """Requests from `streams` threads for `seconds`, after one of each that does not count."""
    lock, start = threading.Lock(), threading.Barrier(setting["streams"] + 1)
    latencies: list[float] = []

    def stream() -> None:
        run = make()
        with lock:
            first = next(inputs)
        run(first())
        start.wait()
        end = time.perf_counter() + setting["seconds"]
        while (begin := time.perf_counter()) < end:
            with lock:
                request = next(inputs)
            run(request())
            latencies.append(1e3 * (time.perf_counter() - begin))

    threads = [threading.Thread(target=stream) for _ in range(setting["streams"])]
    for thread in threads:
        thread.start()
    start.wait()
    begin, worked = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    spent, worked = time.perf_counter() - begin, time.process_time() - worked
    return {
        "per_second": len(latencies) * setting["batch"] / spent,
        "latency_ms": median(latencies),
        "cpu_ms": 1e3 * worked / len(latencies),
    }


def calibration_inputs(job: dict[str, Any]) -> Iterator[NDArray[np.float32]]:
    """The calibration images as the network takes them: stored under `inputs`, or made of files."""
    if "inputs" in job:
        return (tensor[None] for tensor in np.load(job["inputs"]))
    return (preprocessed(path)[None] for path in job["calibration"])


def quantize_static(job: dict[str, Any]) -> None:
    """ONNX Runtime's own int8: QDQ, U8S8, weights per channel, MinMax."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = onnx.load(job["float"], load_external_data=False).graph.input[0].name

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.inputs = calibration_inputs(job)

        def get_next(self) -> dict[str, Any] | None:
            tensor = next(self.inputs, None)
            return None if tensor is None else {name: tensor}

    ready = Path(job["model"]).with_suffix(".pre.onnx")
    quant_pre_process(job["float"], str(ready), skip_symbolic_shape="inputs" in job)
    quantization.quantize_static(
        str(ready),
        job["model"],
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    ready.unlink()


def nncf(job: dict[str, Any]) -> None:
    """NNCF's int8 with its defaults, for OpenVINO."""
    import nncf
    import openvino

    images = list(calibration_inputs(job))
    model = nncf.quantize(
        openvino.Core().read_model(job["float"]), nncf.Dataset(images), subset_size=len(images)
    )
    openvino.save_model(model, job["model"], compress_to_fp16=False)


def products(job: dict[str, Any]) -> None:
    """Twelve 3 x 3 convolutions, QDQ, U8S8, weights per channel, one behind the other."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    channels, layers = PRODUCTS[0], 12
    random = np.random.default_rng(0)
    constants = {
        "scale": np.float32(0.02),
        "zero": np.uint8(0),
        "weight_scale": np.full(channels, 2e-5, np.float32),
        "weight_zero": np.zeros(channels, np.int8),
    }
    nodes = []

    def op(kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def quantized(value: str) -> str:
        return op("DequantizeLinear", [op("QuantizeLinear", [value, "scale", "zero"]), "scale", "zero"])

    value = quantized("input")
    for layer in range(layers):
        constants[f"weight{layer}"] = random.integers(-127, 128, (channels, channels, 3, 3)).astype(np.int8)
        weight = op("DequantizeLinear", [f"weight{layer}", "weight_scale", "weight_zero"], axis=0)
        value = quantized(op("Relu", [op("Conv", [value, weight], pads=[1, 1, 1, 1])]))
    op("GlobalAveragePool", [value])
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", *PRODUCTS])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["n", channels, 1, 1])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), job["model"])


PREPARE: dict[str, Callable[[dict[str, Any]], None]] = {
    "quantize_static": quantize_static,
    "nncf": nncf,
    "products": products,
}
CONTESTANTS: dict[str, type[Peer]] = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "openvino-resizes": OpenVinoResizes,
    "products": Products,
    "zooc": Zooc,
}

if __name__ == "__main__":
    sys.exit(main())
