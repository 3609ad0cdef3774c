"""Held-out sample rows: asked of an engine, with or without a part of the model, and turned into audio."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.audio import decode_audio, resample
from pipeline.codecs.base import Codec
from pipeline.engine.base import GenerationItem
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.frame_budget import max_new_frames
from pipeline.errors import ConfigError
from pipeline.records import ChatMLSample, GeneratedCodes, Row, SpeakerPrompt, SynthesisRequest
from pipeline.stages.pack_sample import sample_columns, sample_of
from pipeline.training.ablations import Ablation, ablate_codes, ablate_sample, without_labels
from pipeline.training.pack_corpus import spoken_prompt
from pipeline.training.speech_quality import SpokenRow


def read_rows(folder: Path, count: int) -> list[Row]:
    """`count` rows, evenly spread over the shards (`*.parquet`) in and below `folder`. Or ConfigError."""
    rows = [row for shard in sorted(folder.rglob("*.parquet")) for row in pq.read_table(shard).to_pylist()]
    rows = [row for row in rows if row["failed_stage"] is None]
    if not rows:
        raise ConfigError(f"{folder}: no sample rows")
    return _spread(rows, count)


def pack_rows(manifest: Path, count: int, prompt_format: PromptFormat, codec: Codec) -> list[Row]:
    """`count` rows of a manifest as `held_out_set` writes it, evenly spread, packed as a run would."""
    with manifest.open(encoding="utf-8", newline="") as file:
        asked = _spread(list(csv.DictReader(file)), count)
    prompts: dict[str, SpeakerPrompt] = {}
    rows: list[Row] = []
    for number, row in enumerate(asked, start=1):
        if (prompt := prompts.get(row["ref"])) is None:
            data = (manifest.parent / row["ref"]).read_bytes()
            clip = decode_audio(data)
            [codes] = codec.encode([resample(clip, codec.sample_rate)])
            prompt = prompts[row["ref"]] = spoken_prompt(data, row["ref_text"], clip, codes)
        request = SynthesisRequest(
            row=number,
            utterance_id=row["id"],
            prompt_audio=row["ref"],
            prompt_text=row["ref_text"],
            target_text=row["text"],
            language=row["language"],
            seed=0,
            speaker=row["speaker"],
        )
        frames = max_new_frames(row["text"], row["language"], codec.frame_rate)
        packed = sample_columns(prompt_format.pack(request, prompt, max_new_frames=frames))
        rows.append(
            {name: getattr(request, name) for name in SynthesisRequest.__slots__}
            | {"prompt_id": prompt.prompt_id}
            | packed
        )
    return rows


def _spread(rows: list[Row], count: int) -> list[Row]:
    count = min(count, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def voice_of(row: Row) -> str:
    return str(row["speaker"] or row["prompt_id"])


def samples_by_voice(rows: Sequence[Row]) -> dict[str, ChatMLSample]:
    """A sample of each voice, the first in `rows`."""
    return {voice_of(row): sample_of(row) for row in reversed(rows)}


def items_of(
    rows: Sequence[Row], ablation: Ablation, prompt_format: PromptFormat, *, seed: int, take: int
) -> list[GenerationItem]:
    """What the engine is asked; the codes of "another voice" are those of the next row that has one."""
    asked = [without_labels(sample_of(row), prompt_format) for row in rows]
    items = []
    for i, (row, sample) in enumerate(zip(rows, asked, strict=True)):
        following = [(i + j) % len(rows) for j in range(1, len(rows))]
        other = next((asked[j] for j in following if voice_of(rows[j]) != voice_of(row)), sample)
        sample = ablate_sample(sample, ablation, other.audio_ids_concat, prompt_format)
        items.append(GenerationItem(row["utterance_id"], sample, seed=seed + i + len(rows) * take))
    return items


def labelled_codes(rows: Sequence[Row]) -> list[GeneratedCodes]:
    """The codes that the model should say, of rows with labels. Raises ConfigError for one without."""
    found = []
    for row in rows:
        codes = sample_of(row).label_audio_ids
        if codes is None:
            raise ConfigError(f"{row['utterance_id']} has no labels")
        found.append(GeneratedCodes(row["utterance_id"], codes, "eos", seed=0))
    return found


def as_audio(
    rows: Sequence[Row], codes: Sequence[GeneratedCodes], codec: Codec, ablation: Ablation
) -> list[SpokenRow]:
    """Codes in the order of `rows`, decoded; a codec of fewer codebooks gets the first ones."""
    said = {i: c for i, c in enumerate(codes) if c.codes.shape[1] > 0}
    clips = codec.decode([ablate_codes(c.codes[: codec.num_codebooks], ablation) for c in said.values()])
    audio = dict(zip(said, clips, strict=True))
    return [
        SpokenRow(
            utterance_id=row["utterance_id"],
            voice=voice_of(row),
            text=row["target_text"],
            language=row["language"] or "en",
            audio=audio.get(i),
            finished=i in said and said[i].finish_reason == "eos",
        )
        for i, row in enumerate(rows)
    ]
