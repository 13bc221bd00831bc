"""Where a network's time goes, operator by operator, by the engines' own profilers.

    python benchmarks/operators.py [--networks resnest50d] [--batch 4] [--rounds 20] [--write]
    python benchmarks/operators.py --fleet FOLDER [--networks resnet18] [--rounds 20]

Looks at zooc's package and at the graph of ONNX Runtime's quantize_static, in ONNX Runtime and, where it is
installed, in OpenVINO; `benchmarks/peers.py` makes these files. One thread, medians of the rounds. `--write`
puts the table into RESULTS-operators.md beside this script.

`--fleet` looks at the folder that `benchmarks/fleet.py --keep` filled, image by image, and also at the float
network and NNCF's. It takes of each operator the least of its times, which other work on the machine hardly
lengthens.
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
Typical = Callable[[list[float]], float]


def main() -> int:
    """Profiles and prints."""
    options = _options()
    if options.fleet is not None:
        return _fleet(options)
    options.networks = options.networks or NETWORKS
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
                    found = profile(model, _images(model, options.batch), options.rounds, median)
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
    parser.add_argument("--networks", nargs="+", metavar="NAME", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--fleet", type=Path, metavar="FOLDER", help="what fleet.py --keep prepared")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    options = parser.parse_args()
    if options.fleet is None and (unknown := set(options.networks or ()) - set(NETWORKS)):
        parser.error(f"no network {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    if options.fleet is not None and options.write:
        parser.error("--write is of the networks of peers.py; leave out --fleet")
    return options


def _fleet(options: argparse.Namespace) -> int:
    """Prints a table of the fleet's networks that are prepared."""
    found = {path.parent.name: path.parent for path in sorted(options.fleet.glob("*/float.onnx"))}
    names = options.networks or list(found)
    if not found or (unknown := [name for name in names if name not in found]):
        wanted = f"no {', '.join(unknown)}" if found else "no network"
        print(f"operators.py: {wanted} in {options.fleet}; first run", file=sys.stderr)
        print(f"  python benchmarks/fleet.py --prepare --keep {options.fleet}", file=sys.stderr)
        return 1
    print("| network | graph | engine | all, ms | convolutions, ms | products/s | the rest, ms |")
    print("|---|---|---|---:|---:|---:|---|")
    for name in names:
        folder = found[name]
        products = count_macs(onnx.load(folder / "float.onnx"))
        graphs = {kind: folder / f"{kind}.onnx" for kind in ("float", "static")}
        models: dict[str, bytes | Path] = {
            kind: path.read_bytes() for kind, path in graphs.items() if path.is_file()
        }
        if (folder / "nncf.xml").is_file():
            models["NNCF"] = folder / "nncf.xml"
        for package in folder.glob(f"package-*/{name}"):
            models["zooc"] = _body(package)
        images = _images(graphs["float"].read_bytes(), 1)
        for graph, model in models.items():
            for engine, profile in ENGINES.items():
                if importlib.util.find_spec(engine) is None or (
                    isinstance(model, Path) and engine != "openvino"
                ):
                    continue
                given = _images(model, 1, images.shape[1:]) if graph == "zooc" else images
                cells = _cells(profile(model, given, options.rounds, min), products)
                print(f"| {name} | {graph} | {engine} | {cells} |", flush=True)
    return 0


def _body(package: Path) -> bytes:
    """A package's network, without what prepares images and what follows the logits."""
    manifest = Manifest(package)
    body = manifest["stages"]["body"]
    return Graph(manifest.read("model.onnx")).cut("body", [body["input"]], [body["output"]])


def _images(model: bytes | Path, batch: int, sizes: tuple[int, ...] = ()) -> NDArray[Any]:
    """A batch of what the model takes, of the sizes given or else of those that it declares."""
    assert isinstance(model, bytes)
    (declared,) = onnx.load_from_string(model).graph.input
    known = tuple(dim.dim_value for dim in declared.type.tensor_type.shape.dim[1:])
    random, shape = np.random.default_rng(0), (batch, *(sizes or known))
    if declared.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
        return random.integers(0, 256, shape, np.uint8)
    return random.standard_normal(shape).astype(np.float32)


def _onnxruntime(model: bytes | Path, images: NDArray[Any], rounds: int, typical: Typical) -> Times:
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
    return _by_kind(spent, len(images), typical)


def _openvino(model: bytes | Path, images: NDArray[Any], rounds: int, typical: Typical) -> Times:
    import openvino

    core = openvino.Core()
    properties = {
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": True,
    }
    network = core.read_model(model) if isinstance(model, Path) else core.read_model(model, b"")
    network.reshape([len(images), *images.shape[1:]])  # a fixed batch fuses better
    request = core.compile_model(network, "CPU", properties).create_infer_request()
    spent = []
    for _ in range(rounds + 2):
        request.infer([images])
        spent += [
            (counter.node_name, _kind(counter), counter.real_time.total_seconds() * 1e3)
            for counter in request.profiling_info
        ]
    return _by_kind(spent, len(images), typical)


def _kind(counter: Any) -> str:
    """The operator, and the precision that ends its way of execution: `brgconv_avx512_I8`."""
    precision = counter.exec_type.rpartition("_")[2]
    return f"{counter.node_type} {precision.lower()}"


ENGINES: dict[str, Callable[[bytes | Path, NDArray[Any], int, Typical], Times]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}


def _by_kind(spent: Iterable[tuple[str, str, float]], batch: int, typical: Typical) -> Times:
    """Of each operator the typical one of its runs, the first two left out; the sums by kind."""
    runs: dict[tuple[str, str], list[float]] = {}
    for name, kind, time_spent in spent:
        runs.setdefault((name, kind), []).append(time_spent)
    times: Times = {}
    for (_, kind), measured in runs.items():
        times[kind] = times.get(kind, 0.0) + typical(measured[2:]) / batch
    return times


def _cells(times: Times, products: int) -> str:
    everything = sum(times.values())
    convolutions = sum(spent for kind, spent in times.items() if kind.split()[0] in CONVOLUTIONS)
    least = min(0.05, everything / 100)
    rest = sorted(
        ((s, k) for k, s in times.items() if k.split()[0] not in CONVOLUTIONS and s >= least), reverse=True
    )
    shown = ", ".join(f"{kind} {spent:.2f}" for spent, kind in rest) or f"under {least:.2g} each"
    rate = products / convolutions / 1e6
    return f"{everything:.2f} | {convolutions:.2f} ({convolutions / everything:.0%}) | {rate:.0f} G | {shown}"


if __name__ == "__main__":
    sys.exit(main())
