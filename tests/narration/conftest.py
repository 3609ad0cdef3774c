from __future__ import annotations

import pytest
from made_runs_of_books import Speaker

from jobs import narration as job


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> Speaker:
    speaker = Speaker()
    monkeypatch.setattr(job, "clone_voices", speaker)
    monkeypatch.setattr(job, "refuse_conflicts", lambda *_: None)
    return speaker
