"""The rates of zooc's cost model, fitted to whole networks, and how well they tell the time of others.

    python benchmarks/fleet.py --prepare --keep FOLDER
    python benchmarks/real_networks.py --prepare OTHER
    python benchmarks/costs.py FOLDER OTHER [--write]

Each network `NAME/NAME.zoo` below the folders is timed in ONNX Runtime on one thread: in float32 as it is, in
float32 as it is prepared for int8, and in int8. Times are the least processor time of several rounds in which
the three alternate. The rates are those with the least squares of the relative errors, none below zero. What
is said of a network is by rates fitted to all others. Exits with 1 if by these int8 would be on the wrong
side of float32, for a network in which they differ by more than a tenth.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime
from machine import machine, sources_digest
from numpy.typing import NDArray
from scipy.optimize import nnls

from zooc.accuracy.contract.cost import CONVERSION, FLOAT, INT8, CostModel, Rates
from zooc.compilation import Request
from zooc.ir.session import open_session
from zooc.pipeline.compile import compile_graph
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.speed import random_feed

RESULTS = Path(__file__).with_name("RESULTS-costs.md")
PLAIN = ("quantize.calibrate=max", "quantize.corrections=[]")
NAMES = [field.name for field in fields(Rates)]
_ROUNDS, _RUNS = 12, 3

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A network: what it does in float32, prepared for int8, and in int8, and how long each takes.

    Attributes:
        work: `[3, rates]`, numbers to be multiplied with the rates.
        milliseconds: `[3]`.
    """

    name: str
    work: Vector
    milliseconds: Vector

    def ratio(self, rates: Vector | None = None) -> float:
        """Return int8's time over float32's, measured, or by rates."""
        times = self.milliseconds if rates is None else self.work @ rates
        return float(times[2] / times[0])


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of prepared networks")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    options = parser.parse_args()
    files = {file.stem: file for folder in options.folders for file in sorted(folder.glob("*/*.zoo"))}
    rows = [row(file) for name, file in files.items() if file.parent.name == name]
    if len(rows) < 2:
        print("costs.py: no networks there; prepare them first, as --help says", file=sys.stderr)
        return 2
    others = [fit([other for other in rows if other is not one]) for one in rows]
    text = render(rows, others)
    print(text)
    if options.write:
        RESULTS.write_text(text, "utf-8")
    wrong = [
        one.name
        for one, rates in zip(rows, others, strict=True)
        if (one.ratio() > 1) != (one.ratio(rates) > 1) and abs(math.log(one.ratio())) > 0.1
    ]
    return int(bool(wrong))


def row(file: Path) -> Row:
    """Compile a network plainly, and time it."""
    done = compile_graph(Request(file, overrides=PLAIN), Context(Cache(None), Progress()))
    assert done.int8 is not None and done.quantized is not None
    prepared = done.int8.legalized.body
    model = CostModel(prepared)
    work = [_work(CostModel(done.program.body)), _work(model), _work(model, done.quantized.in_float)]
    found = Row(file.stem, np.array(work), _milliseconds([done.program.body, prepared, done.body]))
    print(f"{found.name}: int8 takes {found.ratio():.2f} of float32's time", file=sys.stderr, flush=True)
    return found


def _work(model: CostModel, in_float: Set[str] | None = None) -> list[float]:
    """Numbers that the rates of float, of int8, and of conversions are multiplied with."""
    numbers: dict[bool, list[float]] = {True: [0.0] * len(NAMES), False: [0.0] * len(NAMES)}
    for name, work in model.work.items():
        kind = numbers[in_float is None or name in in_float]
        for place, rate in enumerate(NAMES):
            unit = Rates(**{other: float(other == rate) for other in NAMES})
            kind[place] += work.time(unit)
    converted = 0 if in_float is None else model.converted(in_float)
    return [*numbers[True], *numbers[False], float(converted)]


def _milliseconds(models: Sequence[onnx.ModelProto]) -> Vector:
    runs: list[Callable[[], Any]] = []
    for model in models:
        session, feed = open_session(model, threads=1), random_feed(model)
        runs.append(lambda session=session, feed=feed: session.run(None, feed))  # type: ignore[misc]
    times: list[list[float]] = [[] for _ in runs]
    for round_number in range(_ROUNDS + 1):
        for run, taken in zip(runs, times, strict=True):
            start = time.process_time()
            for _ in range(_RUNS):
                run()
            if round_number:
                taken.append((time.process_time() - start) / _RUNS * 1e3)
    return np.array([min(taken) for taken in times])


def fit(rows: Sequence[Row]) -> Vector:
    """Return the rates, nanoseconds: those of float, of int8, and of a conversion."""
    work = np.concatenate([one.work for one in rows])
    times = np.concatenate([one.milliseconds for one in rows]) * 1e6
    return np.asarray(nnls(work / times[:, None], np.ones(len(times)))[0])


def render(rows: Sequence[Row], others: Sequence[Vector]) -> str:
    """Return the page."""
    fitted, now = fit(rows), np.array([*astuple(FLOAT), *astuple(INT8), CONVERSION])
    labels = [*(f"float, {name}" for name in NAMES), *(f"int8, {name}" for name in NAMES), "conversion"]
    parts = [
        "# The rates of the cost model\n",
        "Written by `python benchmarks/costs.py FOLDER ... --write`.\n",
    ]
    parts += [f"- {name}: {value}" for name, value in machine().items()]
    parts.append(f"- date: {time.strftime('%Y-%m-%d')}, sources {sources_digest()}")
    parts.append(f"- engine: onnxruntime {onnxruntime.__version__}\n")
    parts.append("| nanoseconds | fitted here | in `accuracy/contract/cost.py` |\n|---|---:|---:|")
    parts += [f"| {label} | {a:.4g} | {b:.4g} |" for label, a, b in zip(labels, fitted, now, strict=True)]
    errors = [abs(math.log(one.ratio(rates) / one.ratio())) for one, rates in zip(rows, others, strict=True)]
    parts.append(
        "\nEstimates are by rates fitted to the other networks. Of the ratio of int8's time to float32's the "
        f"median error is {math.expm1(median(errors)):.0%}, the largest {math.expm1(max(errors)):.0%}.\n"
    )
    parts.append("| | float32, ms | estimated | int8, ms | estimated | ratio | estimated |")
    parts.append("|---|---:|---:|---:|---:|---:|---:|")
    for one, rates in zip(rows, others, strict=True):
        estimated = one.work @ rates / 1e6
        parts.append(
            f"| {one.name} | {one.milliseconds[0]:.2f} | {estimated[0]:.2f} | {one.milliseconds[2]:.2f} | "
            f"{estimated[2]:.2f} | {one.ratio():.2f} | {one.ratio(rates):.2f} |"
        )
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
