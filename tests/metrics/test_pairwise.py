"""By hand; win rates and their intervals [ref] worked out apart from this code, and scipy."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.errors import RowError
from pipeline.metrics.intervals import Interval
from pipeline.metrics.pairwise import (
    Judged,
    Pair,
    RankingJudge,
    audit_positions,
    heard_first,
    judge_pair,
    judge_pairs,
    parse_verdict,
    win_rate,
)

IDS = [f"item-{i}" for i in range(400)]
LENGTH = RankingJudge(len, "longer")
OUTCOMES = (
    *("candidate", "baseline", "tie", "unparsed"),
    *("candidate_failed", "baseline_failed", "both_failed"),
)


class Says:
    """A judge that gives prepared answers in turn; an exception is raised."""

    id = "demo:says"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.heard = []

    def compare(self, text, first, second):
        self.heard.append((text, first, second))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def pair(item_id="a", candidate=b"new", baseline=b"old", voice="v"):
    return Pair(item_id, "Hello.", candidate, baseline, voice)


def first_wins(winner):
    return json.dumps({"winner": winner})


def judged(outcome, voice="v", **more):
    return Judged("i", voice, "demo:j", "candidate", outcome, **more)


def test_order_is_a_coin_that_stays():
    sides = Counter(heard_first(item_id) for item_id in IDS)
    assert stats.binomtest(sides["candidate"], len(IDS)).pvalue > 0.01
    # sha256("a") begins ca, sha256("b") 3e: `printf a | sha256sum`
    assert (heard_first("a"), heard_first("b")) == ("baseline", "baseline")
    # sha256("hello") begins 2c, sha256("") e3
    assert (heard_first("hello"), heard_first("")) == ("baseline", "candidate")


@pytest.mark.parametrize(
    ("raw", "winner", "scores"),
    [
        ('{"winner": 1, "score_1": 3, "score_2": 1.5}', 1, (3.0, 1.5)),
        ('```json\n{"reasoning_1": "a {b}", "winner": 0}\n```', 0, None),
        ('I think {this} so: {"winner": "2"} and {"winner": 1}', 2, None),
        ('{"winner": 3}', None, None),
        ('{"winner": true}', None, None),
        ('{"winner": 1.0}', None, None),
        ('{"winner": null}', None, None),
        ('{"winner": [1]}', None, None),
        ('{"winner": 1', None, None),
        ('{"winner": 1, "score_1": 1' + "0" * 400 + ', "score_2": 1}', 1, None),
        ('{"winner": ' + "1" * 5000 + "}", None, None),
        ("{" * 3000, None, None),
        ('{"a":' * 100_000, None, None),
        ("[1]", None, None),
        ("", None, None),
    ],
)
def test_answers(raw, winner, scores):
    verdict = parse_verdict(raw)
    assert (verdict.winner, verdict.scores, verdict.raw) == (winner, scores, raw)


@given(st.text())
def test_any_answer_can_be_read(raw):
    assert parse_verdict(raw).winner in (None, 0, 1, 2)


@pytest.mark.parametrize("item_id", IDS[:8])
def test_a_fair_judge_says_the_same_both_ways(item_id):
    judge = Says(*[LENGTH.compare("", *clips) for clips in ((b"1", b"22"), (b"22", b"1"))])
    made = judge_pair(pair(item_id, b"1", b"22"), LENGTH)
    assert (made.outcome, made.winner, made.swap_winner) == ("baseline",) * 3
    assert judge_pair(pair(item_id, b"12", b"34"), LENGTH).outcome == "tie"
    judge_pair(pair(item_id, b"new", b"old"), judge)
    one, two = judge.heard
    assert one[1:] == tuple(reversed(two[1:]))
    assert one[1] == (b"new" if heard_first(item_id) == "candidate" else b"old")


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([first_wins(1), first_wins(1)], "tie"),  # it follows the position
        ([first_wins(1), first_wins(2)], "baseline"),  # "a" plays the baseline first
        ([first_wins(2), first_wins(1)], "candidate"),
        ([first_wins(1), first_wins(0)], "tie"),
        ([first_wins(2), "no idea"], "candidate"),
        (["no idea", first_wins(2)], "baseline"),
        (["no idea", "none"], "unparsed"),
        ([RowError("judge_failed", "503"), RowError("judge_failed", "503")], "unparsed"),
    ],
)
def test_two_verdicts_make_one(answers, outcome):
    made = judge_pair(pair("a"), Says(*answers))
    assert made.outcome == outcome
    if isinstance(answers[0], RowError):
        assert (made.raw, made.swap_raw) == ("judge_failed: 503",) * 2


def test_one_order_alone():
    made = judge_pair(pair("a"), Says(first_wins(2)), swap=False)
    assert (made.outcome, made.winner, made.swap_winner) == ("candidate", "candidate", None)
    assert judge_pair(pair("a"), Says("hm"), swap=False).outcome == "unparsed"


def test_failed_generations_are_never_heard():
    pairs = [pair(candidate=None), pair(baseline=None), pair(candidate=None, baseline=None)]
    outcomes = [made.outcome for made in judge_pairs(pairs, Says())]
    assert outcomes == ["candidate_failed", "baseline_failed", "both_failed"]


def test_win_rate_by_hand():
    counts = {"candidate": 3, "baseline": 2, "tie": 1, "unparsed": 2, "candidate_failed": 2}
    made = win_rate([judged(o, voice=str(i)) for o, n in counts.items() for i in range(n)], resamples=500)
    assert made.pairs == 10
    assert made.counts == counts | {"baseline_failed": 0, "both_failed": 0}
    assert made.wilson.estimate == made.bootstrap.estimate == pytest.approx(3.5 / 6)
    assert made.with_failures.estimate == pytest.approx((3.5 + 2 * 0.5) / 10)
    assert (made.if_unparsed_lost, made.if_unparsed_won) == pytest.approx((3.5 / 8, 5.5 / 8))
    other = stats.norm.ppf(0.975)  # Wilson's bounds solve (p - x)^2 = z^2 x (1 - x) / n
    for bound in (made.wilson.low, made.wilson.high):
        assert (3.5 / 6 - bound) ** 2 == pytest.approx(other**2 * bound * (1 - bound) / 6)


def test_published_win_rate():
    rows = [judged("candidate" if i < 156 else "baseline", voice=str(i)) for i in range(280)]
    made = win_rate(rows)
    assert (100 * made.wilson.low, 100 * made.wilson.high) == pytest.approx((49.9, 61.4), abs=0.05)  # [ref]
    exact = stats.binom(280, 156 / 280).ppf([0.025, 0.975]) / 280
    assert (made.bootstrap.low, made.bootstrap.high) == pytest.approx(tuple(exact), abs=0.005)


def test_no_verdicts():
    made = win_rate([judged("both_failed")])
    assert made.wilson == Interval(None, None, None)
    assert (made.if_unparsed_lost, made.with_failures.estimate) == (None, 0.5)
    assert win_rate([]).pairs == 0


@given(st.lists(st.sampled_from(OUTCOMES)))
def test_win_rates_of_both_add_to_one(outcomes):
    mirror = {"candidate": "baseline", "candidate_failed": "baseline_failed"}
    mirror |= {there: here for here, there in mirror.items()}
    here = win_rate([judged(o) for o in outcomes], resamples=10)
    there = win_rate([judged(mirror.get(o, o)) for o in outcomes], resamples=10)
    assert sum(here.counts.values()) == len(outcomes)
    for name in ("wilson", "with_failures"):
        if getattr(here, name).estimate is not None:
            assert getattr(here, name).estimate + getattr(there, name).estimate == pytest.approx(1)
    if here.if_unparsed_lost is not None:
        assert here.if_unparsed_lost <= here.if_unparsed_won
        assert here.if_unparsed_lost + there.if_unparsed_won == pytest.approx(1)


def test_a_judge_that_follows_the_position_is_found():
    biased = Says(*[first_wins(1)] * 2 * len(IDS))
    rows = judge_pairs([pair(item_id) for item_id in IDS], biased)
    audit = audit_positions(rows)
    assert (audit.decisive, audit.first_wins.estimate) == (800, 1.0)
    assert (audit.read_twice, audit.agreement.estimate) == (400, 0.0)
    assert win_rate(rows, resamples=10).wilson.estimate == 0.5

    fair = audit_positions(judge_pairs([pair(i, b"11", b"2") for i in IDS], LENGTH))
    assert (fair.first_wins.estimate, fair.agreement.estimate) == (0.5, 1.0)
    assert audit_positions([judged("unparsed")]).first_wins.estimate is None
