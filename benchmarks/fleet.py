"""Int8 of a fleet of networks: the time of zooc and of its peers, in one run.

    pip install 'zooc[models,benchmark]' nncf openvino
    python benchmarks/fleet.py [NAME ...] [--engines onnxruntime openvino] [--rounds 5] [--throughput]
                               [--clock cpu] [--keep FOLDER] [--prepare] [--json FILE] [--write]

Peers are ONNX Runtime in float and with its quantize_static (QDQ, uint8 activations, int8 weights per
channel, MinMax), OpenVINO in float, NNCF's int8, and the quantize_static graph on OpenVINO; those that are
not installed are left out. NNCF wants versions of its own of many packages, so a throwaway environment suits.

Measured is one image at a time on one thread, with `--throughput` images a second on all cores with the best
of a few numbers of streams. On a machine that has other work too, `--clock cpu` takes the contestant's
processor time, which waiting for a core does not lengthen.

Preparing the models takes most of the time: `--keep` holds them for the next run, which goes on where the
last one ended, and makes the package anew where zooc's sources have changed. `--prepare` does no more than
that. `--json` takes the results after every network; those of other networks that are there already, of the
same sources, rounds and clock, stay, so a fleet can be measured in portions. It exits with 1 where a promise
fails.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fleet_tables import ENGINES, OURS, render, verdicts
from machine import machine, sources_digest
from peers import Contestant, Failed, Process
from photographs import write_photographs
from real_networks import save_pixels
from real_networks_worker import logits_model
from trained import TRAINED, Subject

WORKER = Path(__file__).with_name("peers_worker.py")
RESULTS = Path(__file__).with_name("RESULTS-fleet.md")
SOURCES = (
    "timm.resnet18 timm.resnext50_32x4d timm.seresnet50 timm.resnest50d timm.wide_resnet50_2",
    "official.iresnet50 timm.repvgg_a0 timm.densenet121 timm.regnety_008",
    "timm.mobilenetv2_100 timm.mobilenetv3_large_100 timm.ghostnet_100 timm.efficientnet_b0",
    "torchvision.shufflenet_v2_x1_0 timm.convnext_atto timm.vit_tiny_patch16_224",
)
REAL = ("efficientnet_lite0", "text_angle")
CONTESTANTS = (
    Contestant("ONNX Runtime float", "onnxruntime", "float"),
    Contestant("quantize_static", "onnxruntime", "static"),
    Contestant("OpenVINO float", "openvino", "float", "openvino"),
    Contestant("NNCF", "openvino", "nncf", "nncf"),
    Contestant("quantize_static on OpenVINO", "openvino", "static", "openvino"),
    Contestant(OURS["onnxruntime"], "zooc", "package", options={"engine": "onnxruntime"}),
    Contestant(OURS["openvino"], "zooc", "package", "openvino", options={"engine": "openvino"}),
)
IMAGES = 8
"""For calibration, which decides about accuracy and hardly about time."""
SIZE = 224

Row = dict[str, Any]


def main() -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args()
    fleet = {subject.name: subject for subject in _fleet()}
    for name in options.names:
        if name not in fleet:
            near = difflib.get_close_matches(name, fleet, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(fleet)}"
            return _usage(f"there is no network {name!r}; {advice}")
    if options.prepare and options.keep is None:
        return _usage("--prepare needs a folder for the models: --keep FOLDER")
    if options.throughput and options.clock == "cpu":
        return _usage("--throughput is of the wall clock; leave out --clock cpu")
    kind = "throughput" if options.throughput else "latency"
    results: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/fleet.py", *sys.argv[1:]]),
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "sources": sources_digest(),
        "rounds": options.rounds,
        "clock": options.clock,
        "networks": {},
    }
    try:
        measured = earlier(options.json, results)
    except ValueError as problem:
        return _usage(f"{options.json} holds no results ({problem}); name another file for --json")
    with tempfile.TemporaryDirectory(prefix="zooc-fleet-") as scratch:
        keep = options.keep or Path(scratch)
        for name in options.names or fleet:
            if (rows := _network(fleet[name], keep / name, kind, options)) is not None:
                measured.setdefault(name, {})[kind] = rows
            results["networks"] = {other: measured[other] for other in fleet if other in measured}
            if options.json is not None:
                options.json.write_text(json.dumps(results, indent=1), "utf-8")
    if options.prepare:
        return 0
    print(render(results))
    if options.write:
        RESULTS.write_text(render(results), "utf-8")
    return int(any(line.startswith("fails") for line in verdicts(results, kind)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    names = ", ".join(subject.name for subject in _fleet())
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {names}")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--rounds", type=_positive(int), default=5)
    parser.add_argument("--seconds", type=_positive(float), default=0.7, help="of each measurement")
    parser.add_argument("--throughput", action="store_true", help="measure that instead of latency")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="of latency")
    parser.add_argument("--prepare", action="store_true", help="only make the models in the folder of --keep")
    parser.add_argument("--keep", type=Path, help="a folder for prepared models, used again")
    parser.add_argument("--json", type=Path, help="a file for the results, added to what it holds")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    return parser


def _positive(kind: type[int] | type[float]) -> Any:
    def parse(text: str) -> int | float:
        with contextlib.suppress(ValueError):
            if 0 < (value := kind(text)) < float("inf"):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is no {kind.__name__} above 0")

    return parse


def _usage(problem: str) -> int:
    print(f"fleet.py: {problem}", file=sys.stderr)
    return 2


def earlier(file: Path | None, results: dict[str, Any]) -> dict[str, Any]:
    """Return the networks of a file of results, if they are of the same sources, rounds and clock.

    Raises:
        ValueError: the file holds something else.
    """
    if file is None or not file.exists():
        return {}
    found = json.loads(file.read_text("utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("networks"), dict):
        raise ValueError("no networks in it")
    same = all(found.get(key) == results[key] for key in ("sources", "rounds", "clock"))
    if not same:
        _say(f"{file}: of other sources, rounds or another clock, begun anew")
    return dict(found["networks"]) if same else {}


def _fleet() -> Iterator[Subject]:
    for source in " ".join(SOURCES).split():
        yield Subject(
            source.partition(".")[2],
            {"torch": "torch", "torchvision": "torchvision", "timm": "timm"},
            partial(_export, source),
            write_photographs,
            SIZE,
            SIZE,
            1000,
            ("Resize(256)", f"CenterCrop({SIZE})"),
            (0.485, 0.456, 0.406),
            (0.229, 0.224, 0.225),
        )
    for subject in TRAINED:
        if subject.name in REAL:
            yield subject


def _export(source: str, path: Path) -> None:
    """Writes a network with random weights."""
    folder = path.parent / "exported"
    _zooc("export", source, "--size", SIZE, "--weights", "random", "-o", folder, "--force", "--quiet")
    (exported,) = folder.glob("*.onnx")
    exported.replace(path)
    shutil.rmtree(folder)


def _network(subject: Subject, folder: Path, kind: str, options: argparse.Namespace) -> list[Row] | None:
    """A row a contestant, if what the network needs is installed."""
    if absent := subject.absent():
        _say(f"{subject.name}: skipped: not installed here; pip install {' '.join(absent)}")
        return None
    contestants = [c for c in CONTESTANTS if _engine(c) in options.engines]
    for contestant in list(contestants):
        if contestant.needs and importlib.util.find_spec(contestant.needs) is None:
            _say(f"{subject.name}: without {contestant.label}: {contestant.needs} is not installed")
            contestants.remove(contestant)
    _say(subject.name)
    models, failed = _prepare(subject, folder, {contestant.model for contestant in contestants})
    return None if options.prepare else _compare(contestants, models, failed, kind, options)


def _engine(contestant: Contestant) -> str:
    return str(contestant.options.get("engine", contestant.tool))


def _prepare(subject: Subject, folder: Path, wanted: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The models' paths, and of those that could not be made the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    source, inputs = folder / f"{subject.name}.onnx", folder / "inputs.npy"
    models = {
        "float": folder / "float.onnx",
        "static": folder / "static.onnx",
        "nncf": folder / "nncf.xml",
        "package": folder / f"package-{sources_digest()}" / subject.name,
    }
    if not source.is_file():
        _say("  network")
        subject.write(source)
    if not inputs.is_file():
        shutil.rmtree(folder / "calibration", ignore_errors=True)
        subject.pictures(folder / "calibration", IMAGES, 0)
        subject.describe(folder)
        save_pixels(subject, folder, ["calibration"])
        np.save(inputs, subject.normalized(np.load(folder / "calibration.npy")))
    if not models["float"].is_file():
        models["float"].write_bytes(logits_model(subject, folder))
    failed = {}
    job = {"float": str(models["float"]), "inputs": str(inputs)}
    for name, tool in (("static", "quantize_static"), ("nncf", "nncf"), ("package", "zooc compile")):
        model = models[name]
        if name not in wanted or model.exists():
            continue
        _say(f"  {tool}")
        try:
            if name == "package":
                file = subject.describe(folder, "calibrate percentile(99.99)")
                for old in folder.glob("package-*"):
                    shutil.rmtree(old)
                _zooc("compile", file, "-o", model.parent, "--force", "--quiet")
            else:
                task = json.dumps({**job, "tool": tool, "model": str(model)})
                _run([sys.executable, str(WORKER), "prepare", task])
        except subprocess.CalledProcessError as problem:
            model.unlink(missing_ok=True) if model.is_file() else shutil.rmtree(model, ignore_errors=True)
            failed[name] = (problem.stderr.strip().splitlines() or ["no output"])[-1]
            _say(f"    failed: {failed[name]}")
    return {name: str(path) for name, path in models.items()}, failed


def _zooc(*arguments: object) -> None:
    _run([sys.executable, "-m", "zooc", *map(str, arguments)])


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, text=True, capture_output=True)


def _compare(
    contestants: Sequence[Contestant],
    models: dict[str, str],
    failed: dict[str, str],
    kind: str,
    options: argparse.Namespace,
) -> list[Row]:
    shape = np.load(Path(models["float"]).with_name("inputs.npy"), mmap_mode="r").shape[1:]
    rows: list[Row] = []
    running: list[tuple[Process, dict[str, Any], Row]] = []
    with contextlib.ExitStack() as stack:
        for contestant in contestants:
            row: Row = {"label": contestant.label, "engine": _engine(contestant)}
            rows.append(row)
            if contestant.model in failed:
                row["failed"] = failed[contestant.model]
                continue
            shaped = replace(contestant, options={**contestant.options, "shape": shape})
            log = Path(models["float"]).with_name(f"{contestant.label.replace(' ', '-')}.log")
            process = Process(shaped, models, log)
            stack.callback(process.close)
            try:
                running.append((process, _best(process, kind, options), row))
            except Failed as problem:
                row["failed"] = "failed"  # a page holds no path of this machine
                _say(f"  {problem}")
        for _ in range(options.rounds):
            for process, setting, row in running:
                row.setdefault("rates", []).append(_rate(process.measure(setting), kind, options.clock))
    return rows


def _best(process: Process, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """The setting with the best rate; measuring it also warms the contestant up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    candidates = {(1, 1)} if kind == "latency" else {(cores, 1), (1, cores), (2 * cores, 1)}
    rates = {}
    for streams, threads in sorted(candidates):
        setting = {
            "streams": streams,
            "threads": threads,
            "batch": 1,
            "images": [],
            "seconds": options.seconds,
        }
        rates[json.dumps(setting)] = _rate(process.measure(setting), kind, options.clock)
    best: dict[str, Any] = json.loads(max(rates, key=lambda setting: rates[setting]))
    return best


def _rate(found: dict[str, float], kind: str, clock: str) -> float:
    if kind == "throughput":
        return found["per_second"]
    return 1e3 / found["latency_ms" if clock == "wall" else "cpu_ms"]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
