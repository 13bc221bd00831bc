"""Measure zooc's quantizer and its peers in turn: calibration time, peak memory, and accuracy.

    python benchmarks/quantizer.py [--rounds 3] [--images 50 500] [--only calibration|accuracy]
                                   [--format human|json] [--write]

Calibration: resnest50d at 224 x 224 (timm's, random weights), real images. Accuracy: the three networks of
the digits example on their 1000 held-back images. Every measurement is a process of its own
(quantizer_worker.py), so that times and peak memory are clean; in each round all contestants run, one after
the other. `--write` puts the tables into RESULTS-quantizer.md beside this script.

Peers are optional and are skipped where they are missing: onnxruntime's own quantizer (pip install
onnxruntime) and NNCF (pip install nncf openvino). NNCF wants versions of its own of many packages, so a
throwaway environment suits:

    python -m venv /tmp/peers && /tmp/peers/bin/pip install nncf openvino -e '.[demo]'
    python benchmarks/quantizer.py --export          # once, where torch and timm are (zooc[models])
    /tmp/peers/bin/python benchmarks/quantizer.py --write
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from machine import machine, sources_digest, watch
from quantizer_tables import render

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("quantizer_worker.py")
RESULTS = Path(__file__).with_name("RESULTS-quantizer.md")
DIGITS = ROOT / "examples" / "digits"
KEPT = ROOT / "build" / "benchmarks" / "quantizer.json"
RESNEST50 = ROOT / "build" / "benchmarks" / "resnest50d.onnx"
NETWORKS = ("resnest", "iresnet", "wide_resnet")


@dataclass(frozen=True)
class Contestant:
    """One tool with one setting; `options` go to the worker."""

    label: str
    tool: str
    options: dict[str, Any] = field(default_factory=dict)


def _zooc(label: str, method: str, *lines: str) -> Contestant:
    return Contestant(f"zooc {label}", "zooc", {"method": method, "lines": list(lines)})


def _onnxruntime(label: str, method: str, **options: Any) -> Contestant:
    return Contestant(f"onnxruntime {label}", "onnxruntime", {"method": method, **options})


NNCF = Contestant("NNCF default", "nncf")
CALIBRATION = (
    Contestant("zooc, all four methods", "zooc", {"method": "percentile(99.99)", "lines": [], "all": True}),
    NNCF,
    _zooc("auto", "auto"),
    _onnxruntime("MinMax", "MinMax"),
    _onnxruntime("Percentile", "Percentile"),
    _onnxruntime("Entropy", "Entropy"),
    Contestant(
        "zooc, import included",
        "zooc",
        {"method": "percentile(99.99)", "lines": [], "all": True, "cold": True},
    ),
)
_OF_ALL_COUNTS = 2
"""So many of them also calibrate on more images; onnxruntime's memory would grow beyond most machines'."""

ACCURACY = (
    _zooc("percentile(99.99)", "percentile(99.99)"),
    _zooc("percentile(99.999)", "percentile(99.999)"),
    _zooc("auto", "auto"),
    _zooc("auto(effort=high)", "auto(effort=high)"),
    _zooc("max", "max"),
    _zooc("mse", "mse"),
    _zooc("kl_divergence", "kl_divergence"),
    _zooc("percentile(99.99), no corrections", "percentile(99.99)", "corrections []"),
    _zooc("auto, no corrections", "auto", "corrections []"),
    _zooc("percentile(99.99), rounding", "percentile(99.99)", "corrections [equalization, rounding, bias]"),
    _onnxruntime("default (S8S8, per tensor)", "MinMax", default=True),
    _onnxruntime("MinMax", "MinMax"),
    _onnxruntime("Percentile (its 99.999)", "Percentile"),
    _onnxruntime("Percentile 99.99", "Percentile", percentile=99.99),
    _onnxruntime("Entropy", "Entropy"),
    NNCF,
    Contestant("NNCF default, on ONNX", "nncf-onnx"),
)


def main() -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args()
    if options.export:
        return _export(options.network)
    if not (DIGITS / "data" / "test").is_dir():
        print("quantizer.py: first run python examples/digits/make_dataset.py", file=sys.stderr)
        return 1
    results = _earlier(options)
    with tempfile.TemporaryDirectory(prefix="zooc-quantizer-") as work:
        if options.only != "calibration":
            about = _about(options)
            results["accuracy"] = {**about, "networks": _accuracy(Path(work), options), **_ending()}
            _keep(results, options)
        if options.only != "accuracy":
            if not options.network.is_file():
                print(
                    f"quantizer.py: {options.network} is missing; where zooc[models] is installed, run\n"
                    f"  python benchmarks/quantizer.py --export --network {options.network}",
                    file=sys.stderr,
                )
                return 1
            about = _about(options)
            results["calibration"] = {**about, "rows": _calibration(Path(work), options), **_ending()}
            _keep(results, options)
    print(json.dumps(results, indent=2) if options.format == "json" else render(results))
    return 0


def _about(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "rounds": options.rounds,
        "calibrate_on": options.calibrate_on,
        "sources": sources_digest(),
    }


def _ending() -> dict[str, Any]:
    return {"sources_after": sources_digest()}


def _earlier(options: argparse.Namespace) -> dict[str, Any]:
    """The other section's results when only one is measured anew and both are to be written."""
    if options.only and options.write and KEPT.is_file():
        results: dict[str, Any] = json.loads(KEPT.read_text("utf-8"))
        return results
    return {}


def _keep(results: dict[str, Any], options: argparse.Namespace) -> None:
    if options.write:
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        KEPT.write_text(json.dumps(results, indent=2), encoding="utf-8")
        RESULTS.write_text(render(results), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the first number of images; medians count")
    parser.add_argument(
        "--images",
        type=int,
        nargs="+",
        default=[50, 500],
        help="for calibration; from the second on one round",
    )
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=NETWORKS, help="trained ones")
    parser.add_argument("--calibrate-on", type=int, default=200, help="images for the three trained networks")
    parser.add_argument(
        "--folder", type=Path, default=DIGITS / "data" / "train", help="images of calibration"
    )
    parser.add_argument(
        "--network", type=Path, default=RESNEST50, help="float32 ONNX to calibrate, 224 x 224"
    )
    parser.add_argument("--export", action="store_true", help="only write --network: timm's resnest50d")
    parser.add_argument("--only", choices=("calibration", "accuracy"))
    parser.add_argument("--contestants", default="", help="only those whose label contains this text")
    parser.add_argument(
        "--memory-limit", type=float, default=12.0, help="GB; a contestant that takes more is stopped"
    )
    parser.add_argument("--format", choices=("human", "json"), default="human")
    parser.add_argument(
        "--write", action="store_true", help=f"write {RESULTS.name} too; --only keeps its other section"
    )
    return parser


def _accuracy(work: Path, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """For each network a row a contestant, the float network first."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for name in options.networks:
        logits = work / f"{name}.npy"
        job = {
            "network": str(DIGITS / f"digits_{name}.onnx"),
            "size": 64,
            "folder": str(DIGITS / "data" / "train"),
            "count": options.calibrate_on,
            "evaluate": str(DIGITS / "data" / "test"),
            "float_logits": str(logits),
        }
        rows = [_measure(Contestant("float32", "float"), job, work, options)]
        rows += [_measure(c, job, work, options) for c in ACCURACY if options.contestants in c.label]
        tables[name] = rows
    return tables


def _calibration(work: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a contestant and number of images: every round's times, in turn."""
    rows = []
    base = {"network": str(options.network), "size": 224, "folder": str(options.folder)}
    imported = {**base, "cache": str(work / "imported")}
    _measure(Contestant("zooc's import", "import"), {**imported, "count": options.images[0]}, work, options)
    for number, count in enumerate(options.images):
        job = {**imported, "count": count}
        runs: dict[str, list[dict[str, Any]]] = {}
        stopped: set[str] = set()
        for _ in range(1 if number else options.rounds):
            for contestant in CALIBRATION[:_OF_ALL_COUNTS] if number else CALIBRATION:
                if options.contestants not in contestant.label or contestant.label in stopped:
                    continue
                run = _measure(contestant, job, work, options)
                runs.setdefault(contestant.label, []).append(run)
                if "seconds" not in run:
                    stopped.add(contestant.label)
        rows += [{"label": label, "images": count, "runs": each} for label, each in runs.items()]
    return rows


def _measure(
    contestant: Contestant, job: dict[str, Any], work: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """One process; its report, or under `missing`, `refused`, `failed` or `stopped` why there is none."""
    print(
        f"  {Path(job['network']).stem}, {job['count']} images: {contestant.label}",
        file=sys.stderr,
        flush=True,
    )
    with tempfile.TemporaryDirectory(dir=work) as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, str(WORKER), json.dumps({**job, **asdict(contestant), "work": folder})]
        with (Path(folder) / "output").open("w+", encoding="utf-8") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            over = watch(process, options.memory_limit)
            output.seek(0)
            said = output.read().strip().splitlines()
        if over:
            result: dict[str, Any] = {"stopped": f"took more than {options.memory_limit:g} GB"}
        elif process.returncode or not report.is_file():
            result = {"failed": said[-1] if said else f"exit code {process.returncode}"}
        else:
            result = json.loads(report.read_text("utf-8"))
    problems = [result[k] for k in ("missing", "refused", "failed", "stopped") if k in result]
    for problem in problems:
        print(f"    {problem}", file=sys.stderr)
    return {"label": contestant.label, **result}


def _export(path: Path) -> int:
    """Writes timm's resnest50d as zooc exports it; torch and timm are imported in the worker only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    job = json.dumps({"tool": "export", "network": str(path)})
    return subprocess.run([sys.executable, str(WORKER), job], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
