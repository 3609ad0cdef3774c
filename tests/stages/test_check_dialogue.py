"""Voices and turns of a row: one case per fault."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.manifest import ManifestRow
from pipeline.records import REQUEST, to_table
from pipeline.stages.check_request import CheckedRow, RequestChecker

TEXT = "[SPEAKER0] Is it late? [SPEAKER1] It is."
TWO = {"ref": "a.wav", "ref_text": "One.", "ref_speaker1": "b.wav", "text": TEXT}
DESCRIBED = {"voice_description": "feminine, slow", "ref": None, "ref_text": None}


def check(row: dict[str, Any], **settings: Any) -> CheckedRow:
    return RequestChecker(**settings).check(ManifestRow(1, {k: v for k, v in row.items() if v is not None}))


def voice(
    audio: str | None, text: str | None = None, description: str | None = None
) -> dict[str, str | None]:
    return {"prompt_audio": audio, "prompt_text": text, "description": description}


@pytest.mark.parametrize(
    ("row", "first", "voices"),
    [
        ({"ref": "a.wav", "text": "Hi."}, ("a.wav", None), None),
        ({"ref": "a.wav", "text": "[SPEAKER0] Hi.", "ref_speaker1": " "}, ("a.wav", None), None),
        (TWO, ("a.wav", "One."), [voice("a.wav", "One."), voice("b.wav")]),
        (
            TWO | DESCRIBED | {"ref_text_speaker1": "Two."},
            ("b.wav", "Two."),
            [voice(None, None, "feminine, slow"), voice("b.wav", "Two.")],
        ),
        (DESCRIBED | {"text": "Hi."}, (None, None), [voice(None, None, "feminine, slow")]),
    ],
)
def test_voices_of_a_row(
    row: dict[str, Any], first: tuple[str | None, str | None], voices: list[dict[str, str | None]] | None
) -> None:
    checked = check(row)
    assert checked.request is not None, checked.faults
    assert checked.request.voices == voices
    assert (checked.request.prompt_audio, checked.request.prompt_text) == first
    assert to_table([checked.values], REQUEST).to_pylist() == [checked.values]


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"text": f"{TEXT} [SPEAKER2] So?"}, "speaker_without_voice", "[SPEAKER2]"),
        ({"text": f"{TEXT} [SPEAKER01] So?"}, "speaker_without_voice", "[SPEAKER01]"),
        ({"ref_speaker1": None}, "speaker_without_voice", "[SPEAKER1]"),
        ({"ref_speaker1": None, "ref_text_speaker1": "x"}, "speaker_without_voice", "SPEAKER1 has no voice"),
        ({"ref": None, "ref_text": None}, "missing_ref", "'ref'"),
        ({"text": "[SPEAKER0] Is it late?"}, "speaker_never_speaks", "[SPEAKER1]"),
        ({"text": "Is it late?"}, "speaker_never_speaks", "[SPEAKER0], [SPEAKER1]"),
        ({"text": f"Oh. {TEXT}"}, "text_without_speaker", "begins without a tag"),
        ({"text": "[SPEAKER0] ... [SPEAKER1] It is."}, "text_unspeakable", "[SPEAKER0] ..."),
        ({"voice_description": "slow"}, "bad_voice_description", "'ref'"),
        ({"voice_description_speaker1": "slow"}, "bad_voice_description_speaker1", "'ref_speaker1'"),
        ({"ref_speaker1": "ftp://h/b.wav"}, "uri_scheme_not_allowed", "ftp"),
        ({"ref_speaker1": 7}, "bad_ref_speaker1", "int"),
        ({"ref_text_speaker1": "<|eot_id|>"}, "text_has_special_token", "'ref_text_speaker1'"),
        (DESCRIBED | {"voice_description": "a <|x|>"}, "text_has_special_token", "'voice_description'"),
        (DESCRIBED | {"voice_description": "a" * 2001}, "text_too_long", "2001"),
    ],
)
def test_faults(change: dict[str, Any], code: str, told: str) -> None:
    checked = check(TWO | change)
    assert checked.request is None
    assert [fault.code for fault in checked.faults] == [code]
    assert told in checked.faults[0].message


def test_a_speaker_in_the_middle_without_a_voice_is_named() -> None:
    row = TWO | {"ref_speaker1": None, "ref_speaker2": "c.wav", "text": f"{TEXT} [SPEAKER2] So?"}
    checked = check(row)
    assert [fault.code for fault in checked.faults] == ["speaker_without_voice"]
    assert "SPEAKER1" in checked.faults[0].message


def test_what_exists_already_may_be_scored_without_its_voices() -> None:
    row = {"audio": "said.wav", "text": TEXT}
    assert check(row, required=("audio", "text")).request is not None


def test_a_list_of_voices_needs_recordings() -> None:
    row = {"voice_description": "slow", "speaker": "ann"}
    assert [fault.code for fault in check(row, required=("ref", "speaker")).faults] == ["missing_ref"]
