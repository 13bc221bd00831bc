"""The benchmark's command line, in the manner of Vastai's vamp."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..inference.options import add_engine_options
from ..inference.settings import HINTS
from ..support.error_boundary import guarded, note, progress, say
from ..support.options import Parser, add_output_format

if TYPE_CHECKING:
    from .job import Job

__all__ = ["add_arguments", "main", "run"]

_EXAMPLES = """\
a request is --batch-size images; throughput counts images, latency is a request's, from submission to answer.
With --end-to-end a request is one image file, and waiting requests form batches of up to --batch-size.
With --rate requests arrive at random times whether others are answered or not; latency counts from then.

examples:
  %(prog)s -i 2 -p 1 -b 2 -s [3,224,224]
  %(prog)s --end-to-end photos -i 2 -b 8
  %(prog)s -i 4 --duration 10 --queue-size 8 --json
  %(prog)s --datalist npz_datalist.txt --path-output out
  %(prog)s --end-to-end photos --rate 40 --duration 30
  %(prog)s --url http://127.0.0.1:8000 --end-to-end photos --rate 10:100:10
"""
_MOST_RATES = 1000
_FASTEST = 1_000_000
_LONGEST = 1e9
"""Seconds: what the system's clocks can wait for, by far."""


def main(directory: Path, argv: Sequence[str] | None = None) -> int:
    """Run `bench.py` as a program; return its exit code."""
    parser = Parser(prog="bench.py", description=__doc__)
    add_arguments(parser)
    options = parser.parse_args(argv)
    return guarded(lambda: run(directory, options))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's options, vamp's under vamp's names."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("-m", "--model-path", type=Path, metavar="PKG", help="a package's folder (default: this package)")
    add("--vdsp-params", metavar="JSON", help="preprocessing that replaces the compiled one in this run")
    add("-i", "--instance", type=_count, metavar="N", help="concurrent streams in a process (1)")
    add("-p", "--processes", type=_count, default=1, metavar="N", help="processes (1)")
    add("-b", "--batch-size", type=_count, metavar="N", help="images per request (1)")
    add("-s", "--shape", type=_shape, metavar="[3,H,W]", help="the images' size (default: the network's)")
    add(
        "-d",
        "--device",
        type=_device,
        metavar="D",
        help="0, [0] or cpu: the CPU; or a device of OpenVINO: CPU, GPU, NPU, AUTO",
    )
    add(
        "--iterations",
        type=_count,
        metavar="N",
        help="total requests (200; one pass over a datalist; one pass over a folder, at least 200)",
    )
    add("--duration", type=_seconds, metavar="S", help="run this many seconds instead of --iterations")
    add("--warmup", type=_whole, default=5, metavar="N", help="requests per stream before measuring (5)")
    add(
        "--queue-size",
        type=_whole,
        metavar="N",
        help="requests that may wait (0; with --end-to-end as many as keep all cores busy; with --rate 128)",
    )
    add(
        "--rate",
        type=_rates,
        metavar="R",
        help="requests that arrive in a second, at Poisson times: 100, a list [50,100,200] or a range "
        "FROM:TO:STEP such as 10:100:10; each for --duration (10 s) or --iterations",
    )
    add("--seed", type=_whole, default=0, metavar="N", help="of the arrival times (0)")
    add("--percentiles", type=_percentiles, default=[50, 90, 95, 99], metavar="[P,...]", help="[50,90,95,99]")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--datalist",
        metavar="LIST",
        help="npz files with input_0, one path per line, instead of random images",
    )
    what.add_argument(
        "--end-to-end", metavar="FOLDER", help="image files, from reading and decoding to the answer"
    )
    what.add_argument("--network-only", action="store_true", help="tensors, through the network alone")
    add(
        "--url",
        type=_url,
        help="send encoded images to a server of the Open Inference Protocol, such as "
        "http://127.0.0.1:8000, over -i connections (1; with --rate 32)",
    )
    add("--model", metavar="NAME", help="the server's model (default: this package's name)")
    add("--timeout", type=_seconds, metavar="S", help="seconds to wait for the server's answer (30)")
    add("--path-output", type=Path, metavar="DIR", help="write output_0 of each listed file there")
    add_engine_options(parser, device=False)
    add(
        "--hint",
        choices=HINTS,
        help="what to optimize -i, -b and --threads for where not given (with --end-to-end: throughput)",
    )
    add("--threads", type=_count, metavar="N", help="threads within an operator (default: cores / streams)")
    add_output_format(parser)
    add("--quiet", action="store_true", help="print the result only")


def run(directory: Path, options: argparse.Namespace) -> int:
    """Run the benchmark and print its result; return 0 when done.

    Raises:
        PackageError: unfit options, an unreadable file, a process that failed.
    """
    from ..package.manifest import Manifest, find_package
    from .outputs import open_outputs, write_outputs
    from .plan import find_files, plan_jobs
    from .report import lines, table

    package = directory if options.model_path is None else find_package(options.model_path)
    manifest = Manifest(package.absolute())
    files = find_files(options)
    rates: list[float | None] = options.rate or [None]
    jobs = plan_jobs(manifest, options, files, rates[0])
    outputs = open_outputs(manifest, files, options)
    if not options.quiet and not options.json:
        doing = "warming up" if options.url else "loading and warming up"
        note(f"{manifest['name']} {manifest['version']}: {doing} {len(jobs)} process(es)")
    results = [_measure(jobs, options)]
    for rate in rates[1:]:
        results.append(_measure(plan_jobs(manifest, options, files, rate), options))
    if outputs is not None:
        write_outputs(outputs, jobs[0], files, options)
    if options.json:
        say(json.dumps(results[0] if len(results) == 1 else {"rates": results}, indent=2))
    else:
        one, percentiles = len(results) == 1, options.percentiles
        for line in lines(results[0], percentiles) if one else table(results, percentiles):
            say(line)
    return 0


def _measure(jobs: Sequence[Job], options: argparse.Namespace) -> dict[str, Any]:
    from .processes import run_jobs
    from .report import merge

    rate = sum(job.rate or 0 for job in jobs)
    if rate:
        progress(f"{rate:g} requests a second", quiet=options.quiet)
    result = merge(jobs, run_jobs(jobs), options.percentiles)
    progress("", last=True, quiet=options.quiet)
    return result


def _whole(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return int(text)


def _count(text: str) -> int:
    return _whole(text, 1)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) or not 0 < float(text) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return float(text)


def _rates(text: str) -> list[float]:
    """One rate, a list, or a range with both ends."""
    number = r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*"
    if found := re.fullmatch(f"{number}:{number}:{number}", text):
        low, high, step = map(float, found.groups())
        count = int((high - low) / step + 1e-9) + 1 if step > 0 else 0
        rates = [low + i * step for i in range(min(count, _MOST_RATES + 1))]
    elif re.fullmatch(rf"\[?{number}(,{number})*\]?", text):
        rates = [float(part) for part in text.strip("[] ").split(",")]
    else:
        rates = []
    if not rates or min(rates) <= 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a rate such as 100, a list such as [50,100] or a range such as 10:100:10"
        )
    if max(rates) > _FASTEST:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {_FASTEST} requests a second")
    if len(rates) > _MOST_RATES:
        raise argparse.ArgumentTypeError(f"{text!r} has more than {_MOST_RATES} rates; take a larger step")
    return rates


def _url(text: str) -> str:
    from .client import check_url

    try:
        return check_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _shape(text: str) -> tuple[int, int, int]:
    found = re.fullmatch(r"\[?\s*3\s*,\s*(\d+)\s*,\s*(\d+)\s*\]?", text)
    if not found or 0 in (height_width := (int(found[1]), int(found[2]))):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape like [3,224,224]")
    return 3, *height_width


def _device(text: str) -> str | None:
    """A device of OpenVINO; vamp's only device is the default one."""
    if text.replace(" ", "") in ("0", "[0]", "cpu", "[cpu]"):
        return None
    if text.strip("[] ").isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r}: there is one device, the CPU; give 0, [0] or cpu, or a device of OpenVINO's"
        )
    return text


def _percentiles(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.strip("[] ").split(",")]
    except ValueError:
        values = [-1]
    if not all(0 <= value <= 100 for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of percentiles like [50,90,99]")
    return values
