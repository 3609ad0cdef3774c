from __future__ import annotations

from small_runs import failed, judged, spoken, take

from pipeline.records import RESULT_ROW, Row, to_table
from pipeline.report.entries import entry_of
from pipeline.report.rows import rate_of, worst_first


def rows(*made: Row) -> list[Row]:
    return to_table(list(made), RESULT_ROW).to_pylist()


def test_the_worst_come_first_and_what_cannot_be_heard_last() -> None:
    made = rows(
        failed(1),
        spoken(2, "a b", "a b"),
        spoken(3, "a b", None, unscored_reason="too long"),
        spoken(4, "a b", "a c", similarity=0.9),
        spoken(5, "a b", "a c", similarity=0.1),
        spoken(6, "a b", "a c", similarity=None),
        spoken(7, "a b", "c d e", similarity=0.9),
    )
    assert [row["row"] for row in worst_first(made)] == [7, 5, 4, 6, 2, 3, 1]


def test_what_the_gates_did_not_pass_comes_before_the_rest() -> None:
    made = rows(
        spoken(1, "a b", "c d"),
        failed(2),
        judged(spoken(3, "a b", "a b"), "warned", [take(0, "x: y")]),
        judged(spoken(4, "a b", "a b"), "rejected", [take(0, "x: y")]),
        judged(spoken(5, "a b", "a c"), "rejected", [take(0, "x: y")]),
    )
    assert [row["row"] for row in worst_first(made)] == [5, 4, 3, 1, 2]


def test_a_language_is_judged_by_its_unit() -> None:
    [japanese, english] = rows(
        spoken(1, "今日は", "今日わ", language="ja"), spoken(2, "today is", "today was", language="en")
    )
    assert (japanese["wer"], rate_of(japanese)) == (1.0, 1 / 3)
    assert (rate_of(english), entry_of(english)["unit"]) == (0.5, "word")
    assert entry_of(japanese)["counts"] == [1, 0, 0, 3]


def test_an_entry_leaves_out_what_is_not_there() -> None:
    [row] = rows(spoken(1, "a b", "a c", prompt_text="Said.", speaker="anna", seconds=0.25))
    assert entry_of(row) == {
        "row": 1, "id": "utt-1", "status": "ok", "unit": "word", "rate": 0.5, "counts": [1, 0, 0, 2], "sim": 0.5,
        "s": 0.25, "voice": ["anna"], "lang": "en", "text": "a b", "heard": "a c",
        "diff": [["=", "a", "a"], ["s", "b", "c"]], "prompt": "Said.",
        "more": [["seed", str(2**62 + 1)], ["finish_reason", "eos"]],
    }  # fmt: skip
    [row] = rows(failed(2))
    assert {"status": "failed", "code": "uri_not_found", "stage": "check_prompt"}.items() <= entry_of(
        row
    ).items()
    [row] = rows(spoken(4, "a", "a", similarity_ground_truth=0.75, category="questions"))
    assert (entry_of(row)["sim"], entry_of(row)["simTruth"]) == (0.5, 0.75)
    assert entry_of(row)["category"] == "questions"
    [row] = rows(spoken(3, "a", "a", wer=float("nan"), similarity=float("inf")))
    assert not {"rate", "sim"} & entry_of(row).keys(), "JSON has no such numbers"
