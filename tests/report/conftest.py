from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, find_browser
from page_here import DEEP, report
from small_runs import spoken, tone, voice, voice_file


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    assert program is not None
    with browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    anna, ben = voice_file(tmp_path, "anna"), str(tmp_path / "ben.flac")
    Path(ben).write_bytes(tone(0.9, 300.0))
    late = "[SPEAKER0] Is it late? [SPEAKER1] It is."
    rows = [
        spoken(1, late, "is it", prompt_audio=anna, prompt_text="Anna said this.", similarity=0.4,
               voices=[voice(anna, "Anna said this."), voice(ben, "Ben said that.")]),
        spoken(2, late, "it is", prompt_audio=ben, prompt_text_heard="ben said",
               voices=[voice(description=DEEP), voice(ben)]),
        spoken(3, "It is late.", "it is", voices=[voice(description="feminine, slow")]),
        spoken(4, "It is late.", "it is late", prompt_audio=anna, prompt_text="Anna said this."),
    ]  # fmt: skip
    return report(tmp_path, rows)
