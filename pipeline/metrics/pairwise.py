"""EmergentTTS-style comparisons: a judge hears two clips of one text and says which is better.

Judges prefer a position, fail to answer in form, and are asked about clips that were never made. So the
order comes from the item's id, every pair can be judged again in the other order, and what is missing is
counted, not forgotten.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.errors import RowError
from pipeline.metrics.intervals import RESAMPLES, SEED, SHARE, Interval, mean_interval, wilson

Side = Literal["candidate", "baseline"]
Winner = Literal["candidate", "baseline", "tie"]
Outcome = Literal[
    "candidate", "baseline", "tie", "unparsed", "candidate_failed", "baseline_failed", "both_failed"
]


class Judge(Protocol):
    """Hears two clips of a text. Asked the same twice, it should say the same twice."""

    @property
    def id(self) -> str:
        """Model, revision and settings: it stands beside every verdict."""

    def compare(self, text: str, first: bytes, second: bytes) -> str:
        """The raw answer, a JSON object with `winner` 0 (neither), 1 or 2; see `parse_verdict`.

        Raises RowError where no answer could be had.
        """


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems' clips (encoded audio) of one item; None is a generation that failed."""

    item_id: str
    text: str
    candidate: bytes | None
    baseline: bytes | None
    voice: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's answer in the order heard. `winner` is None where it could not be read."""

    winner: Literal[0, 1, 2] | None
    scores: tuple[float, float] | None
    raw: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair with all that was said of it; the `swap_*` fields are of the other order, None if not asked."""

    item_id: str
    voice: str
    judge: str
    first: Side
    outcome: Outcome
    winner: Winner | None = None
    swap_winner: Winner | None = None
    raw: str | None = None
    swap_raw: str | None = None


def heard_first(item_id: str) -> Side:
    """Which clip is played first: a coin by sha256 of the id, the same in every run and for every judge."""
    return "candidate" if hashlib.sha256(item_id.encode()).digest()[0] % 2 else "baseline"


def parse_verdict(raw: str) -> Verdict:
    """Reads the first JSON object in an answer, with or without text or a code fence around it.

    `winner` must be the integer 0, 1 or 2 (a digit in quotes passes); scores are kept where both are numbers.
    """
    answer = _first_object(raw)
    winner = answer.get("winner")
    if isinstance(winner, str) and winner.strip() in ("0", "1", "2"):
        winner = int(winner)
    scores = (answer.get("score_1"), answer.get("score_2"))
    numbers = [float(score) for score in scores if isinstance(score, int | float) and abs(score) < 1e6]
    return Verdict(
        # True == 1 in Python, and is no winner
        winner if winner in (0, 1, 2) and type(winner) is int else None,
        (numbers[0], numbers[1]) if len(numbers) == 2 else None,
        raw,
    )


def judge_pair(pair: Pair, judge: Judge, *, swap: bool = True) -> Judged:
    """One pair, heard in the order of its id and, with `swap`, once more in the other.

    Two verdicts that agree stand; two that do not make a tie (the judge followed the position); if only one
    can be read, it stands. A judge that could not be asked (RowError) counts as unparsed, with its reason.
    """
    first = heard_first(pair.item_id)
    if pair.candidate is None or pair.baseline is None:
        return Judged(pair.item_id, pair.voice, judge.id, first, _who_failed(pair))
    winner, raw = _ask(pair, judge, first)
    if not swap:
        return Judged(pair.item_id, pair.voice, judge.id, first, winner or "unparsed", winner, None, raw)
    swap_winner, swap_raw = _ask(pair, judge, _other(first))
    if winner and swap_winner:
        outcome: Outcome = winner if winner == swap_winner else "tie"
    else:
        outcome = winner or swap_winner or "unparsed"
    return Judged(pair.item_id, pair.voice, judge.id, first, outcome, winner, swap_winner, raw, swap_raw)


def judge_pairs(pairs: Iterable[Pair], judge: Judge, *, swap: bool = True) -> list[Judged]:
    """`judge_pair` of each, in order."""
    return [judge_pair(pair, judge, swap=swap) for pair in pairs]


@dataclass(frozen=True, slots=True)
class WinRate:
    """W = (wins + ties / 2) / n of the candidate, as a fraction.

    `wilson` and `bootstrap` are over the pairs with a verdict, as published. `with_failures` counts a failed
    candidate as lost, a failed baseline as won, both failed and an unread answer as ties. `if_unparsed_lost`
    and `if_unparsed_won` bound what the unread answers can have hidden in W.
    """

    pairs: int
    counts: dict[str, int]
    wilson: Interval
    bootstrap: Interval
    with_failures: Interval
    if_unparsed_lost: float | None
    if_unparsed_won: float | None


@dataclass(frozen=True, slots=True)
class PositionAudit:
    """The judge, judged. `first_wins`: share of decisive answers that went to the clip heard first (0.5 is
    fair where both orders were asked). `agreement`: share of pairs read twice with the same winner."""

    decisive: int
    first_wins: Interval
    read_twice: int
    agreement: Interval


_CREDIT: dict[Outcome, float] = {"candidate": 1.0, "tie": 0.5, "baseline": 0.0}
_STRICT: dict[Outcome, float] = _CREDIT | {
    "candidate_failed": 0.0,
    "baseline_failed": 1.0,
    "both_failed": 0.5,
    "unparsed": 0.5,
}


def win_rate(judged: Sequence[Judged], *, resamples: int = RESAMPLES, seed: int = SEED) -> WinRate:
    """The candidate's win rate with intervals: Wilson's, and a bootstrap blocked by voice."""
    valid = [row for row in judged if row.outcome in _CREDIT]
    credits = [_CREDIT[row.outcome] for row in valid]
    unparsed = sum(row.outcome == "unparsed" for row in judged)
    won, asked = sum(credits), len(valid) + unparsed
    counts = Counter(row.outcome for row in judged)
    return WinRate(
        pairs=len(judged),
        counts={outcome: counts[outcome] for outcome in _STRICT},
        wilson=wilson(won, len(valid)),
        bootstrap=mean_interval(
            credits, [row.voice for row in valid], within=SHARE, resamples=resamples, seed=seed
        ),
        with_failures=mean_interval(
            [_STRICT[row.outcome] for row in judged],
            [row.voice for row in judged],
            within=SHARE,
            resamples=resamples,
            seed=seed,
        ),
        if_unparsed_lost=won / asked if asked else None,
        if_unparsed_won=(won + unparsed) / asked if asked else None,
    )


def audit_positions(judged: Sequence[Judged]) -> PositionAudit:
    """Position bias and order-swap consistency, both with Wilson's interval."""
    heard = [(row.winner, row.first) for row in judged]
    heard += [(row.swap_winner, _other(row.first)) for row in judged]
    decisive = [winner == first for winner, first in heard if winner in ("candidate", "baseline")]
    twice = [row.winner == row.swap_winner for row in judged if row.winner and row.swap_winner]
    return PositionAudit(
        len(decisive), wilson(sum(decisive), len(decisive)), len(twice), wilson(sum(twice), len(twice))
    )


class RankingJudge:
    """A judge without a model: the clip of the higher rank wins, equal ranks tie. For tests and dry runs."""

    def __init__(self, rank: Callable[[bytes], float], name: str = "ranking") -> None:
        self._rank = rank
        self.id = f"demo:{name}"

    def compare(self, text: str, first: bytes, second: bytes) -> str:
        """The answer as JSON, in the form that `parse_verdict` reads."""
        one, two = self._rank(first), self._rank(second)
        winner = 0 if one == two else 1 if one > two else 2
        return json.dumps({"score_1": one, "score_2": two, "winner": winner})


def _ask(pair: Pair, judge: Judge, first: Side) -> tuple[Winner | None, str]:
    clips = {"candidate": pair.candidate or b"", "baseline": pair.baseline or b""}
    try:
        verdict = parse_verdict(judge.compare(pair.text, clips[first], clips[_other(first)]))
    except RowError as error:
        return None, f"{error.code}: {error.message}"
    winners: dict[int | None, Winner | None] = {None: None, 0: "tie", 1: first, 2: _other(first)}
    return winners[verdict.winner], verdict.raw


def _other(side: Side) -> Side:
    return "baseline" if side == "candidate" else "candidate"


def _who_failed(pair: Pair) -> Outcome:
    if pair.candidate is None and pair.baseline is None:
        return "both_failed"
    return "candidate_failed" if pair.candidate is None else "baseline_failed"


def _first_object(raw: str) -> dict[str, object]:
    decoder = json.JSONDecoder()
    start = raw.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(raw, start)
        except RecursionError:
            return {}  # nested beyond reason; what stands inside is, too
        except ValueError:
            start = raw.find("{", start + 1)
        else:
            return dict(found)
    return {}
