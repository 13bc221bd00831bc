"""The benchmark's command line, in the manner of Vastai's vamp."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ..inference.options import add_engine_options
from ..inference.settings import HINTS
from ..support.error_boundary import guarded, note, say
from ..support.options import Parser, add_output_format

__all__ = ["add_arguments", "main", "run"]

_EXAMPLES = """\
a request is --batch-size images; throughput counts images, latency is a request's, from submission to answer.
With --end-to-end a request is one image file, and waiting requests form batches of up to --batch-size.

examples:
  %(prog)s -i 2 -p 1 -b 2 -s [3,224,224]
  %(prog)s --end-to-end photos -i 2 -b 8
  %(prog)s -i 4 --duration 10 --queue-size 8 --json
  %(prog)s --datalist npz_datalist.txt --path-output out
"""


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
        help="requests that may wait (0; with --end-to-end as many as keep all cores busy)",
    )
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
    from .processes import run_jobs
    from .report import lines, merge

    package = directory if options.model_path is None else find_package(options.model_path)
    manifest = Manifest(package.absolute())
    files = find_files(options)
    jobs = plan_jobs(manifest, options, files)
    outputs = open_outputs(manifest, files, options)
    if not options.quiet and not options.json:
        note(f"{manifest['name']} {manifest['version']}: loading and warming up {len(jobs)} process(es)")
    result = merge(jobs, run_jobs(jobs), options.percentiles)
    if outputs is not None:
        write_outputs(outputs, jobs[0], files, options)
    if options.json:
        say(json.dumps(result, indent=2))
    else:
        for line in lines(result, options.percentiles):
            say(line)
    return 0


def _whole(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return int(text)


def _count(text: str) -> int:
    return _whole(text, 1)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) or float(text) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return float(text)


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
