"""The page in a real browser: it is heard, it filters, it obeys nobody's manifest, it fits a phone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from browser import Browser
from page_here import IDS, choose, complaints, needs_browser, report, row_of
from small_runs import failed, judged, spoken, take, tone, voice, voice_file, write_run

from pipeline.commit import ShardLog
from pipeline.records import to_table
from pipeline.report.write import write_report
from pipeline.results import result_schema
from pipeline.storage import open_store

pytestmark = needs_browser
EVIL = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2><b onclick=window.hacked=3>x"
)
COUNT = "document.getElementById('count').textContent"
PLAYER = "document.querySelector('.row .{} .play').click()"


def requests(chromium: Browser) -> list[str]:
    sent = (event for event in chromium.events if event["method"] == "Network.requestWillBeSent")
    return [event["params"]["request"]["url"] for event in sent]


@pytest.fixture
def some(tmp_path: Path) -> Path:
    anna, ben = voice_file(tmp_path, "anna"), voice_file(tmp_path, "ben", 300.0)
    rows = [
        spoken(1, "one two three four", "one two three four", prompt_audio=anna, seconds=0.5, similarity=0.9),
        spoken(
            2,
            "one two three four six",
            "one too four six five",
            prompt_audio=ben,
            seconds=0.75,
            similarity=0.4,
        ),
        spoken(3, "今日はいい天気", "今日わいい天気", prompt_audio=ben, language="ja", similarity=0.6),
        spoken(4, "السلام عليكم", "السلام", prompt_audio=anna, language="ar", seconds=1.25),
        failed(5, prompt_audio=anna),
    ]
    return report(tmp_path, rows)


def test_players_play(chromium: Browser, some: Path) -> None:
    chromium.open(some)
    assert chromium.js(IDS) == ["utt-2", "utt-4", "utt-3", "utt-1", "utt-5"]
    chromium.js(PLAYER.format("result"))
    chromium.wait_for("audio.readyState >= 2 && audio.currentTime > 0")
    assert chromium.js("audio.src.startsWith('blob:')")
    assert chromium.js("audio.duration") == pytest.approx(0.75, abs=0.001)
    assert chromium.js("document.querySelector('.row .result').classList.contains('playing')")
    label = "document.querySelector('.row .result .play').getAttribute('aria-label')"
    assert chromium.js(label) == "Pause the result of utt-2"
    chromium.js(PLAYER.format("reference"))
    chromium.wait_for(
        "audio.readyState >= 2 && audio.currentTime > 0 && Math.abs(audio.duration - 1.5) < 0.001"
    )
    assert chromium.js("document.querySelectorAll('.playing').length") == 1, "one voice at a time"
    chromium.js("(() => { const s = document.querySelector('.row .reference input'); s.value = 0.8;"
                " s.dispatchEvent(new Event('input')); audio.pause(); })()")  # fmt: skip
    chromium.wait_for("Math.abs(audio.currentTime - 1.2) < 0.2")
    assert chromium.js("document.querySelectorAll('.row')[4].querySelector('.result')") is None, "it failed"
    assert complaints(chromium) == []


def test_linked_players_play_and_say_when_they_cannot(chromium: Browser, tmp_path: Path) -> None:
    rows = [spoken(1, "a b", "a"), spoken(2, "a b", "a b")]
    (tmp_path / "run" / "audio").mkdir(parents=True)
    for row in rows:
        (tmp_path / "run" / "audio" / f"{row['utterance_id']}.flac").write_bytes(tone(0.5))
    chromium.open(report(tmp_path, rows, audio="link"))
    chromium.js(PLAYER.format("result"))
    chromium.wait_for("audio.readyState >= 2")
    assert chromium.js("audio.duration") == pytest.approx(0.5, abs=0.001)
    (tmp_path / "run" / "audio" / "utt-2.flac").unlink()
    chromium.js("document.querySelectorAll('.row .result .play')[1].click()")
    chromium.wait_for("document.querySelectorAll('.row')[1].textContent.includes('file not found here')")


def test_words_are_coloured_by_what_happened_to_them(chromium: Browser, some: Path) -> None:
    chromium.open(some)
    first = "document.querySelector('.row .heard')"
    # one [two -> too] -three- four six +five+
    assert chromium.js(f"[...{first}.querySelectorAll('.sub')].map(x => x.textContent)") == ["twotoo"]
    assert chromium.js(f"[...{first}.querySelectorAll(':scope > del')].map(x => x.textContent)") == ["three"]
    assert chromium.js(f"[...{first}.querySelectorAll(':scope > ins')].map(x => x.textContent)") == ["five"]
    colours = chromium.js(
        f"[...{first}.querySelectorAll('.sub del, :scope > del, :scope > ins')].map(x => getComputedStyle(x).color)"
    )
    assert len(set(colours)) == 3
    assert chromium.js("document.querySelectorAll('.row .heard')[3].textContent") == "heardas asked"


def test_filters_filter_and_sorts_sort(chromium: Browser, some: Path) -> None:
    chromium.open(some)
    assert chromium.js(COUNT) == "5 rows"
    choose(chromium, "voice", "ben")
    assert chromium.js(IDS) == ["utt-2", "utt-3"]
    choose(chromium, "lang", "ja")
    assert (chromium.js(IDS), chromium.js(COUNT)) == (["utt-3"], "1 row (of 5)")
    chromium.js("document.getElementById('clear').click()")
    assert (chromium.js(COUNT), chromium.js("document.getElementById('clear').hidden")) == ("5 rows", True)
    choose(chromium, "status", "failed")
    assert chromium.js(IDS) == ["utt-5"]
    choose(chromium, "status", "")
    choose(chromium, "search", "FOUR too")
    chromium.wait_for(f"{IDS}.join() === 'utt-2'")
    choose(chromium, "search", "nobody said this")
    chromium.wait_for("document.querySelector('.none')?.textContent === 'No row matches.'")
    choose(chromium, "search", "")
    chromium.wait_for(f"{COUNT} === '5 rows'")
    choose(chromium, "sort", "unlike")
    assert chromium.js(IDS) == ["utt-2", "utt-4", "utt-3", "utt-1", "utt-5"]
    choose(chromium, "sort", "long")
    assert chromium.js(IDS)[:2] == ["utt-4", "utt-2"]
    choose(chromium, "sort", "row")
    assert chromium.js(IDS) == [f"utt-{i}" for i in range(1, 6)]
    chromium.js("document.querySelector('[data-code=uri_not_found]').click()")
    assert chromium.js(IDS) == ["utt-5"]


def test_a_failure_s_button_shows_the_rows_that_it_counts(chromium: Browser, tmp_path: Path) -> None:
    """Not those that only speak of the code, nor those that failed with it elsewhere."""
    spoken_of = "after uri_not_found in check_prompt"
    rows = [
        failed(1),
        failed(2),
        failed(3, failed_stage="load_prompt"),
        failed(4, "row_quarantined", error_message=spoken_of),
        failed(5, "row_quarantined", failed_stage=None),
        spoken(6, spoken_of, spoken_of),
    ]
    chromium.open(report(tmp_path, rows))
    buttons = "[...document.querySelectorAll('[data-code]')]"
    labels = chromium.js(f"{buttons}.map(x => x.textContent)")
    assert sorted(labels) == [
        "1 row_quarantined in check_prompt",
        "1 row_quarantined in unknown",
        "1 uri_not_found in load_prompt",
        "2 uri_not_found in check_prompt",
    ]
    for i, label in enumerate(labels):
        chromium.js(f"{buttons}[{i}].click()")
        assert len(chromium.js(IDS)) == int(label[0]), label
    shown = "document.querySelector('#status option:checked').textContent"
    assert chromium.js(shown).startswith("failed: ")
    chromium.js("document.getElementById('clear').click()")
    assert chromium.js(COUNT) == "6 rows"


def test_a_silent_clip_is_scored_and_has_a_note(chromium: Browser, tmp_path: Path) -> None:
    silent = spoken(1, "one two", "", unscored_reason="no speech in the clip")
    chromium.open(report(tmp_path, [silent]))
    row = row_of("utt-1")
    assert chromium.js(f"{row}.querySelector('.big').textContent") == "100\u202f% WER"
    assert "noteno speech in the clip" in chromium.js(f"{row}.querySelector('dl').textContent")


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    anna = voice_file(tmp_path, "anna")
    text = "one two three four"
    worse, unlike = "wer: 0.5 is over 0.3", "similarity: 0.1 is under 0.4"
    rows = [
        judged(spoken(1, text, text, prompt_audio=anna), "passed", [take(0)]),
        judged(
            spoken(2, text, text, prompt_audio=anna),
            "passed",
            [take(0, worse, wer=0.5, similarity=0.25), take(1, "failed: no_codes", status="failed",
             error_code="no_codes", wer=None, similarity=None, duration_s=None), take(2)],
        ),
        judged(spoken(3, text, "one two three", leading_silence_s=1.25, dnsmos_ovrl=2.5, language_heard="fr"),
               "warned", [take(0, unlike), take(1, worse, unlike)], counts=0),
        judged(spoken(4, text, "one", seconds=0.8, prompt_audio=anna), "rejected",
               [take(0, worse, unlike, wer=0.75)]),
        failed(5),
    ]  # fmt: skip
    return report(tmp_path, rows)


def test_takes_are_shown_and_which_of_them_counts(chromium: Browser, gated: Path) -> None:
    chromium.open(gated)
    assert chromium.js(IDS) == ["utt-4", "utt-3", "utt-1", "utt-2", "utt-5"]
    second = row_of("utt-2")
    assert chromium.js(f"{second}.querySelector('.verdict').textContent") == "repaired"
    assert chromium.js(f"{second}.querySelector('details summary').textContent") == "3 takes, the 3rd counts"
    cells = chromium.js(f"[...{second}.querySelectorAll('.takes td')].map(x => x.textContent)")
    assert cells == [
        *("1", "50\u202f%", "0.25", "0.5 s", f"word error rate: 0.5 is over 0.3 seed {2**62}"),
        *("2", "–", "–", "–", f"failed: no_codes seed {2**62 + 1}"),
        *("3", "0\u202f%", "0.50", "0.5 s", f"this one counts: passed seed {2**62 + 2}"),
    ]
    assert chromium.js(f"{row_of('utt-1')}.querySelector('.takes, .verdict')") is None, "no news"
    reasons = chromium.js(f"{row_of('utt-3')}.querySelector('.reasons').textContent")
    assert reasons == "Warned similarity to the reference: 0.1 is under 0.4"
    details = chromium.js(f"{row_of('utt-3')}.querySelector('dl').textContent")
    for said in ("1.25 s before", "fr; asked for en", "DNSMOS2.5"):
        assert said in details


def test_rows_are_found_by_gate_and_reason(chromium: Browser, gated: Path) -> None:
    chromium.open(gated)
    options = "[...document.querySelectorAll('#{} option')].map(x => x.textContent)"
    assert chromium.js(options.format("reason")) == [
        *("all", "could not be made (1)", "similarity to the reference (2)", "word error rate (3)")
    ]
    choose(chromium, "gate", "repaired")
    assert chromium.js(IDS) == ["utt-2"]
    choose(chromium, "gate", "")
    choose(chromium, "reason", "similarity")
    assert chromium.js(IDS) == ["utt-4", "utt-3"]
    choose(chromium, "gate", "warned")
    assert chromium.js(IDS) == ["utt-3"]
    choose(chromium, "status", "failed")
    assert chromium.js(IDS) == []
    chromium.js("document.getElementById('clear').click()")
    assert chromium.js(COUNT) == "5 rows"
    chromium.js("document.querySelector('[data-reason=wer]').click()")
    assert chromium.js(IDS) == ["utt-4", "utt-3", "utt-2"]
    chromium.js("document.querySelector('button[data-gate=rejected]').click()")
    assert chromium.js(IDS) == ["utt-4"], "one choice replaces the other"
    assert complaints(chromium) == []


def test_a_run_without_gates_has_no_controls_for_them(chromium: Browser, some: Path) -> None:
    chromium.open(some)
    shown = (
        "['voice', 'lang', 'category', 'gate', 'reason', 'status']"
        ".filter(id => document.getElementById(id).offsetHeight)"
    )
    assert chromium.js(shown) == ["voice", "lang", "status"]


def test_rows_are_found_by_category(chromium: Browser, tmp_path: Path) -> None:
    rows = [
        spoken(1, "a b", "a", category="questions"),
        spoken(2, "a b", "a b", category="questions"),
        spoken(3, "a b", "a b", category=EVIL),
        spoken(4, "a b", "a b"),
    ]
    chromium.open(report(tmp_path, rows))
    options = "[...document.querySelectorAll('#category option')].map(x => x.textContent)"
    assert sorted(chromium.js(options)) == sorted(["all", f"{EVIL} (1)", "questions (2)"])
    choose(chromium, "category", "questions")
    assert (chromium.js(IDS), chromium.js(COUNT)) == (["utt-1", "utt-2"], "2 rows (of 4)")
    assert "categoryquestions" in chromium.js(f"{row_of('utt-1')}.querySelector('dl').textContent")
    chromium.js("document.getElementById('clear').click()")
    assert chromium.js(COUNT) == "4 rows"
    assert chromium.js("window.hacked") is None
    assert complaints(chromium) == []


def test_what_was_rejected_can_be_heard(chromium: Browser, gated: Path) -> None:
    chromium.open(gated)
    assert chromium.js(f"{row_of('utt-4')}.querySelector('.result .what').textContent") == "Best take"
    chromium.js(PLAYER.format("result"))
    chromium.wait_for("audio.readyState >= 2 && audio.currentTime > 0")
    assert chromium.js("audio.duration") == pytest.approx(0.8, abs=0.001)
    reasons = chromium.js(f"{row_of('utt-4')}.querySelector('.reasons').textContent")
    assert reasons.startswith("Rejected word error rate: 0.5 is over 0.3; similarity")
    assert complaints(chromium) == []


def test_sound_that_has_not_arrived_plays_when_it_has(chromium: Browser, some: Path) -> None:
    chromium.open(some)
    # as while a long page is still being read
    chromium.js("Object.defineProperty(document, 'readyState', { configurable: true, get: () => 'loading' });"
                "window.clip = document.getElementById('clip-0'); window.after = clip.nextSibling; clip.remove()")  # fmt: skip
    chromium.js(PLAYER.format("result"))
    assert chromium.js("audio.paused && !audio.src")
    chromium.js("after.before(clip); delete document.readyState;"
                "document.dispatchEvent(new Event('DOMContentLoaded'))")  # fmt: skip
    chromium.wait_for("audio.readyState >= 2 && audio.currentTime > 0")
    assert chromium.js("audio.duration") == pytest.approx(0.75, abs=0.001)
    assert complaints(chromium) == []


def test_keys(chromium: Browser, some: Path) -> None:
    chromium.open(some)
    chromium.press("j", "KeyJ", 74)
    chromium.press("j", "KeyJ", 74)
    assert chromium.js("document.activeElement.dataset.id") == "utt-4"
    chromium.press("a", "KeyA", 65)
    chromium.wait_for("audio.readyState >= 2 && Math.abs(audio.duration - 1.25) < 0.001")
    chromium.press("k", "KeyK", 75)
    assert chromium.js("document.activeElement.dataset.id") == "utt-2"
    chromium.press("/", "Slash", 191)
    assert chromium.js("document.activeElement.id") == "search"
    chromium.press("j", "KeyJ", 74)
    assert chromium.js("document.getElementById('search').value") == "j", "keys are text where one types"


def test_a_manifest_full_of_markup_does_nothing(chromium: Browser, tmp_path: Path) -> None:
    evil = dict.fromkeys(("utterance_id", "speaker", "language", "scene", "prompt_text"), EVIL)
    rows = [
        spoken(1, EVIL, f"{EVIL} and more", **evil, normalizer="en/1", unscored_reason=EVIL),
        failed(2, EVIL, error_message=EVIL, utterance_id=f"{EVIL}2", speaker=EVIL),
        spoken(
            3,
            EVIL,
            EVIL,
            utterance_id=f"{EVIL}3",
            language_heard=EVIL,
            speaker=EVIL,
            prompt_text_heard=EVIL,
            voices=[voice(f"{EVIL}.flac"), voice(f"b/{EVIL}", EVIL), voice(description=EVIL)],
        ),
    ]
    reason = f"{EVIL}: {EVIL}"
    broken = take(0, reason, status="failed", error_code=EVIL, finish_reason=EVIL)
    rows[0] = judged(rows[0], "warned", [broken, take(1, reason)])
    rows[2] = judged(rows[2], "rejected", [take(0, reason)])
    there = write_run(str(tmp_path / "there"), rows)
    chromium.open(report(tmp_path, rows, compare_with=there))
    assert chromium.js("document.querySelector('.row .asked').textContent") == EVIL
    assert chromium.js(IDS) == [f"{EVIL}3", EVIL, f"{EVIL}2"]
    chromium.js("document.querySelectorAll('details').forEach(x => x.open = true)")
    chromium.js("document.querySelectorAll('*').forEach(x => x.click && x.tagName !== 'SELECT' && x.click())")
    assert chromium.js("typeof window.hacked") == "undefined"
    assert chromium.js("document.querySelectorAll('img, .row b[onclick]').length") == 0
    assert complaints(chromium) == [], "something tried and was refused by the policy"


def test_nothing_leaves_the_page(chromium: Browser, some: Path) -> None:
    chromium.open(some)
    chromium.js(PLAYER.format("result"))
    chromium.wait_for("audio.readyState >= 2")
    assert {url.partition(":")[0] for url in requests(chromium)} <= {"file", "blob"}
    assert [url for url in requests(chromium) if url.startswith("file:")] == [some.as_uri()]
    refused = chromium.js("fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.name)")
    assert refused == "TypeError"
    assert any("Content Security Policy" in str(event) for event in complaints(chromium))


@pytest.mark.parametrize("page", ["gated", "talks"])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_by_day_and_night(
    chromium: Browser, request: pytest.FixtureRequest, page: str, dark: bool
) -> None:
    chromium.look(360, 780, dark=dark, phone=True)
    try:
        chromium.open(request.getfixturevalue(page))
        chromium.js("document.querySelectorAll('details').forEach(x => x.open = true)")
        assert chromium.js("document.documentElement.scrollWidth") == 360, "it scrolls sideways"
        small = "[...document.querySelectorAll('.play, select, #search, #clear, .outcomes button')].filter(x => x.offsetHeight"
        assert chromium.js(f"{small} && x.offsetHeight < 40).length") == 0, "too small for a thumb"
        background = chromium.js("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(20, 21, 26)") == dark
    finally:
        chromium.look(1280, 900)


def test_ten_thousand_rows_open(chromium: Browser, tmp_path: Path) -> None:
    wrong = [spoken(i, "the ferry leaves at dawn", "the fairy leaves dawn") for i in range(1, 101)]
    uri = write_run(str(tmp_path / "run"), wrong, shard_rows=100, whole=False)
    # 9,900 more from one, quicker than row by row
    one = to_table([spoken(1, "the ferry leaves", "the ferry leaves", audio=None)], result_schema())
    many = one.take([0] * 9900)
    for name, values in (
        ("row", range(101, 10_001)),
        ("utterance_id", (f"u{i:05d}" for i in range(101, 10_001))),
    ):
        at = many.schema.get_field_index(name)
        many = many.set_column(at, many.schema.field(at), pa.array(list(values)))
    ShardLog(open_store(uri)).write_shard("many", many, "test", {})
    page = Path(write_report(uri, max_embedded_mb=0.1).uri)
    chromium.open(page)
    assert chromium.js(COUNT) == "Rows 1–50 of 10,000"
    assert chromium.js("document.querySelectorAll('.row').length") == 50
    chromium.js("document.getElementById('next').click()")
    assert chromium.js("document.getElementById('page').textContent") == "2 of 200"
    assert chromium.js(IDS)[0] == "utt-51"
    choose(chromium, "search", "u09999")
    chromium.wait_for(f"{IDS}.join() === 'u09999'")
