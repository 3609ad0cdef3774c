"""Planned row + its SpeakerPrompts -> ChatMLSample, as a row of the samples' Parquet shards."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.frame_budget import max_new_frames
from pipeline.records import ChatMLSample, Row, array_of, bytes_of, request_of
from pipeline.stages.each_row import each_row
from pipeline.stages.encode_prompt import PromptLookup, voice_lookup

STAGE = "pack_sample"


def pack_samples(
    rows: Sequence[Row], prompt_format: PromptFormat, frame_rate: float, prompt_of: PromptLookup
) -> list[Row]:
    """`prompt_of` raises the RowError that encoding the voice, or the ground truth, ended with."""
    voice_of = voice_lookup(prompt_of)

    def pack(row: Row) -> Row:
        ids = [row["prompt_id"]] if row["voices"] is None else row["voice_prompt_ids"]
        prompts = [prompt_of(prompt_id) for prompt_id in ids if prompt_id is not None]
        budget = max_new_frames(
            row["target_text"], row["language"], frame_rate, max_duration_s=row["max_duration_s"]
        )
        sample = prompt_format.pack(request_of(row), *prompts, max_new_frames=budget)
        heard = prompts[0].prompt_text if prompts and row["prompt_text"] is None else None
        return row | {"prompt_text_heard": heard} | voice_of(row) | sample_columns(sample)

    return each_row(rows, STAGE, pack)


def sample_columns(sample: ChatMLSample) -> Row:
    target = sample.label_audio_ids
    return {
        "messages": sample.messages,
        "input_ids": sample.input_ids,
        "audio_ids_concat": bytes_of(sample.audio_ids_concat),
        "audio_ids_shape": list(sample.audio_ids_concat.shape),
        "audio_ids_start": sample.audio_ids_start,
        "audio_waveforms_concat": bytes_of(sample.audio_waveforms_concat),
        "audio_waveforms_start": sample.audio_waveforms_start,
        "audio_sample_rate": sample.audio_sample_rate,
        "max_new_frames": sample.max_new_frames,
        "label_ids": sample.label_ids,
        "label_audio_ids": None if target is None else bytes_of(target),
        "label_audio_shape": None if target is None else list(target.shape),
    }


def sample_of(row: Row) -> ChatMLSample:
    """The inverse of `sample_columns`."""
    target = row["label_audio_ids"]
    return ChatMLSample(
        messages=row["messages"],
        input_ids=row["input_ids"],
        audio_ids_concat=array_of(row["audio_ids_concat"], row["audio_ids_shape"], "uint16"),
        audio_ids_start=row["audio_ids_start"],
        audio_waveforms_concat=array_of(row["audio_waveforms_concat"], (-1,), "int16"),
        audio_waveforms_start=row["audio_waveforms_start"],
        audio_sample_rate=row["audio_sample_rate"],
        max_new_frames=row["max_new_frames"],
        label_ids=row["label_ids"],
        label_audio_ids=None if target is None else array_of(target, row["label_audio_shape"], "uint16"),
    )
