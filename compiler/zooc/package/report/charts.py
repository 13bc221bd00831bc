"""Charts as SVG: bars, a scatter, points with a line, and a strip of stages.

They are written when a report is, with colours from the page's style sheet, so that dark pages and paper have
theirs. They hold nothing of the user's: names stand in the page around them, which escapes them. Why no
library: `docs/design/report.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["Dot", "bars", "dots", "hbar", "scatter", "strip", "ticks"]

_WIDE, _HIGH = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 12, 40
_BAR_WIDTH = (5.0, 26.0)
_BARS_WIDE = 940
_BARS_HIGH = 176
_MOST_DB = 60.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of `dots`.

    Attributes:
        x, y: where it is.
        label: a number or letter that the page's own list explains.
        best: whether it is what was taken.
        joined: whether a line comes to it from the dot before.
    """

    x: float
    y: float
    label: str = ""
    best: bool = False
    joined: bool = False


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers (1, 2, 5 times a power of ten) from `low` to `high`, at most about `most`."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * power) >= rough * 0.999)
    return [
        float(f"{step * i:.12g}")
        for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def bars(values: Sequence[float | None], poor_below: float, label: str) -> Markup:
    """Return a chart of decibels in network order, a bar a layer; what is not known is a gap.

    A bar carries its place in `data-layer` and its value in `data-db`; those above 60 dB end there.

    Args:
        values: dB a layer.
        poor_below: bars below it are marked.
        label: what the chart is, for those who do not see it.
    """
    count = max(len(values), 1)
    step = min(max(_BARS_WIDE / count, _BAR_WIDTH[0]), _BAR_WIDTH[1])
    wide, base = _LEFT + step * count + _RIGHT, _BARS_HIGH - 20

    def height(db: float) -> float:
        return max(min(db, _MOST_DB), 0.0) / _MOST_DB * (base - _TOP)

    parts = [_open(wide, _BARS_HIGH, label, "bars")]
    for tick in ticks(0, _MOST_DB, 4):
        y = base - height(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {_n(y)}H{_n(wide - _RIGHT)}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{_n(y + 4)}">{_n(tick)}</text>')
    limit = base - height(poor_below)
    parts.append(f'<path class="limit" d="M{_LEFT} {_n(limit)}H{_n(wide - _RIGHT)}"/>')
    for place, db in enumerate(values):
        if db is None:
            continue
        tall = max(height(db), 1.0)
        kind = ' class="poor"' if db < poor_below else ""
        parts.append(
            f'<rect{kind} x="{_n(_LEFT + step * place)}" y="{_n(base - tall)}" width="{_n(step * 0.8)}" '
            f'height="{_n(tall)}" data-layer="{place}" data-db="{db:g}"/>'
        )
    parts.append(
        f'<text class="middle" x="{_n(wide / 2)}" y="{_BARS_HIGH - 5}">layers, input to output</text>'
    )
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - numbers and our own words


def scatter(points: Sequence[Sequence[float]], x_label: str, y_label: str) -> Markup:
    """Return points about the line on which both are equal.

    Args:
        points: `[x, y]` each.
        x_label, y_label: our own words for the axes.
    """
    every = [float(value) for point in points for value in point]
    low, high = (min(every), max(every)) if every else (0.0, 1.0)
    if high <= low:
        low, high = low - 1.0, high + 1.0
    margin = (high - low) * 0.04
    axes = _Axes((low - margin, high + margin), (low - margin, high + margin))
    dots_ = "".join(f"M{_n(axes.x(x))} {_n(axes.y(y))}h0" for x, y in points)
    parts = [
        _open(_WIDE, _HIGH, f"{y_label} against {x_label}", "scatter"),
        axes.frame(x_label, y_label),
        f'<path class="limit" d="M{_n(axes.x(low))} {_n(axes.y(low))}'
        f'L{_n(axes.x(high))} {_n(axes.y(high))}"/>',
        f'<path class="points" data-points="{len(points)}" d="{dots_}"/></svg>',
    ]
    return Markup("".join(parts))  # noqa: S704 - numbers and our own words


def dots(found: Sequence[Dot], x_label: str, y_label: str) -> Markup:
    """Return labelled points, some of them joined in their order."""
    xs, ys = _range([dot.x for dot in found]), _range([dot.y for dot in found])
    axes = _Axes(xs, ys)
    parts = [_open(_WIDE, _HIGH, f"{y_label} against {x_label}", "dots"), axes.frame(x_label, y_label)]
    before: Dot | None = None
    for dot in found:
        x, y = axes.x(dot.x), axes.y(dot.y)
        if dot.joined and before is not None:
            parts.append(
                f'<path class="line" d="M{_n(axes.x(before.x))} {_n(axes.y(before.y))}L{_n(x)} {_n(y)}"/>'
            )
        before = dot
    taken: list[tuple[float, float]] = []
    for dot in sorted(found, key=lambda dot: not dot.best):
        x, y = axes.x(dot.x), axes.y(dot.y)
        kind = ' class="best"' if dot.best else ""
        parts.append(f'<circle{kind} cx="{_n(x)}" cy="{_n(y)}" r="4" data-x="{dot.x:g}" data-y="{dot.y:g}"/>')
        # A label that would cover another one is left out; the table below the chart has them all.
        if dot.label and all(abs(x - a) > 12 or abs(y - b) > 12 for a, b in taken):
            end = x > _WIDE - _RIGHT - 30
            shift, side = (-8, ' class="end"') if end else (8, "")
            parts.append(f'<text{side} x="{_n(x + shift)}" y="{_n(y + 4)}">{dot.label}</text>')
            taken.append((x, y))
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - numbers and our own words


def strip(runs: Sequence[tuple[str, int]]) -> Markup:
    """Return stretches of a network side by side, as wide as they have layers.

    Args:
        runs: the data type (`int8`, `float`, `fp16`) and the number of layers of each.
    """
    total = max(sum(count for _, count in runs), 1)
    parts = ['<svg class="strip" viewBox="0 0 1000 26" preserveAspectRatio="none" aria-hidden="true">']
    at = 0
    for place, (dtype, count) in enumerate(runs):
        kind = dtype if dtype in {"int8", "float", "fp16"} else "float"
        wide = max(1000 * count / total, 0.6)
        parts.append(
            f'<rect class="{kind}" x="{_n(1000 * at / total)}" y="0" width="{_n(wide)}" height="26" '
            f'data-run="{place}" data-layers="{count}"/>'
        )
        at += count
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - numbers and our own words


def hbar(share: float) -> Markup:
    """Return a horizontal bar, `share` of its full length from 0 to 1."""
    wide = _n(100 * min(max(float(share), 0.0), 1.0))
    return Markup(  # noqa: S704 - a number
        '<svg class="hbar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rail" width="100" height="8"/><rect width="{wide}" height="8"/></svg>'
    )


class _Axes:
    """The plane of a chart with a frame."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        self._xs, self._ys = xs, ys

    def x(self, value: float) -> float:
        low, high = self._xs
        return _LEFT + (value - low) / (high - low) * (_WIDE - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._ys
        return _HIGH - _BOTTOM - (value - low) / (high - low) * (_HIGH - _BOTTOM - _TOP)

    def frame(self, x_label: str, y_label: str) -> str:
        """Grid, numbers and names of both axes."""
        parts = []
        for tick in ticks(*self._xs):
            x = _n(self.x(tick))
            parts.append(f'<path class="grid" d="M{x} {_TOP}V{_HIGH - _BOTTOM}"/>')
            parts.append(f'<text class="middle" x="{x}" y="{_HIGH - _BOTTOM + 15}">{tick:.6g}</text>')
        for tick in ticks(*self._ys):
            y = self.y(tick)
            parts.append(f'<path class="grid" d="M{_LEFT} {_n(y)}H{_WIDE - _RIGHT}"/>')
            parts.append(f'<text class="end" x="{_LEFT - 6}" y="{_n(y + 4)}">{tick:.6g}</text>')
        middle = (_HIGH - _BOTTOM + _TOP) / 2
        parts.append(
            f'<text class="middle name" x="{(_WIDE + _LEFT - _RIGHT) / 2:g}" y="{_HIGH - 6}">{x_label}</text>'
            f'<text class="middle name" transform="translate(11 {middle:g}) rotate(-90)">{y_label}</text>'
        )
        return "".join(parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.08 or 0.5
    return low - margin, high + margin


def _open(wide: float, high: float, label: str, kind: str) -> str:
    size = f'viewBox="0 0 {_n(wide)} {_n(high)}" width="{_n(wide)}" height="{_n(high)}"'
    return f'<svg class="{kind}" {size} role="img" aria-label="{label}">'


def _n(value: float) -> str:
    """A number as short as a drawing needs it."""
    text = f"{float(value):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
