"""Distributions, counted and drawn as SVG that needs no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 240, 124
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 20, 24


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[i]` of the values lie in `edges[i] <= value < edges[i + 1]`; the last bin holds its end, too.

    `below` and `above` count the values outside of the edges.
    """

    edges: list[float]
    counts: list[int]
    below: int
    above: int
    median: float


def count(values: Sequence[float], low: float, high: float, bins: int) -> Histogram | None:
    """None where there are no values."""
    if not values:
        return None
    data = np.asarray(values, dtype=np.float64)
    counts, edges = np.histogram(data, bins=bins, range=(low, high))
    return Histogram(
        edges=[float(edge) for edge in edges],
        counts=[int(n) for n in counts],
        below=int((data < low).sum()),
        above=int((data > high).sum()),
        median=float(np.median(data)),
    )


def round_end(largest: float) -> float:
    """The next of 1, 2, 2.5 or 5 times a power of ten: an axis that ends there has readable labels."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= largest * (1 - 1e-9))


def picture(
    values: Sequence[float], low: float, high: float, bins: int, name: str, label: Callable[[float], str]
) -> Markup | None:
    """The values, counted and drawn; None where there are none."""
    histogram = count(values, low, high, bins)
    return draw(histogram, name, label) if histogram else None


def draw(histogram: Histogram, name: str, label: Callable[[float], str]) -> Markup:
    """An inline SVG. What lies outside of the axis is drawn as a bar of its own at that end."""
    bars = [(label(a) + "\u2013" + label(b), n) for a, b, n in _bins(histogram)]
    first, last = histogram.edges[0], histogram.edges[-1]
    if histogram.below:
        bars.insert(0, (f"below {label(first)}", histogram.below))
    if histogram.above:
        bars.append((f"over {label(last)}", histogram.above))
    slot = (_WIDTH - _LEFT - _RIGHT) / len(bars)
    floor, tall = _HEIGHT - _BOTTOM, _HEIGHT - _BOTTOM - _TOP
    most = max(n for _, n in bars) or 1
    drawn = [Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        _LEFT, _WIDTH - _RIGHT, floor, floor
    )]  # fmt: skip
    for i, (where, n) in enumerate(bars):
        outside = (i == 0 and histogram.below > 0) or (i == len(bars) - 1 and histogram.above > 0)
        height = max(2.0, tall * n / most) if n else 0.0
        drawn.append(
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1.5">'
                "<title>{}: {}</title></rect>"
            ).format("bar outside" if outside else "bar", _LEFT + i * slot + 1, floor - height,
                     max(1.0, slot - 2), height, where, n)
        )  # fmt: skip
    start = _LEFT + slot * bool(histogram.below)
    end = _WIDTH - _RIGHT - slot * bool(histogram.above)
    place = start + (end - start) * (min(max(histogram.median, first), last) - first) / (last - first)
    # the words stay inside the picture
    anchor = "start" if place < _WIDTH * 0.3 else "end" if place > _WIDTH * 0.7 else "middle"
    drawn.append(
        Markup(
            '<line class="median" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>'
            '<text class="median" x="{0:.1f}" y="{3}" text-anchor="{4}">median {5}</text>'
        ).format(place, _TOP - 4, floor, _TOP - 8, anchor, label(histogram.median))
    )
    for x, side, value in ((start, "start", first), ((start + end) / 2, "middle", (first + last) / 2),
                           (end, "end", last)):  # fmt: skip
        drawn.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
                x, _HEIGHT - 8, side, label(value)
            )
        )
    total = sum(n for _, n in bars)
    said = f"{name}: {total} rows, median {label(histogram.median)}, the fullest bin holds {most}"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, escape(said), Markup("").join(drawn)
    )


def _bins(histogram: Histogram) -> list[tuple[float, float, int]]:
    return list(zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False))
