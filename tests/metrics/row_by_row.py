"""The blocked bootstrap as its definition reads: every resample's rows written out, numpy's own statistics."""

from __future__ import annotations

import numpy as np
from scipy import stats

from pipeline.metrics.intervals import draws


def estimates(rates, errors, units):
    return {
        "macro": np.mean(rates),
        "macro_clipped": np.mean(np.minimum(rates, 1.0)),
        "micro": np.sum(errors) / np.sum(units),
        "median": np.median(rates),
        "p95": np.percentile(rates, 95),
        "share_over_50_percent": np.mean(np.asarray(rates) > 0.5),
    }


def intervals(rows, resamples):
    """`rows` are (errors, units, voice); the ends [low, high] of every aggregate, None for one voice.

    They are as far from the estimate as Student's t has them, from 0 to 1 at most where that is all there is.
    """
    errors, units = (np.array([row[i] for row in rows]) for i in (0, 1))
    names, voice_of = np.unique([row[2] for row in rows], return_inverse=True)
    if len(names) < 2:
        return None
    found = []
    for times in draws(len(names), len(rows), resamples, seed=0):
        for drawn in times:
            some = np.repeat(np.arange(len(rows)), drawn[voice_of])
            found.append(estimates(errors[some] / units[some], errors[some], units[some]))
    voices = len(names)
    factor = stats.t.ppf(0.975, voices - 1) / stats.norm.ppf(0.975) * np.sqrt(voices / (voices - 1))
    made = {}
    for name, here in estimates(errors / units, errors, units).items():
        low, high = np.percentile([each[name] for each in found], [2.5, 97.5])
        most = 1.0 if name in ("macro_clipped", "share_over_50_percent") else np.inf
        low, high = max(0.0, here - factor * (here - low)), min(most, here + factor * (high - here))
        made[name] = [min(low, here), max(high, here)]
    return made
