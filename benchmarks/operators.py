"""Where a network's time goes, operator by operator, by the engines' own profilers.

    python benchmarks/operators.py [--networks resnest50d] [--batch 4] [--rounds 20] [--write]

Looks at zooc's package and at the graph of ONNX Runtime's quantize_static, in ONNX Runtime and, where it is
installed, in OpenVINO; `benchmarks/peers.py` makes these files. One thread, medians of the rounds. `--write`
puts the table into RESULTS-operators.md beside this script.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from machine import machine, sources_digest
from numpy.typing import NDArray

from zooc.ir.count import count_macs
from zooc_runtime.package.manifest import Manifest
from zooc_runtime.package.stages import Graph

BUILD = Path(__file__).resolve().parents[1] / "build" / "benchmarks" / "peers"
RESULTS = Path(__file__).with_name("RESULTS-operators.md")
NETWORKS = "resnest50d", "iresnet50", "wide_resnet50_2"
CONVOLUTIONS = {"Conv", "FusedConv", "QLinearConv", "ConvInteger", "Convolution", "GroupConvolution"}
INTRODUCTION = """\
# Where the time goes

Written by `benchmarks/operators.py`: the engines' own profilers, one thread, batches of {batch}, milliseconds
an image. Depthwise convolutions, which average pools and BatchNorms become, count as convolutions. Products a
second are all the network's multiply-accumulates over the time of its convolutions.
"""
Times = dict[str, float]
"""Milliseconds an image by kind of operator."""


def main() -> int:
    """Profiles and prints."""
    options = _options()
    lines = [INTRODUCTION.format(batch=options.batch)]
    facts = {"date": time.strftime("%Y-%m-%d"), "hash of zooc's sources": sources_digest(), **machine()}
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "| network | graph | engine | all | convolutions | products/s | the rest |"]
    lines += ["|---|---|---|---:|---:|---:|---|"]
    for name in options.networks:
        folder = BUILD / name
        if not (folder / "package").is_dir():
            print(f"operators.py: no {folder}; first run benchmarks/peers.py", file=sys.stderr)
            return 1
        products = count_macs(onnx.load(folder / "float.onnx"))
        for graph, model in (
            ("quantize_static", (folder / "static.onnx").read_bytes()),
            ("zooc", _body(folder / "package" / name)),
        ):
            for engine, profile in ENGINES.items():
                if importlib.util.find_spec(engine) is not None:
                    print(f"  {name}, {graph}, {engine}", file=sys.stderr)
                    found = profile(model, _images(model, options.batch), options.rounds)
                    lines.append(f"| {name} | {graph} | {engine} | {_cells(found, products)} |")
    text = "\n".join(lines) + "\n"
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")
    print(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    return parser.parse_args()


def _body(package: Path) -> bytes:
    """A package's network, without what prepares images and what follows the logits."""
    manifest = Manifest(package)
    body = manifest["stages"]["body"]
    return Graph(manifest.read("model.onnx")).cut("body", [body["input"]], [body["output"]])


def _images(model: bytes, batch: int) -> NDArray[Any]:
    (declared,) = onnx.load_from_string(model).graph.input
    random, shape = np.random.default_rng(0), (batch, 3, 224, 224)
    if declared.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
        return random.integers(0, 256, shape, np.uint8)
    return random.standard_normal(shape).astype(np.float32)


def _onnxruntime(model: bytes, images: NDArray[Any], rounds: int) -> Times:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(rounds + 2):
            session.run(None, {session.get_inputs()[0].name: images})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spent = [
        (event["name"], event["args"]["op_name"], event["dur"] / 1e3)
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
    return _by_kind(spent, len(images))


def _openvino(model: bytes, images: NDArray[Any], rounds: int) -> Times:
    import openvino

    core = openvino.Core()
    properties = {
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": True,
    }
    request = core.compile_model(core.read_model(model, b""), "CPU", properties).create_infer_request()
    spent = []
    for _ in range(rounds + 2):
        request.infer([images])
        spent += [
            (counter.node_name, counter.node_type, counter.real_time.total_seconds() * 1e3)
            for counter in request.profiling_info
        ]
    return _by_kind(spent, len(images))


ENGINES: dict[str, Callable[[bytes, NDArray[Any], int], Times]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}


def _by_kind(spent: Iterable[tuple[str, str, float]], batch: int) -> Times:
    """Of each operator the median of its runs, the first two left out; the sums by kind."""
    runs: dict[tuple[str, str], list[float]] = {}
    for name, kind, time_spent in spent:
        runs.setdefault((name, kind), []).append(time_spent)
    times: Times = {}
    for (_, kind), measured in runs.items():
        times[kind] = times.get(kind, 0.0) + median(measured[2:]) / batch
    return times


def _cells(times: Times, products: int) -> str:
    everything = sum(times.values())
    convolutions = sum(spent for kind, spent in times.items() if kind in CONVOLUTIONS)
    rest = sorted(((s, k) for k, s in times.items() if k not in CONVOLUTIONS and s >= 0.05), reverse=True)
    shown = ", ".join(f"{kind} {spent:.1f}" for spent, kind in rest) or "under 0.05 each"
    rate = products / convolutions / 1e6
    return f"{everything:.1f} | {convolutions:.1f} ({convolutions / everything:.0%}) | {rate:.0f} G | {shown}"


if __name__ == "__main__":
    sys.exit(main())
