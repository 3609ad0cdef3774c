"""`python -m jobs.score_audio`: its exit code and settings; what it does is `voicemill score`'s."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from jobs import score_audio as job
from pipeline.config import RunConfig, load_config


@pytest.mark.parametrize(
    ("failed", "rejected", "code"), [(0, 0, 0), (1, 0, 1), (0, 1, 1)], ids=["ok", "failed", "rejected"]
)
def test_failed_and_rejected_rows_are_exit_code_1(
    failed: int, rejected: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[RunConfig] = []

    def score_audio(source: str, out: str, config: RunConfig, *_args: Any) -> dict[str, int]:
        asked.append(config)
        return {"failed": failed, "rejected": rejected}

    monkeypatch.setattr(job, "score_audio", score_audio)
    (tmp_path / "job.toml").write_text("[check]\nlanguage = 'de'\nmax_prompt_s = 20\n")
    given = ["m.csv", "out", "--config", f"{tmp_path}/job.toml", "check.language=fr"]
    monkeypatch.setattr(sys, "argv", ["score_audio", *given])
    assert job.main() == code
    assert asked == [load_config(None, ["check.language=fr", "check.max_prompt_s=20"])]
