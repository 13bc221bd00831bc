"""The results of peers.py as Markdown, and what they say about zooc's promises."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

__all__ = ["LIMIT", "render"]

LIMIT = "as many products in plain convolutions"
"""The row that says what the CPU's integer units do."""

_STATIC = "ONNX Runtime quantize_static"
_OURS = "zooc on OpenVINO", "zooc on ONNX Runtime"
_FASTER = {"resnest50d": 1.6, "wide_resnet50_2": 1.05, "iresnet50": 1.05}
_FASTER_THAN_STATIC = {"resnest50d": 1.4, "wide_resnet50_2": 1.2, "iresnet50": 1.6}
_END_TO_END = 1.5

_INTRODUCTION = """\
Written by `benchmarks/peers.py`. Every contestant is a process that stays alive; in each round all are
measured, one after the other. A ratio is zooc's rate over the peer's in the same round: the median of the
rounds, and in brackets the least and the greatest. Settings are streams x threads in each, and images a
request; each contestant has the best of those tried.

Weights are random, which costs the same time as trained ones. Peers get float32 tensors, zooc's packages
uint8 pixels (their first layer normalizes). From JPEG files, peers resize, crop and normalize with Pillow and
numpy, the calls that torchvision's transforms make, in the thread that runs the network; where OpenVINO
resizes in its graph, it does so without a crop, to other pixels than Pillow's. zooc's packages answer
`model.stream(paths)`.

The last row of throughput is no contestant: twelve large integer convolutions on OpenVINO, counted in as many
products as an image of the network takes. A network's own convolutions are smaller and of less even shapes;
its ratio to the best peer is the most that a graph could reach on this CPU, if all else cost nothing.
"""
_NO_AMX = """\
**This CPU has no AMX.** In zooc's graphs 90 to 99 % of either engine's time goes to integer convolutions, in
the peers' best graphs 75 to 99 % (docs/design/quantization.md has the profiles): what can be saved besides is
small here, and more on a CPU whose convolutions are faster.
"""
_TITLES = {
    "latency": "One image at a time, all cores",
    "throughput": "Throughput of the network alone",
    "images": "From JPEG files of about 500 x 375",
}


def render(results: dict[str, Any]) -> str:
    """The page as Markdown.

    A row's `rates` hold each round's images a second; for latency, requests a second at the median latency.
    """
    facts = {"date": results["date"], "hash of zooc's sources": results["sources"], **results["machine"]}
    parts = ["# Packages and their peers\n", _INTRODUCTION]
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n")
    if "amx" not in facts["instructions"]:
        parts.append(_NO_AMX)
    parts.append("## What was promised\n")
    parts.append(
        "\n".join(line for name, rows in results["networks"].items() for line in _promises(name, rows))
    )
    for name, rows in results["networks"].items():
        parts.append(f"\n## {name}\n")
        for kind, title in _TITLES.items():
            if kind in rows:
                parts += [f"### {title}\n", _table(kind, rows[kind])]
    return "\n".join(parts)


def _table(kind: str, rows: list[dict[str, Any]]) -> str:
    best = _best_peer(rows)
    lines = [
        f"| | {'ms' if kind == 'latency' else 'images/s'} | setting | ratio to the best peer |",
        "|---|---:|---|---|",
    ]
    for row in rows:
        setting = row["setting"]
        shown = f"{setting['streams']} x {setting['threads']}, {setting['batch']}"
        value = 1e3 / _rate(row) if kind == "latency" else _rate(row)
        ratio = "best peer" if row is best else _shown(_ratios(row, best))
        lines.append(f"| {row['label']} | {value:.1f} | {shown} | {ratio} |")
    return "\n".join(lines) + "\n"


def _promises(name: str, rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines: list[str] = []

    def promise(what: str, ours: dict[str, Any] | None, peer: dict[str, Any] | None, least: float) -> None:
        if ours is None or peer is None:
            return
        ratios = _ratios(ours, peer)
        verdict = "holds" if median(ratios) >= least else "fails"
        limit = by_label("throughput", LIMIT) if what.endswith("throughput") else None
        most = "" if limit is None else f"; products alone {median(_ratios(limit, peer)):.2f}"
        lines.append(
            f"- {verdict}: {name}, {what}: {_shown(ratios)} (at least {least:g}; {peer['label']}{most})"
        )

    def by_label(kind: str, label: str) -> dict[str, Any] | None:
        return next((row for row in rows.get(kind, ()) if row["label"] == label), None)

    def best_peer(kind: str) -> dict[str, Any] | None:
        return _best_peer(rows[kind]) if rows.get(kind) else None

    openvino, onnxruntime = _OURS
    if name in _FASTER:
        ours = by_label("throughput", openvino)
        promise("OpenVINO, throughput", ours, best_peer("throughput"), _FASTER[name])
        for kind, what in (("latency", "one image at a time"), ("throughput", "throughput")):
            ours, static = by_label(kind, onnxruntime), by_label(kind, _STATIC)
            promise(f"ONNX Runtime, {what}", ours, static, _FASTER_THAN_STATIC[name])
    for kind, what, least in (("latency", "latency", 1.0), ("images", "from JPEG files", _END_TO_END)):
        ours = max((row for row in rows.get(kind, ()) if row["label"] in _OURS), key=_rate, default=None)
        if ours is not None:
            promise(f"{what}, {ours['label']}", ours, best_peer(kind), least)
    return lines


def _best_peer(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return max((row for row in rows if row["label"] not in (*_OURS, LIMIT)), key=_rate)


def _rate(row: dict[str, Any]) -> float:
    return median(row["rates"])


def _ratios(ours: dict[str, Any], peer: dict[str, Any]) -> list[float]:
    return [a / b for a, b in zip(ours["rates"], peer["rates"], strict=True)]


def _shown(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
