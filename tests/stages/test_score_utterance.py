"""Prompt echo and pace; WER and CER are in test_model_stages.py."""

from __future__ import annotations

import pytest

from pipeline.metrics.published import HeardBy
from pipeline.records import SCORED_ROW, Row, to_table
from pipeline.stages.score_utterance import score_utterances


def scored(**columns: object) -> Row:
    row = {"row": 1, "utterance_id": "u1", "language": "en", "target_text": "Good evening.", **columns}
    made = score_utterances([row], HeardBy("hears@1", "embeds@1"), "rates@1")
    result: Row = to_table(made, SCORED_ROW).to_pylist()[0]
    assert result["quality_model"] == "rates@1"
    return result


def measured(duration_s: float, leading: float, trailing: float) -> Row:
    return {"duration_s": duration_s, "leading_silence_s": leading, "trailing_silence_s": trailing}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"hypothesis": "the ferry leaves", "prompt_text": "The ferry leaves."}, 0.0),
        # of three words of the prompt one was said, and one more
        ({"hypothesis": "good ferry", "prompt_text": "The ferry leaves."}, 2 / 3),
        ({"hypothesis": "", "prompt_text": "The ferry leaves."}, 1.0),
        ({"hypothesis": "the ferry leaves", "prompt_text_heard": "the ferry"}, 1 / 2),
        ({"hypothesis": "good evening"}, None),
        ({"hypothesis": "good evening", "prompt_text": "..."}, None),
        ({"prompt_text": "The ferry leaves."}, None),
        # characters are the unit: one of four differs
        ({"hypothesis": "今天下午", "prompt_text": "今天上午。", "language": "zh"}, 1 / 4),
    ],
)
def test_echo_is_the_error_rate_against_the_prompt(columns: Row, expected: float | None) -> None:
    assert scored(**columns)["prompt_echo_wer"] == expected


def test_the_texts_stand_as_they_were_compared() -> None:
    made = scored(hypothesis="GOOD, evening!", target_text="Good  evening.")
    assert (made["target_text_normalized"], made["hypothesis_normalized"]) == ("good evening", "good evening")
    silent = scored()
    assert (silent["target_text_normalized"], silent["hypothesis_normalized"]) == (None, None)


def test_what_goes_round_in_circles_compresses_well() -> None:
    """2.4 is the bound of Whisper's own decoder."""
    looping = scored(hypothesis="thank you " * 30)["compression_ratio"]
    assert looping > 10
    assert scored(hypothesis="The ferry leaves the harbor at dawn.")["compression_ratio"] < 1.5
    # 5 bytes, and 13 of zlib: header 2, a literal block's 7 with the text packed, checksum 4
    assert scored(hypothesis="hello")["compression_ratio"] == pytest.approx(5 / 13)
    assert scored(hypothesis="")["compression_ratio"] is None


def test_pace_by_hand() -> None:
    # 12 characters in 1.5 of 2 s; the reference said 20 in 4 s: 0.125 over 0.2 s a character
    prompt = {"prompt_text": "abcde fghij klmno pqrst", "prompt_speech_s": 4.0}
    made = scored(**measured(2.0, 0.3, 0.2), **prompt)
    assert made["chars_per_s"] == pytest.approx(8.0)
    assert made["length_ratio"] == pytest.approx(0.625)
    heard = scored(**measured(2.0, 0.3, 0.2), prompt_text_heard="aaaaa aaaaa", prompt_speech_s=1.25)
    assert heard["length_ratio"] == pytest.approx(1.0)


def test_what_is_not_known_is_null() -> None:
    names = ("chars_per_s", "length_ratio")
    alone = scored(duration_s=2.0)
    assert [alone[name] for name in names] == [None, None]
    without_prompt = scored(**measured(2.0, 0.3, 0.2))
    assert [without_prompt[name] for name in names] == [pytest.approx(8.0), None]
    silent = scored(**measured(2.0, 2.0, 0.0), prompt_text="abc", prompt_speech_s=1.0)
    assert [silent[name] for name in names] == [None, 0.0]


@pytest.mark.parametrize(
    ("heard_by", "language", "dtype", "decoding"),
    [
        (
            HeardBy("demo:pocketsphinx-5.1.1/en-us", "none"),
            "en",
            "float32",
            "engine=pocketsphinx; resampler=voicemill",
        ),
        (
            HeardBy("openai/whisper-large-v3@1", "none", "cuda"),
            "zh-Hant",
            "float32",
            "engine=transformers; resampler=voicemill; language=chinese; task=transcribe; num_beams=1; "
            "do_sample=false; batch=several, each padded to the window; over_30_s=window by window; "
            "silence=not transcribed",
        ),
        (HeardBy("none", "none"), "en", None, None),
    ],
)
def test_how_the_transcriber_decodes_stands_beside_its_name(
    heard_by: HeardBy, language: str, dtype: str | None, decoding: str | None
) -> None:
    row = {"row": 1, "utterance_id": "u1", "language": language, "target_text": "Good evening."}
    [made] = to_table(score_utterances([row], heard_by), SCORED_ROW).to_pylist()
    assert made["transcriber"] == heard_by.transcriber
    assert (made["transcriber_dtype"], made["transcriber_decoding"]) == (dtype, decoding)
