"""A dialogue from its manifest to the samples, the scores and a withdrawal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from manifest_faults import VOICES, write_csv

from pipeline.config import load_config
from pipeline.errors import ManifestError, RowError
from pipeline.metrics.published import HeardBy
from pipeline.plan import content_key, extend_plan, planned_prompts, planned_shards, read_planned
from pipeline.preflight import Preflight
from pipeline.records import (
    PLANNED_ROW,
    SAMPLE_ROW,
    ChatMLSample,
    Row,
    SpeakerPrompt,
    SynthesisRequest,
    to_table,
)
from pipeline.stages.pack_sample import pack_samples
from pipeline.stages.score_utterance import score_utterances
from pipeline.storage import Store, open_store
from pipeline.withdrawal import find_withdrawn

SLT, RMS = (str(VOICES / name) for name in ("slt-1.flac", "rms-1.flac"))
TEXT = "[SPEAKER0] Is it late? [SPEAKER1] It is."
COLUMNS = (
    "id",
    "ref",
    "ref_text",
    "voice_description",
    "ref_speaker1",
    "ref_text_speaker1",
    "text",
    "consent_id",
)


def manifest(folder: Path, *rows: dict[str, str]) -> str:
    return write_csv(folder / "m.csv", [dict.fromkeys(COLUMNS, "") | row for row in rows])


def rows_of(uri: str) -> list[Row]:
    return list(Preflight(uri, load_config(None, [])).rows())


TWO = {"id": "two", "ref": SLT, "ref_text": "x", "ref_speaker1": RMS, "ref_text_speaker1": "y", "text": TEXT}
HALF = {
    "id": "half",
    "voice_description": "slow",
    "ref_speaker1": RMS,
    "ref_text_speaker1": "y",
    "text": TEXT,
}
TOLD = {"id": "told", "voice_description": "slow", "text": "Hi."}
ONE = {"id": "one", "ref": SLT, "ref_text": "x", "text": "Hi."}


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Store, list[Row]]:
    store = open_store(str(tmp_path / "run"))
    rows = rows_of(manifest(tmp_path, TWO, HALF, TOLD, ONE | {"consent_id": "c"}))
    assert [row["error_message"] for row in rows] == [None] * 4
    extend_plan(store, rows, 8, lambda _: 0.0)
    back = [row for shard in planned_shards(store) for row in read_planned(store, shard)]
    return store, sorted(back, key=lambda row: row["row"])


def test_every_voice_is_checked_and_encoded_once(planned: tuple[Store, list[Row]]) -> None:
    store, (two, half, told, one) = planned
    assert (two["prompt_audio"], half["prompt_audio"], told["prompt_audio"]) == (SLT, RMS, None)
    assert two["prompt_id"] == one["prompt_id"] == two["voice_prompt_ids"][0]
    assert half["prompt_id"] == two["voice_prompt_ids"][1]
    assert half["voice_prompt_ids"] == [None, half["prompt_id"]]
    assert (told["prompt_id"], told["voice_prompt_ids"]) == (None, [None])
    assert (one["voices"], one["voice_prompt_ids"]) == (None, None)
    prompts = {row["prompt_id"]: (row["prompt_audio"], row["prompt_text"]) for row in planned_prompts(store)}
    assert sorted(prompts.values()) == [(RMS, "y"), (SLT, "x")]
    assert len(list(planned_prompts(store))) == 2


def test_samples_get_the_voices_in_the_order_of_the_speakers(planned: tuple[Store, list[Row]]) -> None:
    packed: dict[str, tuple[str, ...]] = {}

    class Format:
        def pack(
            self, request: SynthesisRequest, *prompts: SpeakerPrompt, max_new_frames: int
        ) -> ChatMLSample:
            packed[request.utterance_id] = tuple(prompt.prompt_id for prompt in prompts)
            codes = np.zeros((8, 0), np.uint16)
            return ChatMLSample([], [1], codes, [0], np.zeros(0, np.int16), [0], 16_000, max_new_frames)

    def prompt_of(name: str) -> SpeakerPrompt:
        vector = np.array([len(packed)], np.float32)
        return SpeakerPrompt(name, "heard", np.zeros((8, 1), np.uint16), np.zeros(1, np.int16), 1.0, vector)

    _, rows = planned
    two, half = rows[0]["voice_prompt_ids"], rows[1]["voice_prompt_ids"]
    samples = pack_samples(rows, Format(), 25.0, prompt_of)  # type: ignore[arg-type]
    assert packed == {"two": tuple(two), "half": (half[1],), "told": (), "one": (two[0],)}
    back = to_table(samples, SAMPLE_ROW).to_pylist()
    assert [row["error_code"] for row in back] == [None] * 4
    # similarity is to the first reference; a row without one has none to compare with
    assert [row["prompt_embedding"] is None for row in back] == [False, False, True, False]
    assert back[1]["voices"] == rows[1]["voices"]

    def fails(name: str) -> SpeakerPrompt:
        if name == two[1]:
            raise RowError("prompt_changed", "it is another file now")
        return prompt_of(name)

    failed = pack_samples(rows, Format(), 25.0, fails)  # type: ignore[arg-type]
    assert [row["error_code"] for row in failed] == ["prompt_changed", "prompt_changed", None, None]


def test_a_bad_reference_of_a_speaker_is_told(tmp_path: Path) -> None:
    [row] = rows_of(manifest(tmp_path, TWO | {"ref_speaker1": "gone.flac"}))
    assert row["error_code"] == "uri_not_found"
    assert row["error_message"].startswith("SPEAKER1: reference: ")
    assert to_table([row], PLANNED_ROW).num_rows == 1


def test_a_manifest_of_descriptions_alone_needs_no_references(tmp_path: Path) -> None:
    [row] = rows_of(write_csv(tmp_path / "m.csv", [{"voice_description": "slow", "text": "Hi."}]))
    assert row["error_code"] is None
    with pytest.raises(ManifestError, match="no column 'ref'"):
        rows_of(write_csv(tmp_path / "m.csv", [{"voice_description_speaker1": "slow", "text": "Hi."}]))


def test_a_row_without_voices_keeps_the_key_it_had() -> None:
    row = {"utterance_id": "a", "prompt_audio": "v.wav", "target_text": "Hi.", "language": "en", "seed": 3}
    names = (
        *("utterance_id", "prompt_audio", "prompt_text", "target_text", "language", "seed", "scene"),
        *("speaker", "audio_uri", "max_duration_s", "temperature", "top_p", "top_k", "consent_id"),
    )
    said = json.dumps({name: row.get(name) for name in names}, sort_keys=True)
    assert content_key(row | {"voices": None}) == hashlib.sha256(said.encode()).digest()[:8]
    assert content_key(row | {"voices": [{"description": "slow"}]}) != content_key(row)


def test_tags_are_no_words() -> None:
    row = {"row": 1, "utterance_id": "a", "language": "en", "target_text": TEXT, "duration_s": 3.0}
    quiet = {"leading_silence_s": 0.5, "trailing_silence_s": 0.5}
    [scored] = score_utterances([row | quiet | {"hypothesis": "is it late it is"}], HeardBy("asr", "none"))
    assert (scored["wer"], scored["wer_reference_words"]) == (0.0, 5)
    assert scored["target_text_normalized"] == "is it late it is"
    assert scored["chars_per_s"] == len("Isitlate?Itis.") / 2


def test_a_withdrawn_dialogue_takes_its_voices_out_of_the_cache(tmp_path: Path) -> None:
    store, cache = open_store(str(tmp_path / "run")), open_store(str(tmp_path / "cache"))
    both = {"consent_id": "gone"}
    rows = rows_of(manifest(tmp_path, TWO | both, ONE | {"consent_id": "kept"}))
    extend_plan(store, rows, 8, lambda _: 0.0)
    for prompt_id in rows[0]["voice_prompt_ids"]:
        cache.put(f"0123456789ab/{prompt_id}.parquet", b"voice")
    found = find_withdrawn(store, [cache], {"gone"})
    # the first voice is also that of a row whose consent stands
    assert found.voices == [(cache, f"0123456789ab/{rows[0]['voice_prompt_ids'][1]}.parquet")]
    assert found.shared == 1
