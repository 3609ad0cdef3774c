"""Many rows, some of them bad in 52 ways: exactly those fail, each with its code."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import mixed_faults

ROWS = 1000
HOW = {"share": 0.08, "voices": 10, "seed": 1}


def test_exactly_what_was_planted_fails(tmp_path: Path) -> None:
    assert mixed_faults.run(tmp_path, ROWS, **HOW) == []
    # a check that finds nothing wrong in any case would be none
    (tmp_path / "again").mkdir()
    planted = mixed_faults.plant(tmp_path / "again", ROWS, **HOW)
    first, second, *_ = sorted(planted.failing)
    planted.failing[first] = (None, "another_code")
    del planted.failing[second]
    wrong = mixed_faults.differences(planted, ROWS, str(tmp_path / "run"))
    assert {said.split(" (")[0] for said in wrong[:2]} == {f"row {first}", f"row {second}"}
    assert wrong[2].startswith("summary.json counts")
    assert len(wrong) == 3


def test_every_kind_of_fault_is_planted(tmp_path: Path) -> None:
    planted = mixed_faults.plant(tmp_path, 200, share=0.3, voices=3, seed=0)
    assert set(planted.later.values()) == mixed_faults.LATER.keys() | mixed_faults.DEADLY.keys()
    known_before = {code for stage, code in planted.failing.values() if stage is None}
    assert known_before == {code for code, _ in mixed_faults.FAULTY}
    assert len(planted.failing) == 60
