from __future__ import annotations

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline import records
from pipeline.prompt_cache import SPEAKER_PROMPT
from pipeline.records import (
    SpeakerPrompt,
    SynthesisRequest,
    array_of,
    bytes_of,
    is_failed,
    request_of,
    to_table,
)


@pytest.mark.parametrize(
    ("record", "schema"), [(records.SynthesisRequest, records.REQUEST), (SpeakerPrompt, SPEAKER_PROMPT)]
)
def test_a_record_and_its_schema_have_the_same_fields(record: type, schema: pa.Schema) -> None:
    assert [field.name for field in fields(record)] == [n for n in schema.names if not n.endswith("_shape")]


@pytest.mark.parametrize(
    ("record", "schema", "flattened"),
    [
        (records.ChatMLSample, records.SAMPLE, {"audio_ids_shape", "label_audio_shape"}),
        (records.GeneratedCodes, records.CODES, {"take", "codes_shape", "codes_dtype", "codes_sha256"}),
    ],
)
def test_what_arrays_need_beside_them_is_all_that_a_schema_adds(
    record: type, schema: pa.Schema, flattened: set[str]
) -> None:
    # a row has its id and seed from the request
    assert set(schema.names) - flattened == {field.name for field in fields(record)} - {
        "utterance_id",
        "seed",
    }


@pytest.mark.parametrize(
    "schema",
    [
        records.PLANNED_ROW,
        records.SAMPLE_ROW,
        records.GENERATED_ROW,
        records.UTTERANCE_ROW,
        records.HEARD_ROW,
        records.SCORED_ROW,
        records.RESULT_ROW,
    ],
)
def test_row_schemas_are_plain_arrow_without_doubles(schema: pa.Schema) -> None:
    assert len(set(schema.names)) == len(schema.names)
    assert not any(isinstance(field.type, pa.ExtensionType) for field in schema)
    assert {"row", "utterance_id", "failed_stage", "error_code", "error_message"} <= set(schema.names)
    assert to_table([], schema).schema.equals(schema)


def test_a_request_comes_back_from_its_row() -> None:
    request = SynthesisRequest(
        3, "u", "a.flac", None, "Hello.", "en", 2**62, scene="A hall.", temperature=0.3
    )
    row = to_table(
        [{name: getattr(request, name) for name in records.REQUEST.names}], records.PLANNED_ROW
    ).to_pylist()[0]
    assert request_of(row) == request
    assert not is_failed(row)
    assert is_failed(row | {"failed_stage": "decode_codes"})


@given(
    hnp.arrays(
        st.sampled_from([np.uint16, np.int16, np.float32]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
        elements=st.integers(0, 1000),
    )
)
def test_arrays_come_back_from_bytes(array: np.ndarray) -> None:
    back = array_of(bytes_of(array), array.shape, array.dtype.name)
    assert back.shape == array.shape
    assert np.array_equal(back, array)


def test_bytes_are_little_endian_c_order() -> None:
    # [[1, 2], [3, 258]] as uint16, written by hand; from a transposed, big-endian array
    array = np.array([[1, 3], [2, 258]], dtype=">u2").T
    assert bytes_of(array) == bytes([1, 0, 2, 0, 3, 0, 2, 1])


# what an evaluation keeps of a clip, by the names that others use, where those are not ours
REFERENCE_FIELDS = {
    "item_id": "utterance_id",
    "system": "model",
    "lang": "language",
    "speaker_id": "speaker",
    "prompt_sha": "prompt_id",
    "audio_sha": "audio_sha256",
    "error": "error_code error_message failed_stage",
    "ref_text": "target_text",
    "hyp_raw": "hypothesis",
    "hyp_lang_free": "language_heard",
    "lid_prob": "language_probability",
    "asr_id+revision+dtype+decode": "transcriber transcriber_dtype transcriber_decoding",
    "norm_id": "normalizer",
    "ref_norm": "target_text_normalized",
    "hyp_norm": "hypothesis_normalized",
    "unit": "wer_reference_words cer_reference_chars",  # both are kept; the normaliser says which judges
    "S D I": "wer_substitutions wer_deletions wer_insertions cer_substitutions cer_deletions cer_insertions",
    "hits N": "wer_reference_words cer_reference_chars",  # hits are N less S and D
    "wer_vs_prompt_text": "prompt_echo_wer",
    "asr_avg_logprob": "avg_logprob",
    "no_speech_prob": "no_speech_probability",
    "run_id": "fingerprint",
    "sim_prompt": "similarity",
    "sim_gt": "similarity_ground_truth",
    "sim_model_id": "speaker_encoder",
    "sim_window_min": "similarity_window_min",
    "mos_{name}": "dnsmos_ovrl dnsmos_sig dnsmos_bak quality_model",
    "dur_s": "duration_s",
    "lead/trail_sil_s": "leading_silence_s trailing_silence_s",
    "rms": "rms_dbfs",
    "clip_frac": "clipped_fraction",
    "sr": "sample_rate",
    "gen_s": "engine_s",
    "rtf": "engine_s duration_s",
    "watermark": "watermark_score",
}
SAME_FIELDS = (
    "seed take category status prompt_text wer cer compression_ratio speech_ratio chars_per_s gate"
    " gate_reasons"
)


def test_every_field_of_the_reference_has_its_columns() -> None:
    columns = " ".join([SAME_FIELDS, *REFERENCE_FIELDS.values()]).split()
    assert [name for name in columns if name not in records.RESULT_ROW.names] == []
