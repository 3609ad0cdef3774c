"""How much wider than the bootstrap's an interval from few voices is."""

from __future__ import annotations

from math import cos, pi, sin, sqrt, tan
from statistics import NormalDist

# from here on the series is right to six digits, and cheaper than the sum
_MANY = 200


def widening(voices: int, confidence: float) -> float:
    """What the ends of a percentile interval are to be moved away by, as a factor of their distance.

    = t / z * sqrt(V / (V - 1)). Percentiles of V blocks are as narrow as if the spread were known (z for
    Student's t of V - 1 degrees of freedom) and divided by V instead of V - 1 (Hesterberg 2015,
    arXiv 1411.5279): from two voices nine times too narrow, from a hundred by a fiftieth. 1 for one voice.
    """
    if voices < 2:
        return 1.0
    upper = (1.0 + confidence) / 2.0
    return t_quantile(upper, voices - 1) / NormalDist().inv_cdf(upper) * sqrt(voices / (voices - 1))


def t_quantile(share: float, freedom: int) -> float:
    """Student's t below which `share` >= 0.5 of its distribution lies; `freedom` is a whole number over 0."""
    if freedom >= _MANY:
        z = NormalDist().inv_cdf(share)
        # Abramowitz and Stegun 26.7.5
        return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    low, high = 0.0, pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 2 * share - 1 else (low, middle)
    return sqrt(freedom) * tan(low)


def _within(angle: float, freedom: int) -> float:
    """The share within +-t, t = sqrt(freedom) tan(angle): Abramowitz and Stegun 26.7.3 and 26.7.4."""
    odd = freedom % 2
    term, total = cos(angle) if odd else 1.0, 0.0
    for i in range(1 + odd, freedom, 2):
        total += term
        term *= cos(angle) ** 2 * i / (i + 1)
    return (angle + sin(angle) * total) * 2 / pi if odd else sin(angle) * total
