"""By hand, and by enumerating every choice of k takes with itertools."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import GatesConfig
from pipeline.metrics.gates import gate
from pipeline.metrics.takes import (
    TakesAccount,
    best_of_k,
    best_take,
    decide,
    pass_at_k,
    passed_within,
    take_order,
    take_seed,
    was_spoken,
)
from pipeline.records import TAKE_FIELDS

LIMITS = GatesConfig(max_wer=0.3, min_similarity=0.5)


def take(number, wer, similarity=0.8, **more):
    return {
        "status": "ok",
        "language": "en",
        "take": number,
        "wer": wer,
        "cer": 0.0,
        "similarity": similarity,
        "finish_reason": "eos",
        **more,
    }


def failed(number):
    return {
        "status": "failed",
        "language": "en",
        "take": number,
        "error_code": "oom",
        "failed_stage": "decode_codes",
    }


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (take(1, 9.0, 0.0), failed(0)),  # any sound before none
        (take(1, 0.3), take(0, 0.0, 0.4)),  # passing before a lower rate
        (take(1, 0.9), take(0, 0.4, 0.4)),  # one reason before two
        (take(1, 0.1, 0.6), take(0, 0.2, 0.9)),
        (take(1, 0.1, 0.9), take(0, 0.1, 0.6)),
        (take(0, 0.1), take(1, 0.1)),
        (take(1, 0.1), take(0, None)),
        (take(1, 0.1, 0.5), take(0, 0.1, None)),
        (take(1, 0.2, language="zh", cer=0.1), take(0, 0.1, language="zh", cer=0.2)),  # characters there
    ],
)
def test_order_of_takes(better, worse):
    assert best_take([worse, better], LIMITS) is better
    assert best_take([better, worse], LIMITS) is better


TAKES = st.lists(
    st.builds(
        take,
        st.integers(0, 5),
        st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.3, 0.7, float("nan")])),
        st.one_of(st.none(), st.sampled_from([0.2, 0.5, 0.9, float("nan")])),
        finish_reason=st.sampled_from(["eos", "length"]),
    )
    | st.builds(failed, st.integers(0, 5)),
    min_size=1,
    max_size=5,
    unique_by=lambda row: row["take"],
)


@given(TAKES, st.randoms())
def test_the_best_does_not_depend_on_the_order_and_passes_if_one_does(takes, random):
    best = best_take(takes, LIMITS)
    shuffled = random.sample(takes, len(takes))
    assert best_take(shuffled, LIMITS) is best
    assert sorted(shuffled, key=lambda row: take_order(row, LIMITS))[0] is best
    if any(not gate(row, LIMITS) for row in takes):
        assert not gate(best, LIMITS)


def of(max_takes, **more):
    return replace(LIMITS, max_takes=max_takes, otherwise="reject", **more)


def test_decisions():
    good, bad, worse = take(2, 0.1), take(1, 0.5), take(0, 0.9)
    assert decide([worse], of(3)).outcome == "again"
    passed = decide([worse, bad, good], of(3))
    assert (passed.outcome, passed.best, passed.reasons) == ("passed", good, ())
    assert decide([good], of(3)).outcome == "passed"
    assert decide([good], of(3, all_takes=True)).outcome == "again"
    rejected = decide([worse, bad], of(2))
    assert (rejected.outcome, rejected.best) == ("rejected", bad)
    assert rejected.reasons == ("wer: 0.5 is over 0.3",)
    warned = decide([worse, bad], replace(LIMITS, max_takes=2, otherwise="warn"))
    assert (warned.outcome, warned.reasons) == ("warned", rejected.reasons)
    assert decide([failed(0)], of(1)).outcome == "failed"  # nothing to reject or to warn of
    with pytest.raises(ValueError, match="empty"):
        decide([], of(1))


@pytest.mark.parametrize(
    ("stage", "code", "again"),
    [
        ("decode_codes", "no_audio_generated", True),
        ("generate_codes", "generation_timeout", True),
        ("generate_codes", "prompt_too_long", False),
        ("check", "empty_text", False),
        ("encode_prompt", "audio_silent", False),
    ],
)
def test_no_other_take_for_what_no_seed_can_mend(stage, code, again):
    row = failed(0) | {"failed_stage": stage, "error_code": code}
    assert was_spoken(row) is again
    assert decide([row], of(3)).outcome == ("again" if again else "failed")


def test_seeds_of_takes():
    assert take_seed(7, 0) == 7
    # printf '7:take 1' | sha256sum
    digest = "c49cf201aec4546f"
    assert take_seed(7, 1) == int(digest, 16) >> 1
    assert len({take_seed(7, n) for n in range(100)} | {take_seed(8, n) for n in range(100)}) == 200


@given(st.integers(1, 7), st.data())
def test_pass_at_k_by_enumeration(takes, data):
    passed, k = data.draw(st.integers(0, takes)), data.draw(st.integers(1, takes))
    outcomes = [True] * passed + [False] * (takes - passed)
    assert pass_at_k(takes, passed, k) == pytest.approx(fmean(map(any, combinations(outcomes, k))))


def test_pass_at_k_is_the_papers_product():
    # Chen et al. 2021, figure 3: 1 - prod(1 - k / arange(n - c + 1, n + 1))
    product = 1.0
    for i in range(200 - 13 + 1, 201):
        product *= 1 - 10 / i
    assert pass_at_k(200, 13, 10) == pytest.approx(1 - product)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=7), st.data())
def test_best_of_k_by_enumeration(values, data):
    k = data.draw(st.integers(1, len(values)))
    choices = list(combinations(values, k))
    assert best_of_k(values, k) == pytest.approx(fmean(map(min, choices)), abs=1e-9)
    assert best_of_k(values, k, lowest=False) == pytest.approx(fmean(map(max, choices)), abs=1e-9)


@pytest.mark.parametrize(("takes", "passed", "k"), [(3, 4, 1), (3, 1, 4), (3, 1, 0), (0, 0, 1), (3, -1, 1)])
def test_what_is_not_defined(takes, passed, k):
    with pytest.raises(ValueError, match="is not defined"):
        pass_at_k(takes, passed, k)
    with pytest.raises(ValueError, match="is not defined"):
        best_of_k([0.0] * 3, 4)


def test_passed_within():
    assert [passed_within([1, 1, 2, None], k) for k in (1, 2, 3)] == [0.5, 0.75, 0.75]
    assert passed_within([], 1) is None


def result(takes, gates=LIMITS, **more):
    """A result row of these takes, as `judge_takes` makes it."""
    told = dict.fromkeys(TAKE_FIELDS)
    row = {"language": "en", "gate_reasons": None} | more
    of = gates if len(takes) == gates.max_takes else replace(gates, max_takes=len(takes))
    decision = decide(takes, of)
    accounts = [told | one | {"reasons": list(gate(one, gates))} for one in takes]
    gate_said = None if decision.outcome == "failed" else decision.outcome
    return row | {"take": decision.best["take"], "gate": gate_said, "takes": accounts}


def summarise_takes(rows, *, all_takes=False):
    account = TakesAccount(all_takes=all_takes)
    for row in rows:
        account.add(row)
    return account.summary()


def test_summary_by_hand():
    summary = summarise_takes(
        [
            result([take(0, 0.1)]),
            result([take(0, 0.9, 0.1), take(1, 0.0)]),
            result([take(0, 0.9), take(1, 0.5), failed(2)]),
            {"takes": None, "gate": None},  # bad in the manifest
        ]
    )
    assert json.loads(json.dumps(summary, allow_nan=False)) == {
        "rows": 3,
        "takes": 6,
        "passed_first": 1,
        "repaired": 1,
        "never_passed": 1,
        "warned": 1,
        "rejected": 0,
        "passed_within": {"1": 1 / 3, "2": 2 / 3, "3": 2 / 3},
        "pass_at_k": None,
        "wer_best_of_k": None,
        "cer_best_of_k": None,
        "reasons": {"failed": 1, "similarity": 1, "wer": 3},
        "reasons_never_passed": {"wer": 1},
        "wer_first": pytest.approx((0.1 + 0.9 + 0.9) / 3),
        "wer_best": pytest.approx((0.1 + 0.0 + 0.5) / 3),
        "cer_first": None,  # no row is judged by characters
        "cer_best": None,
        "similarity_first": pytest.approx((0.8 + 0.1 + 0.8) / 3),
        "similarity_best": pytest.approx(0.8),
    }
    assert summarise_takes([]) is None


def test_summary_of_a_settled_number_of_takes():
    rows = [result([take(0, 0.5), take(1, 0.1)]), result([take(0, 0.7), take(1, 0.9)])]
    summary = summarise_takes(rows, all_takes=True)
    # one of the first row's two takes passes, none of the second's
    assert summary["pass_at_k"] == {"1": pytest.approx(0.25), "2": pytest.approx(0.5)}
    assert summary["wer_best_of_k"] == {
        "1": pytest.approx((0.3 + 0.8) / 2),
        "2": pytest.approx((0.1 + 0.7) / 2),
    }
    assert summary["cer_best_of_k"] is None
    unheard = summarise_takes([*rows, result([take(0, 0.1), failed(1)])], all_takes=True)
    assert unheard["pass_at_k"] is not None
    assert unheard["wer_best_of_k"] is None


def test_equal_numbers_of_takes_are_not_settled_ones():
    # each round ended at its first pass: the second take was made because the first had not passed
    summary = summarise_takes([result([take(0, 0.9), take(1, 0.1)])] * 3)
    assert summary["passed_within"] == {"1": 0.0, "2": 1.0}
    assert (summary["pass_at_k"], summary["wer_best_of_k"]) == (None, None)


def test_words_and_characters_have_means_of_their_own():
    chinese = [take(n, 9.0, language="zh", cer=n / 10) for n in (1, 2)]
    english = [take(0, 0.5), take(1, 0.1)]
    rows = [result(chinese, language="zh"), result(english)]
    summary = summarise_takes(rows, all_takes=True)
    assert summary["cer_best_of_k"] == {"1": pytest.approx(0.15), "2": pytest.approx(0.1)}
    assert summary["wer_best_of_k"] == {"1": pytest.approx(0.3), "2": pytest.approx(0.1)}
    assert (summary["wer_first"], summary["wer_best"]) == (0.5, 0.1)
    assert (summary["cer_first"], summary["cer_best"]) == (0.1, 0.1)
    assert summary["similarity_first"] == pytest.approx(0.8)


def test_rows_of_one_take_are_counted_not_held():
    account = TakesAccount(all_takes=False)
    rows = [result([take(0, i / 5000, i / 5000)]) for i in range(5000)]
    account.add(rows[0])
    tracemalloc.start()
    try:
        for row in rows[1:]:
            account.add(row)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * len(rows)  # bytes: a quarter of a number a row
    assert account.summary()["wer_best"] == pytest.approx(fmean(i / 5000 for i in range(5000)))
