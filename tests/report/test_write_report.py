"""The page as bytes: what it says, where it may be written, and that nothing in a manifest ends a tag."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small_runs import failed, judged, spoken, take, voice_file, write_run
from typer.testing import CliRunner

from pipeline import cli
from pipeline.errors import ConfigError, RunConflictError
from pipeline.metrics.aggregate import summarise
from pipeline.metrics.normalizers import normalizer_for
from pipeline.records import RESULT_ROW, to_table
from pipeline.report.page import script_json
from pipeline.report.write import write_report
from pipeline.storage import open_store

EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\u2028"


def page_of(uri: str, **options: object) -> str:
    return open_store(uri).get(write_report(uri, **options).uri.rpartition("/")[2]).decode()  # type: ignore[arg-type]


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", page)).split())


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("s3")


def test_a_run_in_numbers(place: str) -> None:
    uri = write_run(
        f"{place}/night",
        [
            spoken(1, "a b c d", "a b c d", seconds=1.0, similarity=0.75),
            spoken(2, "a b c d", "a b", seconds=2.0, similarity=0.25, finish_reason="length"),
            failed(3),
            failed(4, "text_empty"),
            failed(5),
        ],
    )
    text = text_of(page_of(uri))
    assert "Rows 5 2 ok, 3 failed 2 uri_not_found in check_prompt 1 text_empty in check_prompt" in text
    assert "Speech 3 s" in text
    assert "1 row cut at the length limit" in text
    # (0 + 2/4) / 2, and 2 errors in 8 words
    assert "Word error rate demo 25.0 %" in text
    assert "mean of 2 rows; 25.0 % over all words" in text
    assert "Gates" not in text, "nothing was judged"
    assert "Engine time" not in text, "it was not counted"
    assert f"heard by demo:ear-1 normaliser {normalizer_for('en').id} protocol voicemill/1" in text
    assert "Speaker similarity demo 0.500" in text
    assert "compared by demo:voices-1" in text
    assert "model test-model@1 codec test-codec@1" in text
    assert "cannot be compared with published figures" in text
    assert "The sound of every row is in this page" in text


def test_ground_truths_have_a_number_of_their_own(tmp_path: Path) -> None:
    truth = {"ground_truth_audio": "said.flac"}
    rows = [
        spoken(1, "a", "a", similarity=0.5, similarity_ground_truth=0.75, **truth),
        spoken(2, "a", "a", similarity=0.5, similarity_ground_truth=0.25, **truth),
        spoken(3, "a", "a", similarity=0.5),
    ]
    text = text_of(page_of(write_run(str(tmp_path / "run"), rows)))
    assert "Similarity to the ground truth demo 0.500" in text
    assert "mean cosine to the ground truth, 2 rows" in text
    text = text_of(page_of(write_run(str(tmp_path / "without"), rows[2:])))
    assert "Similarity to the ground truth" not in text


def test_words_and_characters_are_never_averaged(tmp_path: Path) -> None:
    rows = [
        spoken(1, "a b c d", "a b c d"),
        spoken(2, "a b c d", "a b"),  # 2 of 4 words
        spoken(3, "今日は晴れ", "今日わ晴れ", language="ja"),  # 1 of 5 characters, and its one "word"
    ]
    text = text_of(page_of(write_run(str(tmp_path / "run"), rows)))
    assert "Word error rate demo 25.0 %" in text
    assert "of the languages that are judged by words: en" in text
    words, chars = (normalizer_for(language).id for language in ("en", "ja"))
    assert f"normaliser {words} protocol" in text, "each tile names its own"
    assert f"normaliser {chars} protocol" in text
    assert "Character error rate demo 20.0 %" in text
    assert "of the languages that are judged by characters: ja" in text


def test_gates_and_cost(tmp_path: Path) -> None:
    rows = [
        judged(spoken(1, "a b", "a b", seconds=2.0), "passed", [take(0, "wer: 0.5 is over 0.3", wer=0.5),
                                                                take(1)]),
        judged(spoken(2, "a b", "c d"), "rejected", [take(0, "wer: 1 is over 0.3", "new_gate: 7", wer=1.0)]),
        failed(3),
    ]  # fmt: skip
    work = {"engine_seconds": 3600.0, "device": "cuda", "engines": 1}
    uri = write_run(str(tmp_path / "run"), rows, work=work)
    text = text_of(page_of(uri, price_per_hour=2.5))
    assert "Rows 3 1 ok, 1 failed, 1 rejected" in text
    # of one row of two seconds that was heard as asked
    assert "rates, similarity and speech above leave it out" in text
    assert "mean of 1 row; 0.0 % over all words" in text
    assert "mean cosine to the reference, 1 row" in text
    assert "Speech 2 s" in text
    assert "0 passed at once 1 repaired by another take 0 delivered with a warning 1 rejected" in text
    assert "2 rows judged, in 3 takes" in text
    assert "Passed 0.0 % by take 1, 50.0 % by take 2" in text
    assert "word error rate 2 1 – 1 new_gate 1 – – 1" in text
    assert "Word error rate demo 0.0 %" in text, "of what was delivered"
    assert "Engine time 1 GPU hours" in text
    assert "cost 2.50 at 2.50 for a GPU hour" in text
    assert "GPU hour," not in text_of(page_of(uri))
    old = write_run(str(tmp_path / "old"), [spoken(1, "a", "a")])
    assert "No cost: no engine time was counted in this run." in text_of(page_of(old, price_per_hour=1.0))


def test_notes_say_what_one_must_know(tmp_path: Path) -> None:
    rows = [spoken(1, "a", "a", transcriber="w@1", speaker_encoder="x@1")]
    uri = write_run(str(tmp_path / "half"), rows, whole=False)
    text = text_of(page_of(uri, audio="none"))
    assert "This run is not whole: 1 of 0 planned rows are committed" in text
    assert "published" not in text
    assert "made without sound" in text


def test_a_comparison(tmp_path: Path) -> None:
    here = write_run(str(tmp_path / "here"), [spoken(1, "a b", "a b", similarity=0.75), failed(2)])
    there = write_run(
        str(tmp_path / "there"), [spoken(1, "a b", "a", transcriber="w@1"), spoken(2, "a", "a")]
    )
    text = text_of(page_of(here, compare_with=there))
    assert f"Compared with {there} 2 ids are in both, 0 only here, 0 only there." in text
    assert "1 were ok there and failed or were rejected here, 0 the other way round" in text
    assert "Word error rate, change demo −50.0 points" in text
    assert "Speaker similarity, change demo +0.250" in text
    assert "one voice only: no interval can be given" in text
    assert "The scores were not made alike" in text
    assert "transcriber: demo:ear-1 here, w@1 there" in text


def test_a_comparison_of_ground_truths(tmp_path: Path) -> None:
    truth = {"ground_truth_audio": "said.flac", "ground_truth_id": "g", "similarity": None}
    here, there = (
        write_run(
            str(tmp_path / name),
            [
                spoken(1, "a", "a", speaker="ann", similarity_ground_truth=first, **truth),
                spoken(2, "a", "a", speaker="ben", similarity_ground_truth=second, **truth),
            ],
        )
        for name, first, second in (("here", 0.75, 0.75), ("there", 0.5, 0.25))
    )
    text = text_of(page_of(here, compare_with=there))
    # draws of the two voices: +0.25, +0.375, +0.5; two voices ask for 9.168 times their distance, 1.146
    change = text.partition("Similarity to the ground truth, change demo ")[2]
    assert change.startswith("+0.375")
    assert "interval −0.771 to +1.521, 2 voices drawn whole no difference can be seen" in change
    assert "; these voices cannot resolve less than 1.15" in change
    assert "Speaker similarity, change" not in text


def test_a_comparison_with_the_same_scores(tmp_path: Path) -> None:
    rows = [spoken(i, "a b", "a", prompt_audio=f"{i}.flac", similarity=0.5) for i in range(3)]
    here, there = (write_run(str(tmp_path / name), rows) for name in ("here", "there"))
    text = text_of(page_of(here, audio="none", compare_with=there))
    assert text.count("0 rows better, 0 worse, 3 the same identical in every row") == 2
    assert "cannot resolve" not in text


def test_the_page_has_the_intervals_of_the_summary(tmp_path: Path) -> None:
    heard = ["a b c d", "a b c x", "a b x x", "a b c d"]
    rows = [
        spoken(i, "a b c d", heard[i % 4], prompt_audio=f"{i % 5}.flac", similarity=(i % 7) / 10)
        for i in range(20)
    ]
    text = text_of(page_of(write_run(str(tmp_path / "run"), rows), audio="none"))
    summary = summarise(to_table(rows, RESULT_ROW).to_pylist())
    low, high = (f"{100 * end:.1f}" for end in summary["wer"]["intervals"]["macro"])
    assert f"interval of the mean {low} % to {high} %, 5 voices drawn whole" in text
    low, high = (f"{end:.3f}" for end in summary["similarity"]["interval"])
    assert f"interval of the mean {low} to {high}, 5 voices drawn whole" in text


def test_categories_have_a_filter_where_there_are_some(tmp_path: Path) -> None:
    plain = page_of(write_run(str(tmp_path / "plain"), [spoken(1, "a", "a")]))
    assert "<label hidden><span>Category</span>" in plain
    labelled = page_of(write_run(str(tmp_path / "labelled"), [spoken(1, "a", "a", category="questions")]))
    assert "<label><span>Category</span>" in labelled


def test_markup_in_a_manifest_stays_text(tmp_path: Path) -> None:
    row = spoken(1, EVIL, EVIL, utterance_id=EVIL, speaker=EVIL, scene=EVIL, category=EVIL, prompt_text=EVIL, similarity=None,
                 unscored_reason=f"similarity: {EVIL}")  # fmt: skip
    bad = failed(2, error_code=EVIL, error_message=EVIL, failed_stage=EVIL)
    row = judged(row, "warned", [take(0, f"{EVIL}: {EVIL}")])
    uri = write_run(str(tmp_path / "run"), [row, bad])
    page = page_of(uri)
    seen = Elements(page).seen
    assert [attrs.get("type") for tag, attrs in seen if tag == "script"] == [
        "application/json",
        None,
        "text/plain",
    ]
    assert not any(tag == "img" for tag, _ in seen)
    assert not any(name.startswith("on") for _, attrs in seen for name in attrs)
    assert not any("style" in attrs for _, attrs in seen), "the policy would forbid it"


def test_json_that_no_tag_can_end() -> None:
    value = {"text": EVIL + "&amp;\u2029<!--"}
    written = script_json(value)
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == value


def test_the_policy_forbids_the_network(tmp_path: Path) -> None:
    uri = write_run(str(tmp_path / "run"), [spoken(1, "a", "a", prompt_audio=voice_file(tmp_path, "anna"))])
    metas = [attrs for tag, attrs in Elements(page_of(uri)).seen if tag == "meta"]
    [policy] = [meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "media-src blob:;" in policy


def test_what_is_no_report_is_not_replaced(tmp_path: Path) -> None:
    uri = write_run(str(tmp_path / "run"), [spoken(1, "a", "a")])
    mine = tmp_path / "report.html"
    mine.write_text("<!doctype html> mine")
    with pytest.raises(ConfigError, match="is a file that is no report"):
        write_report(uri, str(mine))
    assert mine.read_text() == "<!doctype html> mine"
    assert write_report(uri).uri == write_report(uri).uri, "one of our own is"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"audio": "all"}, "--audio 'all' is not known; use one of embed, link, none"),
        ({"max_embedded_mb": -1.0}, "--max-embedded-mb -1"),
        ({"max_embedded_mb": float("nan")}, "--max-embedded-mb nan"),
        ({"price_per_hour": -2.0}, "--price-per-hour -2"),
        ({"out": "FOLDER"}, "is a folder"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, object], says: str) -> None:
    uri = write_run(str(tmp_path / "run"), [spoken(1, "a", "a")])
    options = {name: str(tmp_path) if value == "FOLDER" else value for name, value in options.items()}
    with pytest.raises(ConfigError, match=says):
        write_report(uri, **options)  # type: ignore[arg-type]
    with pytest.raises(RunConflictError, match="holds no run"):
        write_report(str(tmp_path / "nowhere"))


def test_the_command(tmp_path: Path) -> None:
    uri = write_run(str(tmp_path / "run"), [spoken(1, "a", "a"), failed(2)])
    out = str(tmp_path / "pages" / "page.html")
    result = CliRunner().invoke(
        cli.app, ["report", uri, "--out", out, "--compare", uri, "--max-embedded-mb", "1"]
    )
    assert result.exit_code == 0
    assert f"{out}: 2 rows, 1 with sound, 0.1 MiB" in " ".join(result.output.split())
    assert "Compared with" in Path(out).read_text()


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    uri = write_run(str(tmp_path / "run"), [])
    assert "Rows 0" in text_of(page_of(uri))
