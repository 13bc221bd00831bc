"""The results of fleet.py as Markdown: ratios to the best peer, their geometric means, and the promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import geometric_mean, median
from typing import Any

__all__ = ["ENGINES", "OURS", "Ratio", "ratios", "render", "verdicts"]

ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
OURS = {engine: f"zooc on {name}" for engine, name in ENGINES.items()}
BOTH = "both"
_PROMISES = {"onnxruntime": (1.0, 1.35), "openvino": (0.97, 1.12)}
"""By engine: of no network less, of the geometric mean at least."""
_TITLES = {
    "latency": "One image at a time, one thread",
    "throughput": "All cores, the best number of streams",
}
_INTRODUCTION = """\
# A fleet of networks, zooc and its peers

`{command}`

Every contestant is a process that stays alive; in each round all are measured, one after the other. A ratio
is the best peer's time over zooc's (of throughput zooc's rate over the best peer's): above 1 zooc is faster.
It is taken in each round, and the median of the rounds counts. The best peer is the one with the best median,
of the same engine or, under *both*, of all; there zooc has the better of its engines too. efficientnet_lite0
and text_angle are trained, the others have random weights. The batch is fixed at 1 in the peers' files. The
clock is the wall's, or the processor time of the contestant's process.
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as the best peer zooc is.

    Attributes:
        each: of every round.
        peer: the best peer's label.
    """

    each: tuple[float, ...]
    peer: str

    @property
    def median(self) -> float:
        """The one that counts."""
        return median(self.each)


def ratios(rows: list[Row]) -> dict[str, Ratio]:
    """Return the ratio of each engine by itself, and of both, as far as they were measured.

    Args:
        rows: of one network: `label`, `engine`, and `rates`, a rate a round (or `failed`, why there is none).
    """
    found = {}
    for name in (*ENGINES, BOTH):
        among = [row for row in rows if row.get("rates") and name in (row["engine"], BOTH)]
        ours = max((row for row in among if row["label"] in OURS.values()), key=_rate, default=None)
        peer = max((row for row in among if row["label"] not in OURS.values()), key=_rate, default=None)
        if ours is not None and peer is not None:
            each = tuple(a / b for a, b in zip(ours["rates"], peer["rates"], strict=True))
            found[name] = Ratio(each, peer["label"])
    return found


def verdicts(results: dict[str, Any], kind: str) -> Iterator[str]:
    """Yield two lines an engine: of its least ratio, and of the geometric mean."""
    fleet = {name: ratios(kinds[kind]) for name, kinds in results["networks"].items() if kind in kinds}
    for engine, (least, mean) in _PROMISES.items():
        medians = {name: found[engine].median for name, found in fleet.items() if engine in found}
        if not medians:
            continue
        low = {name: value for name, value in medians.items() if value < least}
        worst = low or dict([min(medians.items(), key=lambda item: item[1])])
        shown = ", ".join(f"{name} {value:.2f}" for name, value in sorted(worst.items(), key=lambda i: i[1]))
        yield f"{_word(not low)}: {ENGINES[engine]}, {kind}, each network at least {least:g}: {shown}"
        found_mean = geometric_mean(medians.values())
        yield (
            f"{_word(found_mean >= mean)}: {ENGINES[engine]}, {kind}, geometric mean of {len(medians)}: "
            f"{found_mean:.2f} (at least {mean:g})"
        )


def render(results: dict[str, Any]) -> str:
    """Return the page."""
    parts = [_INTRODUCTION.format(command=results["command"])]
    parts += [f"- {name}: {value}" for name, value in results["machine"].items()]
    facts = ("date", "sources", "rounds", "clock")
    parts.append("- " + ", ".join(f"{fact}: {results[fact]}" for fact in facts))
    for kind, title in _TITLES.items():
        fleet = {name: kinds[kind] for name, kinds in results["networks"].items() if kind in kinds}
        if fleet:
            parts += [f"\n## {title}\n", *(f"- {line}" for line in verdicts(results, kind))]
            parts += ["", *_ratio_table(fleet), "", *_time_table(kind, fleet)]
    return "\n".join(parts) + "\n"


def _ratio_table(fleet: dict[str, list[Row]]) -> Iterator[str]:
    names = {**ENGINES, BOTH: BOTH}
    yield f"| ratio | {' | '.join(names.values())} | best peers |"
    yield f"|---|{'---:|' * len(names)}---|"
    every: dict[str, list[float]] = {name: [] for name in names}
    for network, rows in fleet.items():
        found = ratios(rows)
        for name, ratio in found.items():
            every[name].append(ratio.median)
        cells = [_shown(found.get(name)) for name in names]
        peers = ", ".join(found[name].peer for name in ENGINES if name in found)
        yield f"| {network} | {' | '.join(cells)} | {peers} |"
    means = [f"{geometric_mean(values):.2f}" if values else "" for values in every.values()]
    yield f"| geometric mean | {' | '.join(means)} | |"


def _time_table(kind: str, fleet: dict[str, list[Row]]) -> Iterator[str]:
    labels = list(dict.fromkeys(row["label"] for rows in fleet.values() for row in rows))
    yield f"| {'ms an image' if kind == 'latency' else 'images/s'} | {' | '.join(labels)} |"
    yield f"|---|{'---:|' * len(labels)}"
    for network, rows in fleet.items():
        by_label = {row["label"]: row for row in rows}
        yield f"| {network} | {' | '.join(_value(kind, by_label.get(label)) for label in labels)} |"


def _value(kind: str, row: Row | None) -> str:
    if row is None:
        return ""
    if not row.get("rates"):
        return str(row["failed"])
    return f"{1e3 / _rate(row):.2f}" if kind == "latency" else f"{_rate(row):.1f}"


def _shown(ratio: Ratio | None) -> str:
    return "" if ratio is None else f"{ratio.median:.2f} [{min(ratio.each):.2f}, {max(ratio.each):.2f}]"


def _rate(row: Row) -> float:
    return median(row["rates"])


def _word(held: bool) -> str:
    return "holds" if held else "fails"
