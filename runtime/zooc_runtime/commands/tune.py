"""`tune`: the network measured in every engine with a few settings; the results are kept for `load`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..inference.options import add_engine_options, placement_of
from ..inference.placement import DEFAULT, Placement
from ..inference.settings import HINTS, Settings
from ..support.error_boundary import DONE, progress, say
from ..support.options import add_output_format

if TYPE_CHECKING:
    from ..inference.engines import Stage
    from ..inference.tuning import Measured
    from ..package.manifest import Manifest
    from ..support.arrays import AnyArray

__all__ = ["add_arguments", "candidates", "measure", "run"]

_BATCHES = (1, 2, 4, 8)
_ROUNDS = 5
_EPILOG = """\
measures the network alone: latency one image at a time, throughput in several streams and batches. The
fastest settings are saved in the user's cache folder (or in ZOOC_CACHE) for this package and machine, where
load(hint=...), load(engine="auto") and bench --hint find them. The machine should be otherwise idle.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--hint", choices=(*HINTS, "both"), default="both", help="what to measure for (both)")
    add_engine_options(parser, engine_help="onnxruntime or openvino (auto: all that are installed)")
    add("--duration", type=_seconds, default=1.0, metavar="S", help="seconds each setting is measured (1)")
    add_output_format(parser)
    add("--quiet", action="store_true", help="no progress")


def run(directory: Path, options: argparse.Namespace) -> int:
    """Measure, keep and print.

    Raises:
        PackageError: an engine that is missing, or a cache folder that cannot be written.
    """
    from ..inference.cpu import available_cores
    from ..inference.engines import choose_engine, installed_engines
    from ..inference.tuning import keep_tuning, read_tuning
    from ..package.manifest import Manifest

    manifest = Manifest(directory.absolute())
    cores = available_cores()
    engine, placement = placement_of(options)
    engines = list(installed_engines(manifest["engines"]))
    if engine != "auto" or not engines:
        engines = [choose_engine(engine, manifest["engines"])]
    hints = HINTS if options.hint == "both" else (options.hint,)
    fixed = manifest["model"]["input"]["shape"][0]
    wanted = {hint: candidates(hint, engines, cores, fixed, placement) for hint in hints}

    def report(text: str) -> None:
        progress(text, quiet=options.quiet)

    try:
        rows = measure(manifest, wanted, options.duration, report)
    finally:
        progress("", last=True, quiet=options.quiet)
    others = [
        row
        for row in read_tuning(manifest, cores)
        if row.hint not in hints or row.settings.engine not in engines or row.settings.placement != placement
    ]
    place = keep_tuning(manifest, cores, [*others, *rows])
    if options.json:
        say(json.dumps({"kept": str(place), "measured": [asdict(row) for row in rows]}, indent=2))
        return DONE
    for hint in hints:
        for line in _table([row for row in rows if row.hint == hint]):
            say(line)
    say(f"kept in {place}")
    return DONE


def candidates(
    hint: str,
    engines: Sequence[str],
    cores: int,
    batch: int | None,
    placement: Placement = DEFAULT,
) -> list[Settings]:
    """Return what to measure: few settings, of which one is good on most machines.

    Args:
        hint: one of `HINTS`.
        engines: the engines.
        cores: those that the process may use.
        batch: the network's batch size where it is fixed.
        placement: where the network runs.
    """
    if hint == "latency":
        splits = [(1, threads) for threads in sorted({cores, max(1, cores // 2)})]
        batches: Sequence[int] = (1,)
    else:
        splits = [(streams, cores // streams) for streams in sorted({1, max(1, cores // 4), cores})]
        batches = _BATCHES
    return [
        Settings(engine, streams, threads, size, placement)
        for engine in engines
        for streams, threads in splits
        for size in (batches if batch is None else (batch,))
    ]


def measure(
    manifest: Manifest,
    wanted: dict[str, list[Settings]],
    seconds: float,
    report: Callable[[str], None] = lambda _: None,
) -> list[Measured]:
    """Run the package's network with the settings wanted for each hint, in turn, five times over.

    Args:
        manifest: the package's.
        wanted: the settings, by hint.
        seconds: how long each is run in all.
        report: takes a line about the progress.

    Raises:
        PackageError: changed files, or an engine that is missing or refuses the network.
    """
    import numpy as np

    from ..inference.tuning import Measured

    every = list(dict.fromkeys(settings for several in wanted.values() for settings in several))
    stages = _load(manifest, every, report)
    tensor = _random_tensor(manifest, max(settings.batch for settings in every))
    taken: dict[Settings, list[float]] = {settings: [] for settings in every}
    rates: dict[Settings, list[float]] = {settings: [] for settings in every}
    with ExitStack() as stack:
        # The threads stay through all rounds, as those of a server do: engines prepare for each of them.
        pools = {n: stack.enter_context(ThreadPoolExecutor(n)) for n in {one.streams for one in every}}
        for turn in range(_ROUNDS + 1):  # the first warms up
            for number, settings in enumerate(every):
                report(f"round {turn} of {_ROUNDS}, setting {number + 1} of {len(every)}")
                run_once = partial(stages[settings].run, tensor[: settings.batch])
                begin = time.perf_counter()
                end = begin + (seconds / _ROUNDS if turn else 0)
                streams = [
                    pools[settings.streams].submit(_stream, run_once, end) for _ in range(settings.streams)
                ]
                times = [one for stream in streams for one in stream.result()]
                if turn:
                    taken[settings] += times
                    rates[settings].append(len(times) * settings.batch / (time.perf_counter() - begin))
    return [
        Measured(
            hint,
            settings,
            latency_ms=round(float(np.median(taken[settings])) * 1e3, 3),
            images_per_s=round(float(np.median(rates[settings])), 1),
        )
        for hint, several in wanted.items()
        for settings in several
    ]


def _load(
    manifest: Manifest, every: Sequence[Settings], report: Callable[[str], None]
) -> dict[Settings, Stage]:
    from ..inference.engines import open_body
    from ..package.stages import Graph

    boundary = manifest["stages"]["body"]
    body = Graph(manifest.read("model.onnx")).cut("body", [boundary["input"]], [boundary["output"]])
    shared: dict[Settings, Stage] = {}
    for settings in every:
        if (key := _loaded_as(settings)) not in shared:
            report(f"loading {settings.engine}")
            shared[key] = open_body(body, settings)
    return {settings: shared[_loaded_as(settings)] for settings in every}


def _loaded_as(settings: Settings) -> Settings:
    """Equal for settings that can share a loaded network: where batches are free all but single images."""
    if settings.placement.fixed_batch:
        return settings
    return replace(settings, batch=min(settings.batch, 2))


def _stream(run_once: Callable[[], object], end: float) -> list[float]:
    """Requests one after the other until `end`, at least one: what each took, in seconds."""
    times: list[float] = []
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run_once()
        times.append(time.perf_counter() - start)
    return times


def _random_tensor(manifest: Manifest, batch: int) -> AnyArray:
    import numpy as np

    shape = (batch, *manifest["model"]["input"]["shape"][1:])
    random = np.random.default_rng(0)
    if manifest["form"] == "tensor":
        return random.standard_normal(shape, np.float32)
    return random.integers(0, 256, shape, dtype=np.uint8)


def _table(rows: Sequence[Measured]) -> list[str]:
    from ..inference.tuning import best

    winner = best(rows)
    what = "a request of one image at a time" if winner.hint == "latency" else "images a second"
    lines = [f"{winner.hint} ({what}), the best marked *", _LINE % (" ", *_HEAD)]
    for row in rows:
        one = row.settings
        mark = "*" if row is winner else " "
        numbers = (f"{row.latency_ms:.2f}", f"{row.images_per_s:.1f}")
        lines.append(_LINE % (mark, one.engine, one.streams, one.threads, one.batch, *numbers))
    return [*lines, ""]


_LINE = "%s %-12s %7s %7s %5s %12s %8s"
_HEAD = ("engine", "streams", "threads", "batch", "ms a request", "images/s")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value
