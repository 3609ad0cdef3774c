"""The page in a real browser: it is heard, it filters, it obeys nobody's manifest, it fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from browser import Browser, browser, find_browser
from small_runs import failed, judged, spoken, take, tone, voice, voice_file, write_run

from pipeline.commit import ShardLog
from pipeline.records import Row, to_table
from pipeline.report.write import write_report
from pipeline.results import result_schema
from pipeline.storage import open_store

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium on this machine: `make browser` installs Debian's"
)
EVIL = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2><b onclick=window.hacked=3>x"
)
IDS = "[...document.querySelectorAll('.row')].map(row => row.dataset.id)"
COUNT = "document.getElementById('count').textContent"
PLAYER = "document.querySelector('.row .{} .play').click()"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    assert program is not None
    with browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def report(folder: Path, rows: list[Row], **options: Any) -> Path:
    uri = write_run(str(folder / "run"), rows, shard_rows=500)
    return Path(write_report(uri, **options).uri)


def choose(chromium: Browser, control: str, value: str) -> None:
    chromium.js(
        f"(() => {{ const c = document.getElementById('{control}'); c.value = '{value}';"
        " c.dispatchEvent(new Event(c.id === 'search' ? 'input' : 'change')); })()"
    )


def complaints(chromium: Browser) -> list[dict[str, Any]]:
    """Exceptions, refusals of the policy, errors in the console."""
    chromium.js("1")
    return [
        event
        for event in chromium.events
        if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    ]


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


DEEP = "masculine, deep, as if he had all the time in the world"


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


def row_of(identity: str) -> str:
    return f"document.querySelector('.row[data-id={identity}]')"


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
