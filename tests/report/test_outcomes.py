from __future__ import annotations

import pytest
from small_runs import failed, judged, spoken, take

from pipeline.records import RESULT_ROW, Row, to_table
from pipeline.report.entries import entry_of
from pipeline.report.outcomes import Gates, ReasonCount, gates_of, outcome_of, reason_codes


def rows(*made: Row) -> list[Row]:
    return to_table(list(made), RESULT_ROW).to_pylist()


WORSE = "wer: 0.5 is over 0.3"
UNLIKE = "similarity: 0.1 is under 0.4"


@pytest.fixture
def made() -> list[Row]:
    said = "one two three four"
    return rows(
        judged(spoken(1, said, said), "passed", [take(0)]),
        judged(spoken(2, said, said), "passed", [take(0, WORSE, wer=0.5), take(1, wer=0.0)]),
        judged(spoken(3, said, said), "warned", [take(0, UNLIKE), take(1, UNLIKE, WORSE, wer=1.0)], counts=0),
        judged(spoken(4, said, "one"), "rejected", [take(0, WORSE, UNLIKE, wer=0.75)]),
        judged(failed(5), None, [take(0, "failed: no_codes", status="failed", error_code="no_codes")]),
        failed(6),
        spoken(7, said, said),
    )


def test_what_became_of_each_row(made: list[Row]) -> None:
    assert [outcome_of(row) for row in made] == [
        *("passed", "repaired", "warned", "rejected"),
        *(None, None, None),
    ]
    assert [reason_codes(row) for row in made] == [
        *([], ["wer"], ["similarity", "wer"], ["wer", "similarity"]),
        *(["failed"], [], []),
    ]


def test_takes_beyond_the_first_pass_do_not_make_a_repair() -> None:
    # where all takes are made whatever the first is, the best may be a later one
    [row] = rows(judged(spoken(1, "a", "a"), "passed", [take(0, wer=0.25), take(1)]))
    assert outcome_of(row) == "passed"
    [row] = rows(judged(spoken(1, "a", "a"), "passed", [take(0, status="failed"), take(1)]))
    assert outcome_of(row) == "repaired"


def test_the_account_of_a_run(made: list[Row]) -> None:
    assert gates_of(made) == Gates(
        judged=5,
        takes=7,
        rows={"passed": 1, "repaired": 1, "warned": 1, "rejected": 1},
        reasons=[
            ReasonCount("wer", "word error rate", 3, 1, 1, 1),
            ReasonCount("similarity", "similarity to the reference", 2, 0, 1, 1),
            ReasonCount("failed", "could not be made", 1, 0, 0, 0),
        ],
        within=[(1, 1 / 5), (2, 2 / 5)],
        # rows 2 and 3: 0.5 and 0 at first, 0 and 0 of the takes that count
        gains=[
            "mean WER 25.0\u202f% of first takes, 0.0\u202f% of those that count (2 rows)",
            "mean similarity 0.500 of first takes, 0.500 of those that count (2 rows)",
        ],
    )


def test_gains_go_by_the_unit_of_the_language() -> None:
    [row] = rows(
        judged(
            spoken(1, "今日は", "今日は", language="ja"),
            "passed",
            [take(0, "cer: 0.5 is over 0.3", wer=1.0, cer=0.5), take(1)],
        )
    )
    found = gates_of([row])
    assert found is not None
    assert found.gains[0] == "mean CER 50.0\u202f% of first takes, 0.0\u202f% of those that count (1 row)"
    assert not any("WER" in line for line in found.gains)
    assert entry_of(row)["takes"][0]["rate"] == 0.5


def test_an_old_run_was_not_judged() -> None:
    [row] = rows(spoken(1, "a", "a"))
    assert gates_of([row]) is None
    assert not {"gate", "reasons", "codes", "takes"} & entry_of(row).keys()
    older = {name: value for name, value in row.items() if name not in ("gate", "gate_reasons", "takes")}
    assert entry_of(older) == entry_of(row)


def test_an_entry_tells_of_every_take(made: list[Row]) -> None:
    assert entry_of(made[1])["takes"] == [
        {"rate": 0.5, "sim": 0.5, "s": 0.5, "seed": str(2**62), "reasons": [WORSE]},
        {"counts": True, "rate": 0.0, "sim": 0.5, "s": 0.5, "seed": str(2**62 + 1)},
    ]
    assert entry_of(made[2])["reasons"] == [UNLIKE]
    assert entry_of(made[4])["takes"][0]["failed"] == "no_codes"
    assert "counts" not in entry_of(made[4])["takes"][0], "there is nothing to hear"
