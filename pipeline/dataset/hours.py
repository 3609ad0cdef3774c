"""How much is to be sampled: the wanted hours at first, then what makes up for the rows that gates took."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pipeline.dataset.plan import DatasetPlan

# of a top-up: no yield is taken for less, and no round adds less than this share of what is wanted
_LEAST_YIELD, _LEAST_STEP = 0.05, 0.02
# and it adds some more than the yield asks for, in rows or of that: a round costs more than a few rows do
_MORE_ROWS, _MORE_SHARE = 3, 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """Where sampling ends, in estimated seconds: in total, and of the speakers that are named."""

    total_s: float | None = None
    speakers: Mapping[str, float] = field(default_factory=dict)


def first_limits(plan: DatasetPlan, speakers: Collection[str]) -> Limits:
    """With both of the plan's numbers, whichever asks for less."""
    total, each = _wanted(plan, len(speakers))
    return Limits(total) if each is None else Limits(speakers=dict.fromkeys(speakers, each))


def next_limits(
    plan: DatasetPlan, estimated: Mapping[str, float], made: Mapping[str, float], row_s: float
) -> Limits | None:
    """Where to go on sampling, or None if there is nothing to do or the plan's oversampling forbids it.

    `estimated` is the speech that was asked of each speaker, `made` what of it was accepted, in seconds;
    a row is about `row_s` long.
    None, too, where nothing at all was accepted: more of the same would be spent for nothing.
    """
    if not sum(made.values()):
        return None
    total, each = _wanted(plan, len(estimated))
    if each is None:
        limit = _longer(plan, total, sum(estimated.values()), sum(made.values()), row_s)
        return None if limit is None else Limits(limit)
    longer = {
        speaker: _longer(plan, each, asked, made.get(speaker, 0.0), row_s)
        for speaker, asked in estimated.items()
    }
    if not any(longer.values()):
        return None
    return Limits(speakers={speaker: limit or 0.0 for speaker, limit in longer.items()})


def wanted_seconds(plan: DatasetPlan, speakers: int) -> float:
    """Accepted speech that the plan asks for in total."""
    return _wanted(plan, speakers)[0]


def is_reached(plan: DatasetPlan, speakers: Collection[str], made: Mapping[str, float]) -> bool:
    """Whether there are the hours that are wanted: in total, or of each speaker."""
    total, each = _wanted(plan, len(speakers))
    if each is None:
        return sum(made.values()) >= total
    return all(made.get(speaker, 0.0) >= each for speaker in speakers)


def _wanted(plan: DatasetPlan, speakers: int) -> tuple[float, float | None]:
    """Seconds in total, and of each speaker if that is what is counted."""
    of_each = None if plan.hours_per_voice is None else plan.hours_per_voice * 3600
    if plan.hours is not None and (of_each is None or plan.hours * 3600 <= of_each * speakers):
        return plan.hours * 3600, None
    assert of_each is not None  # a plan has one of the two: plan.py
    return of_each * speakers, of_each


def _longer(plan: DatasetPlan, wanted: float, asked: float, got: float, row_s: float) -> float | None:
    """The new limit of estimated seconds, if more is wanted and the plan's oversampling allows it."""
    most = wanted * plan.oversampling
    if got >= wanted or asked >= most:
        return None
    share = max(got / asked if asked else 1.0, _LEAST_YIELD)
    missing = (wanted - got) / share
    more = max(_MORE_SHARE * missing, _MORE_ROWS * row_s)
    return min(most, asked + max(missing + more, _LEAST_STEP * wanted))
