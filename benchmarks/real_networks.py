"""Int8 of networks with real trained weights: zooc beside its peers, in one run.

    pip install 'zooc[benchmark,demo]' nncf openvino torch
    python examples/digits/make_dataset.py
    python benchmarks/real_networks.py [NAME ...] [--methods auto 'auto(effort=high)'] [--write]

Every contestant quantizes the same network on the same 100 pictures and is compared with float on 400 others:
how often both say the same (top-1), the signal-to-noise ratio of the logits (before a final softmax), and the
Kullback-Leibler divergence of the probabilities. All get the same pixels, normalized for the peers: ONNX
Runtime's `quantize_static` (QDQ, uint8 activations, int8 weights per channel, after `quant_pre_process`) and
zooc run in ONNX Runtime, NNCF in OpenVINO (in float32 where it leaves float). Each is a process of its own.

NNCF wants versions of its own of many packages, so a throwaway environment suits. It exits with 1 where
zooc's `auto` has a lower agreement than the best peer, or an SQNR less than 2 dB above it, and with
`auto(effort=high)` less than 4 dB on an EfficientNet.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, sources_digest
from trained import TRAINED, Subject

WORKER = Path(__file__).with_name("real_networks_worker.py")
RESULTS = Path(__file__).with_name("RESULTS-real.md")
PEERS = {
    "ORT MinMax": {"tool": "onnxruntime", "method": "MinMax"},
    "ORT Entropy": {"tool": "onnxruntime", "method": "Entropy"},
    "ORT Percentile": {"tool": "onnxruntime", "method": "Percentile"},
    "NNCF": {"tool": "nncf"},
    "NNCF, full bias correction": {"tool": "nncf", "full_bias": True},
    "NNCF, accuracy control": {"tool": "nncf", "accuracy_control": True},
}
METHODS = ("max", "percentile(99.99)", "mse", "kl_divergence", "auto", "auto(effort=high)")
MARGIN = {"auto": 2.0, "auto(effort=high)": 4.0}
"""Decibels above the best peer; the second of EfficientNets only."""

PICTURES = ("calibration", "comparison")

Row = dict[str, Any]


def main() -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args()
    every = {subject.name: subject for subject in TRAINED}
    for name in options.names:
        if name not in every:
            print(f"real_networks.py: there is no {name!r}; there are {', '.join(every)}", file=sys.stderr)
            return 2
    results: dict[str, Any] = {
        "machine": machine(),
        "command": shlex.join(["python", "benchmarks/real_networks.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "sources": sources_digest(),
        "networks": {},
    }
    for name in options.names or every:
        results["networks"][name] = _network(every[name], options)
        if options.output is not None:
            options.output.write_text(json.dumps(results, indent=1), "utf-8")
    text = json.dumps(results, indent=1) if options.format == "json" else render(results)
    print(text)
    if options.write:
        RESULTS.write_text(render(results), "utf-8")
    return int(any("fails" in verdict for verdict in verdicts(results)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    names = ", ".join(subject.name for subject in TRAINED)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {names}")
    parser.add_argument("--methods", nargs="*", default=METHODS, help="zooc's, as after `calibrate`")
    parser.add_argument("--statements", default="", help="more of zooc's `quantize` block")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--images", type=int, default=100, help="for calibration")
    parser.add_argument("--compare", type=int, default=400, help="for comparison")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds that a contestant may take")
    parser.add_argument("--prepare", type=Path, help="only write networks, descriptions and pictures there")
    parser.add_argument("--output", type=Path, help="also keep the results there as JSON, network by network")
    parser.add_argument("--format", choices=("human", "json"), default="human")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    return parser


def _network(subject: Subject, options: argparse.Namespace) -> list[Row]:
    """A row a contestant."""
    if absent := subject.absent():
        reason = f"not installed here; pip install {' '.join(absent)}"
        print(f"{subject.name}: skipped: {reason}", file=sys.stderr)
        return [{"label": "all", "missing": reason}]
    with tempfile.TemporaryDirectory(prefix="zooc-real-") as scratch:
        folder = Path(scratch) if options.prepare is None else options.prepare / subject.name
        folder.mkdir(parents=True, exist_ok=True)
        subject.write(folder / f"{subject.name}.onnx")
        for name, count, seed in (("calibration", options.images, 0), ("comparison", options.compare, 1)):
            shutil.rmtree(folder / name, ignore_errors=True)
            subject.pictures(folder / name, count, seed)
        subject.describe(folder)
        if options.prepare is not None:
            return []
        save_pixels(subject, folder)
        jobs = {label: job for label, job in PEERS.items() if label in options.peers}
        for method in options.methods:
            statements = f"calibrate {method} {options.statements}"
            jobs[f"zooc {method}"] = {"tool": "zooc", "statements": statements}
        return [
            _run(subject, folder, label, job, options.limit)
            for label, job in {"float": {"tool": "float"}, **jobs}.items()
        ]


def save_pixels(subject: Subject, folder: Path, names: Sequence[str] = PICTURES) -> None:
    """Write what zooc's prelude makes of each folder's pictures, uint8 `[images, 3, height, width]`."""
    from zooc.compilation import Request
    from zooc.ir.session import open_session
    from zooc.pipeline.compile import compile_graph
    from zooc.pipeline.context import Context
    from zooc.support.cache import Cache
    from zooc.support.progress import Progress
    from zooc_runtime.preprocessing.decode import decode

    request = Request(folder / f"{subject.name}.zoo", overrides=("quantize=fp32",))
    prelude = compile_graph(request, Context(Cache(None), Progress())).program.prelude
    assert prelude is not None
    session = open_session(prelude)
    for name in names:
        files = sorted((folder / name).iterdir())
        pixels = [session.run(None, {"image": decode(file)})[0] for file in files]
        np.save(folder / f"{name}.npy", np.concatenate(pixels))


def _run(subject: Subject, folder: Path, label: str, job: dict[str, Any], limit: float) -> Row:
    task = {"folder": str(folder), "subject": subject.name, **job}
    start = time.perf_counter()
    command = [sys.executable, str(WORKER), json.dumps(task)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        print(f"{subject.name}: {label}: stopped after {limit} s", file=sys.stderr, flush=True)
        return {"label": label, "failed": f"stopped after {limit} s"}
    report = folder / "report.json"
    if done.returncode or not report.is_file():
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        row: Row = {"label": label, "failed": lines[-1]}
    else:
        row = {"label": label, **json.loads(report.read_text("utf-8"))}
        report.unlink()
    row["process_seconds"] = round(time.perf_counter() - start, 1)
    print(f"{subject.name}: {describe(row)}", file=sys.stderr, flush=True)
    return row


def describe(row: Row) -> str:
    """Return a row as one line."""
    for reason in ("missing", "failed"):
        if reason in row:
            return f"{row['label']}: {reason}: {row[reason]}"
    if "sqnr_db" not in row:
        return f"{row['label']}: {row['process_seconds']} s"
    return (
        f"{row['label']}: {100 * row['agreement']:.1f} %, {row['sqnr_db']:.1f} dB, "
        f"KL {row['kl']:.4f}, {row['seconds']:.0f} s"
    )


def best_peer(rows: list[Row], measure: str) -> float | None:
    """Return the best of the peers that ran."""
    found = [row[measure] for row in rows if row["label"] in PEERS and measure in row]
    return max(found) if found else None


def verdicts(results: dict[str, Any]) -> list[str]:
    """Return a line for each network and promise."""
    lines = []
    for network, rows in results["networks"].items():
        peer, same = best_peer(rows, "sqnr_db"), best_peer(rows, "agreement")
        for method, margin in MARGIN.items():
            ours = next((r for r in rows if r["label"] == f"zooc {method}" and "sqnr_db" in r), None)
            if ours is None or peer is None or same is None or (margin > 2 and "efficientnet" not in network):
                continue
            gain, more = ours["sqnr_db"] - peer, ours["agreement"] - same
            word = "holds" if gain >= margin and more >= 0 else "fails"
            lines.append(
                f"{word}: {network}, {method}: {gain:+.1f} dB (at least +{margin:g}), "
                f"{100 * more:+.1f} points of agreement (at least 0)"
            )
    return lines


def render(results: dict[str, Any]) -> str:
    """Return the page."""
    parts = ["# Int8 of trained networks\n", f"`{results['command']}`\n"]
    parts += [f"- {name}: {value}" for name, value in results["machine"].items()]
    parts.append(f"- date: {results['date']}, sources {results['sources']}\n")
    parts += [f"- {line}" for line in verdicts(results)]
    for network, rows in results["networks"].items():
        parts.append(f"\n## {network}\n")
        parts.append("| | same top-1 | SQNR of logits | KL divergence | seconds |\n|---|---:|---:|---:|---:|")
        for row in rows:
            if "sqnr_db" in row:
                cells = (f"{100 * row['agreement']:.1f} %", f"{row['sqnr_db']:.1f} dB", f"{row['kl']:.4f}")
                parts.append(f"| {row['label']} | {' | '.join(cells)} | {row['seconds']:.0f} |")
            elif row["label"] != "float":
                parts.append(f"| {row['label']} | {row.get('missing') or row.get('failed')} | | | |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
