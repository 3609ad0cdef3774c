"""Rows of several voices, or of a described one, on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser
from page_here import DEEP, IDS, choose, complaints, needs_browser, row_of

pytestmark = needs_browser


def test_all_voices_of_a_dialogue_are_named_and_heard(chromium: Browser, talks: Path) -> None:
    chromium.open(talks)
    who = "[...{}.querySelectorAll('.who span')].slice(1).map(x => x.textContent)"
    players = "[...{}.querySelectorAll('.reference .what')].map(x => x.textContent)"
    told = {1: ["SPEAKER0 anna", "SPEAKER1 ben", "en"], 2: [f"SPEAKER0 “{DEEP}”", "SPEAKER1 ben", "en"],
            3: ["“feminine, slow”", "en"], 4: ["anna", "en"]}  # fmt: skip
    heard = {
        1: ["Reference SPEAKER0", "Reference SPEAKER1"],
        2: ["Reference SPEAKER1"],
        3: [],
        4: ["Reference"],
    }
    for i in range(1, 5):
        assert chromium.js(who.format(row_of(f"utt-{i}"))) == told[i]
        assert chromium.js(players.format(row_of(f"utt-{i}"))) == heard[i]
    details = [chromium.js(f"{row_of(f'utt-{i}')}.querySelector('dl').textContent") for i in range(1, 5)]
    assert "SPEAKER0Anna said this.what the reference saysSPEAKER1Ben said that." in details[0]
    assert f"SPEAKER0{DEEP}the voice, as described" in details[1]
    assert "SPEAKER1ben saidthe reference, as heard" in details[1]
    assert "voicefeminine, slowthe voice, as described" in details[2]
    assert "reference saysAnna said this." in details[3]
    chromium.js(f"{row_of('utt-1')}.querySelectorAll('.reference .play')[1].click()")
    chromium.wait_for("audio.readyState >= 2 && audio.currentTime > 0")
    assert chromium.js("audio.duration") == pytest.approx(0.9, abs=0.001), "Ben's"
    assert complaints(chromium) == []


def test_a_row_is_found_by_any_of_its_voices(chromium: Browser, talks: Path) -> None:
    chromium.open(talks)
    options = "[...document.querySelectorAll('#voice option')].map(x => x.textContent)"
    assert chromium.js(options) == ["all", "anna (2)", "ben (2)", "feminine, slow (1)", f"{DEEP} (1)"]
    for name, found in (("anna", [1, 4]), ("ben", [1, 2]), ("feminine, slow", [3]), (DEEP, [2])):
        choose(chromium, "voice", name)
        assert sorted(chromium.js(IDS)) == [f"utt-{i}" for i in found]
    choose(chromium, "voice", "")
    choose(chromium, "search", "deep")
    chromium.wait_for(f"{IDS}.join() === 'utt-2'")
