"""The protocol ledger: the same transcripts under several protocols, and what each difference costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.errors import ConfigError
from pipeline.metrics.protocols import (
    Protocol,
    ProtocolScore,
    aggregated,
    score_under,
    sharing_asr,
)

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one difference adds, in percentage points; negative where the rate falls.

    `changed_rows` counts the utterances whose own rate it changes; an aggregate changes none.
    """

    what: str  # text rules | unit | aggregate
    before: str
    after: str
    points: float | None
    changed_rows: int


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A protocol's rate (a fraction) and the way to it from the base: the costs add up to the difference."""

    protocol: str
    rate: float | None
    rows: int
    costs: tuple[Cost, ...]
    text_rules_only: bool  # another ASR: not that protocol's number, only what its text rules would do


def ledger(pairs: Pairs, base: Protocol, others: Sequence[Protocol] | None = None) -> list[LedgerLine]:
    """One line per protocol, `base` first, over the same (reference, hypothesis) pairs.

    `others` are by default all that share the base's ASR. One named although its ASR is another is scored
    all the same and marked `text_rules_only`. Differences are taken one at a time in the order text rules,
    unit, aggregate, each from where the one before has led, so that nothing is counted twice. Raises
    ConfigError for a protocol of another language.
    """
    lines = [LedgerLine(base.name, _rate(_scored(pairs, base), base), len(pairs), (), False)]
    for other in sharing_asr(base)[1:] if others is None else others:
        if other.language != base.language:
            raise ConfigError(f"{other.name}: its language is not that of {base.name}; leave it out")
        if other.name != base.name:
            lines.append(_line(pairs, base, other))
    return lines


def _line(pairs: Pairs, base: Protocol, other: Protocol) -> LedgerLine:
    here, scores = base, _scored(pairs, base)
    rate = _rate(scores, here)
    costs = []
    for what, there in (
        ("text rules", replace(here, normalizer=other.normalizer)),
        ("unit", replace(here, normalizer=other.normalizer, unit=other.unit)),
        ("aggregate", replace(here, normalizer=other.normalizer, unit=other.unit, aggregate=other.aggregate)),
    ):
        if there == here:
            continue
        new_scores = scores if what == "aggregate" else _scored(pairs, there)
        new_rate = _rate(new_scores, there)
        changed = sum(a.rate != b.rate for a, b in zip(scores, new_scores, strict=True))
        points = None if rate is None or new_rate is None else 100.0 * (new_rate - rate)
        costs.append(Cost(what, _named(here, what), _named(there, what), points, changed))
        here, scores, rate = there, new_scores, new_rate
    return LedgerLine(other.name, rate, len(pairs), tuple(costs), other.asr != base.asr)


def _scored(pairs: Pairs, protocol: Protocol) -> list[ProtocolScore]:
    return [score_under(said, heard, protocol) for said, heard in pairs]


def _rate(scores: Sequence[ProtocolScore], protocol: Protocol) -> float | None:
    return aggregated(scores, protocol.aggregate)


def _named(protocol: Protocol, what: str) -> str:
    if what == "text rules":
        return protocol.normalizer.id
    return protocol.unit if what == "unit" else protocol.aggregate
