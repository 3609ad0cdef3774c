"""What is kept, counted by hand, and a card that says so."""

from __future__ import annotations

import json

import pytest
import yaml
from made_sets import RUN, failed, manifest_rows, rejected, some_voices, spoken, warned
from markdown_it import MarkdownIt

from pipeline.dataset.card import Card, card_text, hub_header
from pipeline.dataset.inputs import Voice
from pipeline.dataset.licence import ModelLicence
from pipeline.dataset.plan import DatasetPlan, Licences, Style
from pipeline.dataset.selection import RECORD, Selection
from pipeline.dataset.survey import Share, Survey, empty_splits, quantiles, survey_rows
from pipeline.records import Row

SPEAKERS = ["Anna", "Ben"]
STYLES = {"calm": Style(), "busy": Style(scene="A  busy\tmarket.")}


def rows() -> list[Row]:
    said = manifest_rows(8, SPEAKERS, lambda i: "A busy market." if i == 2 else None)
    made = [spoken(i + 1, row, frames=25 * (i + 1)) for i, row in enumerate(said)]
    made[1] = failed(made[1], "generation_timeout")
    made[3] = rejected(made[3], "wer: 0.5, at most 0.3", "similarity: 0.1, at least 0.5")
    made[4] = warned(made[4], "finish_reason: length")
    made[7] |= {"language": "zh", "wer": 1.0, "cer": 0.25, "similarity": None}
    return made


def surveyed(**plan: object) -> tuple[Survey, Selection]:
    settings = DatasetPlan(hours=1.0, styles=STYLES, splits={"train": 0.5, "test": 0.5}, **plan)
    voices = [*some_voices("Anna"), Voice("Ben", "/voices/Ben.flac", licence="cc0-1.0", consent_id="c-7")]
    selection = Selection(settings, voices, SPEAKERS, RUN)
    return survey_rows(rows(), selection), selection


def test_sums_are_those_of_the_rows_that_are_kept() -> None:
    survey, selection = surveyed()
    # rows 1, 3, 6, 7 and 8, of as many seconds; 1, 3 and 7 are Anna's
    assert (survey.rows, survey.whole.rows, survey.whole.seconds) == (8, 5, 25.0)
    assert survey.speaker_s == {"Anna": 11.0, "Ben": 14.0}
    assert survey.left_out == {"generation_timeout": 1, "wer": 1, "finish_reason": 1}
    assert {name: share.rows for name, share in survey.styles.items()} == {"calm": 4, "busy": 1}
    assert {name: share.seconds for name, share in survey.languages.items()} == {"en": 17.0, "zh": 8.0}
    assert {selection.split_of[name] for name in SPEAKERS} == {"train", "test"}
    assert {name: share.seconds for name, share in survey.splits.items()} == {
        selection.split_of["Anna"]: 11.0,
        selection.split_of["Ben"]: 14.0,
    }
    # of Chinese the characters are counted
    assert survey.values == {
        "duration_s": [1.0, 3.0, 6.0, 7.0, 8.0],
        "wer": [0.1] * 4,
        "cer": [0.25],
        "similarity": [0.7] * 4,
    }
    assert quantiles([1.0, 3.0, 6.0, 7.0, 8.0]) == pytest.approx([1.0, 1.4, 6.0, 7.8, 8.0])


def test_a_split_without_rows_says_whether_any_were_asked_for() -> None:
    survey, _ = surveyed()
    split_of = {"Anna": "train", "Cleo": "valid", "Dora": "test"}
    survey.splits, survey.asked["Dora"] = {"train": Share()}, 1
    assert empty_splits(survey, split_of) == [
        "split valid has no rows: no row was asked of its voices (Cleo); want more hours",
        "split test has no rows: of its voices (Dora) none of 1 row was accepted",
    ]


def test_rows_with_a_warning_are_kept_where_the_plan_says_so() -> None:
    survey, _ = surveyed(keep_warned=True)
    assert survey.whole.rows == 6
    assert "finish_reason" not in survey.left_out


def test_every_record_tells_where_it_is_from() -> None:
    _, selection = surveyed()
    record = selection.record(rows()[5])
    assert list(record) == RECORD.names
    assert record["synthetic"] is True
    told = {
        name: record[name] for name in ("model", "codec", "run", "seed", "reference", "reference_licence")
    }
    assert told == {
        "model": "test-model@1",
        "codec": "test-codec@1",
        "run": RUN,
        "seed": 2**62 + 6,
        "reference": "Ben.flac",
        "reference_licence": "cc0-1.0",
    }
    assert (record["gate"], record["gate_reasons"], record["style"]) == ("passed", [], "calm")
    assert "/voices" not in json.dumps(record)


GATES = {"max_wer": 0.3, "max_cer": None, "languages": {}, "all_takes": False}


def card(
    licence: ModelLicence, model: str = "m<b>|@1", ear: str = "ear", gates: dict[str, object] = GATES
) -> Card:
    survey, selection = surveyed(name="Harbour | voices", licence=Licences(dataset="cc-by-4.0"))
    run = {
        "identity": {"model": model, "codec": "c@1", "transcriber": ear, "speaker_encoder": "none"},
        "fingerprint": RUN,
        "settings": {"gates": gates},
    }
    voices = [*some_voices("Anna"), Voice("Ben", "/v/b.flac", licence="cc0-1.0", consent_id="c-7")]
    return Card(selection.plan, survey, licence, run, voices, {"duplicate_text": 3})


def test_the_card_says_what_is_in_it_and_what_is_not() -> None:
    text = card_text(card(ModelLicence("m@1", "boson-x", "its model card")), "load()", {"text_has_bar": 2})
    for line in (
        "| all |  | 5 | 0.006944 | 2 |",
        "| style | busy | 1 | 0.0008333 | 1 |",
        "| duration, seconds | 5 | 5 | 1 | 1.4 | 6 | 7.8 | 8 |",
        "| generation_timeout | 1 |",
        "| duplicate_text | 3 |",
        "| text_has_bar | 2 |",
        "| model | m&lt;b>\\|@1 |",
        "| gates | max_wer = 0.3 |",
        "**The model's licence is not known to allow training other models with its outputs.**",
        "| cc0-1.0 | Ben |\n| not stated | Anna |",
        "A consent is named (`consent_id`) for 1 of 2 references.",
    ):
        assert line in text
    free = card_text(card(ModelLicence("m@1", "mit", "the plan")), "load()", {})
    assert "not known to allow" not in free
    assert "Note:" not in free


def test_a_limit_of_nought_is_a_gate() -> None:
    gates = {"max_wer": 0.0, "max_takes": 1, "min_similarity": None, "all_takes": False, "languages": {}}
    told = card(ModelLicence("m@1", "mit", "the plan"), gates=gates)
    assert "| gates | max_wer = 0.0, max_takes = 1 |" in card_text(told, "load()", {})


def test_a_model_card_of_somebody_else_is_text_and_no_markdown() -> None:
    licence = ModelLicence("a`|[b](https://c.d)@1", "mit\n\n# <img src=x> ![e](f)", "its model card")
    text = card_text(card(licence), "load()", {})
    [paragraph] = [
        token
        for token in MarkdownIt("commonmark").parse(text)
        if token.type == "inline" and "generating model" in token.content
    ]
    assert {part.type for part in paragraph.children} <= {"text", "text_special"}
    assert "".join(part.content for part in paragraph.children) == (
        "The data set: cc-by-4.0. The generating model a`|[b](https://c.d)@1: mit # <img src=x> ![e](f) "
        "(by its model card)."
    )


def test_the_card_says_what_must_be_known_of_model_and_scores() -> None:
    told = card(ModelLicence("m@1", "mit", "the plan"), "voicemill-standin-random@1", "demo:pocketsphinx-5")
    text = card_text(told, "load()", {})
    assert "Note: random weights stand in for a trained model" in text
    assert "Note: scores by `demo:*` are for trying things out" in text


def test_the_head_is_the_hubs_yaml() -> None:
    head = hub_header(card(ModelLicence("m@1", "mit", "the plan")), {"train": "data/train-*.parquet"})
    assert head.startswith("---\n")
    told = yaml.safe_load(head.strip().strip("-"))
    assert (told["license"], told["pretty_name"], told["language"]) == (
        "cc-by-4.0",
        "Harbour | voices",
        ["en", "zh"],
    )
    assert told["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert told["size_categories"] == ["n<1K"]
