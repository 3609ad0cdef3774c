"""The data, in the order it flows: a frozen dataclass per record, its Arrow schema beside it.

A shard travels as a `pa.Table` of one of the row schemas at the end; each is the one before it,
less the columns whose last reader has passed, plus what the stage made. Bytes columns are
little-endian C-order arrays whose shape and dtype stand beside them, so that any Parquet reader can
use them. A row that has failed keeps its place with the fault columns filled and the rest null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Row = dict[str, Any]
FinishReason = Literal["eos", "length"]


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """A checked manifest row. `row` counts data rows from 1."""

    row: int
    utterance_id: str
    prompt_audio: str | None
    prompt_text: str | None
    target_text: str
    language: str
    seed: int
    scene: str | None = None
    speaker: str | None = None
    audio_uri: str | None = None  # audio that exists already, for `score`
    max_duration_s: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    consent_id: str | None = None
    ground_truth_audio: str | None = None  # somebody saying the target text, for comparison alone
    category: str | None = None  # what kind of row it is, for whoever reads the results
    follows: str | None = None  # the utterance_id of the row that this one goes on from
    # SPEAKER0, SPEAKER1, ...: prompt_audio and prompt_text, or a description. None for a row with just one
    # reference; of the others `prompt_audio` and `prompt_text` are those of the first reference
    voices: list[dict[str, str | None]] | None = None


REQUEST = pa.schema(
    [
        ("row", pa.int64()),
        ("utterance_id", pa.string()),
        ("prompt_audio", pa.string()),
        ("prompt_text", pa.string()),
        ("target_text", pa.string()),
        ("language", pa.string()),
        ("seed", pa.int64()),
        ("scene", pa.string()),
        ("speaker", pa.string()),
        ("audio_uri", pa.string()),
        ("max_duration_s", pa.float64()),
        ("temperature", pa.float64()),
        ("top_p", pa.float64()),
        ("top_k", pa.int32()),
        ("consent_id", pa.string()),
        ("ground_truth_audio", pa.string()),
        ("category", pa.string()),
        ("follows", pa.string()),
        (
            "voices",
            pa.list_(
                pa.struct(
                    [
                        ("prompt_audio", pa.string()),
                        ("prompt_text", pa.string()),
                        ("description", pa.string()),
                    ]
                )
            ),
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class SpeakerPrompt:
    """A reference voice, encoded once per distinct (audio, transcript)."""

    prompt_id: str  # sha256 of audio bytes and transcript, 32 hex digits
    prompt_text: str
    codes: npt.NDArray[np.uint16]  # [K, T]
    waveform: npt.NDArray[np.int16]  # 16 kHz mono, for the Whisper pathway
    duration_s: float
    embedding: npt.NDArray[np.float32] | None  # of the run's speaker encoder


@dataclass(frozen=True, slots=True)
class ChatMLSample:
    """What the model is fed, and with labels and target codes a training sample.

    Field names follow the original repository's `ChatMLDatasetSample`. `*_start` holds the offset of
    each clip in the concatenated array plus the total at the end.
    """

    messages: list[dict[str, str | None]]  # role, type (text | audio), text, audio_url
    input_ids: list[int]
    audio_ids_concat: npt.NDArray[np.uint16]  # [K, sum T], raw codes: no BOS, EOS or delay
    audio_ids_start: list[int]
    audio_waveforms_concat: npt.NDArray[np.int16]  # empty unless the checkpoint has the semantic pathway
    audio_waveforms_start: list[int]
    audio_sample_rate: int
    max_new_frames: int
    label_ids: list[int] | None = None
    label_audio_ids: npt.NDArray[np.uint16] | None = None  # [K, T] target codes


SAMPLE = pa.schema(
    [
        (
            "messages",
            pa.list_(
                pa.struct(
                    [
                        ("role", pa.string()),
                        ("type", pa.string()),
                        ("text", pa.string()),
                        ("audio_url", pa.string()),
                    ]
                )
            ),
        ),
        ("input_ids", pa.list_(pa.int32())),
        ("audio_ids_concat", pa.binary()),  # uint16
        ("audio_ids_shape", pa.list_(pa.int32())),
        ("audio_ids_start", pa.list_(pa.int32())),
        ("audio_waveforms_concat", pa.binary()),  # int16
        ("audio_waveforms_start", pa.list_(pa.int32())),
        ("audio_sample_rate", pa.int32()),
        ("max_new_frames", pa.int32()),
        ("label_ids", pa.list_(pa.int32())),
        ("label_audio_ids", pa.binary()),  # uint16
        ("label_audio_shape", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True, slots=True)
class GeneratedCodes:
    """What the model said, delay pattern already reverted, BOS and EOS gone."""

    utterance_id: str
    codes: npt.NDArray[np.uint16]  # [K, T]
    finish_reason: FinishReason
    seed: int
    engine_s: float = 0.0  # its share of the seconds that the engine worked


CODES = pa.schema(
    [
        ("take", pa.int32()),
        ("engine_s", pa.float64()),
        ("finish_reason", pa.string()),
        ("codes", pa.binary()),
        ("codes_shape", pa.list_(pa.int32())),  # [K, T]
        ("codes_dtype", pa.string()),
        ("codes_sha256", pa.string()),
    ]
)


# the form that Hugging Face `datasets` reads as an Audio feature
AUDIO_STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
UTTERANCE = pa.schema(
    [
        ("audio", AUDIO_STRUCT),
        ("audio_sha256", pa.string()),  # of the bytes, which are those of an exported file
        ("sample_rate", pa.int32()),
        ("num_samples", pa.int64()),
        ("duration_s", pa.float64()),
        ("watermark_score", pa.float64()),  # what its detector says, 0 to 1; null without a watermark
    ]
)


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Edit operations of an alignment; `reference_length` is N = S + D + hits."""

    substitutions: int
    deletions: int
    insertions: int
    reference_length: int


# What the evaluators heard. A score that could not be made is null, and `unscored_reason` says why: what
# begins with "similarity: ", behind a "; " if there is more, is about the similarity, what begins with
# "ground truth: " behind that about the one to the ground truth, the rest about WER. It also says why a clip
# without speech was shown to no transcriber: that one has the hypothesis "" and its WER.
SCORES = pa.schema(
    [
        ("hypothesis", pa.string()),
        ("wer", pa.float64()),
        ("wer_substitutions", pa.int32()),
        ("wer_deletions", pa.int32()),
        ("wer_insertions", pa.int32()),
        ("wer_reference_words", pa.int32()),
        ("cer", pa.float64()),
        ("cer_substitutions", pa.int32()),
        ("cer_deletions", pa.int32()),
        ("cer_insertions", pa.int32()),
        ("cer_reference_chars", pa.int32()),
        ("similarity", pa.float64()),  # to the reference, the first one of a dialogue
        ("similarity_ground_truth", pa.float64()),
        ("unscored_reason", pa.string()),
        ("transcriber", pa.string()),
        # what the transcriber computes in, and `option=value; ...` in the terms of metrics/protocols.py
        ("transcriber_dtype", pa.string()),
        ("transcriber_decoding", pa.string()),
        ("speaker_encoder", pa.string()),
        ("quality_model", pa.string()),
        ("normalizer", pa.string()),
        ("protocol", pa.string()),
        # of the texts, as they were compared; WER against what the reference says, 0 where that was read
        # aloud; bytes of the hypothesis over those of its zlib, above 2.4 where it goes round in circles
        ("target_text_normalized", pa.string()),
        ("hypothesis_normalized", pa.string()),
        ("prompt_echo_wer", pa.float64()),
        ("compression_ratio", pa.float64()),
        # of the transcriber, null where it does not say
        ("language_heard", pa.string()),  # BCP-47, had it not been told
        ("language_probability", pa.float64()),
        ("no_speech_probability", pa.float64()),
        ("avg_logprob", pa.float64()),  # nats per token
        # of the speaker encoder, null for clips under 3.2 s: the least similar window of 1.6 s
        ("similarity_window_min", pa.float64()),
        # of the samples: frames of 20 ms are speech or not (pipeline/metrics/silence.py)
        ("leading_silence_s", pa.float64()),  # all of a clip without speech
        ("trailing_silence_s", pa.float64()),
        ("speech_ratio", pa.float64()),
        ("rms_dbfs", pa.float64()),
        ("peak_dbfs", pa.float64()),
        ("clipped_fraction", pa.float64()),
        # of the speech without silence at its ends, over characters that are no whitespace
        ("chars_per_s", pa.float64()),
        ("length_ratio", pa.float64()),  # 1 is the reference's own pace
        # ITU-T P.835, 1 to 5
        ("dnsmos_ovrl", pa.float64()),
        ("dnsmos_sig", pa.float64()),
        ("dnsmos_bak", pa.float64()),
    ]
)

# What the gates made of a row. `take` is the one that counts, `takes` are all that were made.
GATES = pa.schema(
    [
        ("gate", pa.string()),  # passed | warned | rejected, null for failed rows; `again` in takes/ only
        ("gate_reasons", pa.list_(pa.string())),  # `code: detail` each, see metrics/gates.py
        (
            "takes",
            pa.list_(
                pa.struct(
                    [
                        ("take", pa.int32()),
                        ("seed", pa.int64()),
                        ("status", pa.string()),
                        ("error_code", pa.string()),
                        ("wer", pa.float64()),
                        ("cer", pa.float64()),
                        ("similarity", pa.float64()),
                        ("length_ratio", pa.float64()),
                        ("duration_s", pa.float64()),
                        ("engine_s", pa.float64()),
                        ("finish_reason", pa.string()),
                        ("reasons", pa.list_(pa.string())),
                    ]
                )
            ),
        ),
    ]
)
TAKE_FIELDS = tuple(each.name for each in GATES.field("takes").type.value_type)

FAULT = pa.schema(
    [("failed_stage", pa.string()), ("error_code", pa.string()), ("error_message", pa.string())]
)
PROVENANCE = pa.schema(
    [
        ("status", pa.string()),  # ok | failed | rejected
        ("model", pa.string()),  # id@revision
        ("codec", pa.string()),
        ("fingerprint", pa.string()),  # of run.json: what the run is made with, not where it lies
    ]
)
_SHARD = pa.schema([("shard", pa.string())])
_BUDGET = pa.schema([("max_new_frames", pa.int32())])
# what the transcriber wrote down where the manifest has no ref_text
_HEARD_PROMPT = pa.schema([("prompt_text_heard", pa.string())])
# of the voice: its embedding, the ground truth's, and the seconds from its first to its last speech
_EMBEDDING = pa.list_(pa.float32())
_VOICE = pa.schema(
    [
        ("prompt_embedding", _EMBEDDING),
        ("ground_truth_embedding", _EMBEDDING),
        ("prompt_speech_s", pa.float64()),
    ]
)


def _join(*schemas: pa.Schema, drop: frozenset[str] = frozenset()) -> pa.Schema:
    return pa.schema([field for schema in schemas for field in schema if field.name not in drop])


# ---- the rows of a shard, stage by stage

# `voice_prompt_ids` are those of `voices`, null for a voice that is only described
_PROMPT_IDS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("ground_truth_id", pa.string()),
        ("voice_prompt_ids", pa.list_(pa.string())),
    ]
)
PLANNED_ROW = _join(_SHARD, REQUEST, _PROMPT_IDS, FAULT)
SAMPLE_ROW = _join(PLANNED_ROW, _HEARD_PROMPT, _VOICE, SAMPLE)
GENERATED_ROW = _join(PLANNED_ROW, _HEARD_PROMPT, _VOICE, _BUDGET, CODES)
UTTERANCE_ROW = _join(GENERATED_ROW, UTTERANCE)
_HEARD = (
    *("hypothesis", "unscored_reason", "similarity", "similarity_ground_truth", "similarity_window_min"),
    *("language_heard", "language_probability", "no_speech_probability", "avg_logprob"),
    *("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak"),
)
HEARD_ROW = _join(UTTERANCE_ROW, pa.schema([SCORES.field(name) for name in _HEARD]))
SCORED_ROW = _join(UTTERANCE_ROW, SCORES, drop=frozenset({"prompt_embedding", "ground_truth_embedding"}))
# for people, who read from the left: which row, how it went, what was said and heard
_FIRST = (
    *("utterance_id", "status", "wer", "cer", "similarity", "similarity_ground_truth", "duration_s", "row"),
    *("target_text", "hypothesis", "unscored_reason", "error_code", "error_message"),
)
_MADE = _join(PROVENANCE, SCORED_ROW, GATES)
RESULT_ROW = _join(pa.schema([_MADE.field(name) for name in _FIRST]), _join(_MADE, drop=frozenset(_FIRST)))


def request_of(row: Mapping[str, Any]) -> SynthesisRequest:
    return SynthesisRequest(**{f.name: row[f.name] for f in fields(SynthesisRequest)})


def is_failed(row: Mapping[str, Any]) -> bool:
    return row.get("failed_stage") is not None


def count_failed(table: pa.Table) -> int:
    return int(table.num_rows - table.column("failed_stage").null_count)


def to_table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Rows as a table of exactly `schema`: keys it lacks become null, keys it does not know are dropped."""
    return pa.Table.from_pylist(rows, schema=schema)


def array_of(data: bytes, shape: Iterable[int], dtype: str) -> npt.NDArray[Any]:
    """The array a bytes column holds (read-only view)."""
    return np.frombuffer(data, dtype=np.dtype(dtype).newbyteorder("<")).reshape(tuple(shape))


def bytes_of(array: npt.NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
