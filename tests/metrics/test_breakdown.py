from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_rows import chinese, failed, ok, summary_of

from pipeline.metrics.breakdown import CATEGORIES, OTHERS


def test_categories_by_hand():
    lost = failed("generate", "quarantined", target_text="four words were asked", category="numbers")
    summary = summary_of(
        ok(1, 10, category="questions", similarity=0.5),
        ok(3, 10, category="questions", similarity=0.75),
        ok(0, 4, category="numbers"),
        lost,
        chinese(1, 20, category="numbers"),
        ok(5, 10),
    )
    assert set(summary["by_category"]) == {"word", "char"}
    words = summary["by_category"]["word"]
    assert list(words) == ["", "numbers", "questions"]
    assert (words["questions"]["rows"], words["questions"]["macro"]) == (2, pytest.approx(0.2))
    assert words["questions"]["similarity"] == pytest.approx(0.625)
    assert (words["numbers"]["rows"], words["numbers"]["macro"]) == (1, 0.0)
    assert (words["numbers"]["rows_with_failures"], words["numbers"]["micro_with_failures"]) == (2, 0.5)
    assert words[""]["macro"] == 0.5
    chars = summary["by_category"]["char"]
    assert {name: entry["macro"] for name, entry in chars.items()} == {"numbers": pytest.approx(0.05)}
    assert summary_of(ok(1, 10, category="alone"))["by_category"] == {}


def test_a_manifest_that_has_an_id_for_a_category_does_not_swell_the_summary():
    words = summary_of(*(ok(i % 2, 10, category=f"c{i}") for i in range(CATEGORIES + 7)))["by_category"][
        "word"
    ]
    assert len(words) == CATEGORIES + 1
    assert words[OTHERS]["rows"] == 7
    assert words["c99"]["rows"] == 1


def test_the_worst_voices_come_first():
    rows = [ok(i, 10, prompt_id=f"id-{i}", prompt_audio=f"s3://b/voice-{i}.flac") for i in range(10)]
    ann = {"prompt_audio": "https://user:secret@host/ann.flac", "speaker": "Ann"}
    rows += [ok(1, 10, prompt_id="named", **ann), failed("g", "c", **ann)]
    rows += [failed("check_prompt", "uri_not_found", prompt_audio="gone.wav")]
    worst = summary_of(*rows)["worst_voices"]["word"]
    assert [entry["name"] for entry in worst[:4]] == ["gone", "voice-9", "voice-8", "voice-7"]
    assert worst[0] == {
        "voice": "gone.wav",
        "name": "gone",
        "rows": 0,
        "macro": None,
        "micro": None,
        "rows_with_failures": 1,
        "macro_with_failures": 1.0,
        "micro_with_failures": 1.0,
        "similarity": None,
    }
    ann = next(entry for entry in worst if entry["name"] == "Ann")
    assert ann["voice"] == "https://host/ann.flac"
    assert (ann["macro"], ann["macro_with_failures"]) == (pytest.approx(0.1), pytest.approx(0.55))
    assert len(worst) == 10
    assert summary_of(ok(1, 10, prompt_audio="alone"))["worst_voices"] == {}
    assert summary_of(ok(1, 10), ok(2, 10))["by_language"] == {}


def test_where_nobody_listened_failures_make_no_rate():
    lost = {"target_text": "eins zwei", "language": "de", "category": "numbers", "prompt_audio": "b"}
    deaf = {"status": "ok", "language": "de", "category": "numbers", "prompt_audio": "b", "speaker": "Ben"}
    summary = summary_of(
        ok(1, 10, language="en", category="questions", prompt_audio="a"),
        failed("g", "c", language="en", category="questions", prompt_audio="a", target_text="one two"),
        deaf,
        failed("g", "c", **lost),
        failed("g", "c", **lost),
    )
    german, english = summary["by_language"]["de"], summary["by_language"]["en"]
    nothing = {"rows": 0, "macro": None, "micro": None, "similarity": None}
    nothing |= {"rows_with_failures": 0, "macro_with_failures": None, "micro_with_failures": None}
    assert german == nothing | {"unit": "word"}
    assert english["macro_with_failures"] == pytest.approx((0.1 + 1.0) / 2)
    assert summary["by_category"]["word"]["numbers"] == nothing
    assert [entry["voice"] for entry in summary["worst_voices"]["word"]] == ["a"]
    # where none was accepted, that is what there is to say
    only = summary_of(ok(1, 10, language="en"), failed("g", "c", **lost))["by_language"]["de"]
    assert (only["rows"], only["macro_with_failures"]) == (0, 1.0)


@given(st.permutations(range(12)))
def test_the_order_of_the_rows_changes_nothing(order):
    rows = [
        ok(i % 5, 4 + i % 3, prompt_audio=f"v{i % 5}", similarity=i / 12, language=("en", "de")[i % 2])
        | ({"speaker": f"s{i % 4}"} if i % 3 else {})
        for i in range(11)
    ]
    rows.append(failed("g", "c", prompt_audio="v1", target_text="one two"))
    summary, other = summary_of(*rows), summary_of(*(rows[i] for i in order))
    assert flat(other) == pytest.approx(flat(summary))


def flat(value, name=""):
    """Every number and text by its path."""
    if not isinstance(value, (dict, list)):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {at: one for key, each in items for at, one in flat(each, f"{name}/{key}").items()}
