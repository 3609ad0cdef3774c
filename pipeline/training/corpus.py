"""The teacher corpus: which speaker says what in which shard, and a shard of it as a table.

A shard holds utterances of one speaker. Shards come in rounds: every speaker once, then every speaker
again with new sentences, so that the corpus is balanced wherever it is cut off. Everything follows from
the seed, the sentences and the voices; nothing depends on the order in which shards are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.audio import encode_flac
from pipeline.records import AUDIO_STRUCT, Row
from pipeline.training.teacher import Speaker, draw_speaker, speak
from pipeline.training.texts import TextSource

CORPUS_ROW = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("speaker_id", pa.string()),
        ("base_voice", pa.string()),
        ("formant_ratio", pa.float64()),
        ("f0_mean_hz", pa.float64()),
        ("f0_stddev_hz", pa.float64()),
        ("rate", pa.float64()),
        ("text", pa.string()),
        ("split", pa.string()),  # train | valid
        ("audio", AUDIO_STRUCT),
        ("duration_s", pa.float64()),
        ("phones", pa.list_(pa.struct([("phone", pa.string()), ("end_s", pa.float64())]))),
    ]
)


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """How large the corpus is. Held-out speakers speak in the first `valid_rounds` rounds only."""

    seed: int = 1
    speakers: int = 200
    held_out_speakers: int = 16
    rounds: int = 5
    valid_rounds: int = 1
    utterances_per_shard: int = 60


@dataclass(frozen=True, slots=True)
class CorpusShard:
    """One speaker's sentences: `texts[i]` is utterance `i` of the shard."""

    index: int
    speaker: Speaker
    split: str
    texts: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.index:05d}.parquet"


def plan_shards(plan: CorpusPlan, texts: TextSource) -> Iterator[CorpusShard]:
    """The shards in order. A sentence is read once until all have been, so the splits share none."""
    for index, split, speaker in _turns(plan):
        first = index * plan.utterances_per_shard
        said = tuple(texts[first + i] for i in range(plan.utterances_per_shard))
        yield CorpusShard(index, draw_speaker(speaker, plan.seed), split, said)


def speak_shard(shard: CorpusShard) -> pa.Table:
    """The shard's rows, `CORPUS_ROW`. Raises ConfigError where flite is missing."""
    return pa.Table.from_pylist([_row(shard, i) for i in range(len(shard.texts))], schema=CORPUS_ROW)


def _turns(plan: CorpusPlan) -> Iterator[tuple[int, str, int]]:
    index = 0
    for round_ in range(plan.rounds):
        held_out = plan.held_out_speakers if round_ < plan.valid_rounds else 0
        for speaker in range(plan.speakers + held_out):
            yield index, "train" if speaker < plan.speakers else "valid", speaker
            index += 1


def _row(shard: CorpusShard, i: int) -> Row:
    speaker, text = shard.speaker, shard.texts[i]
    speech = speak(speaker, text)
    return {
        "utterance_id": f"{shard.index:05d}-{i:03d}",
        "speaker_id": speaker.speaker_id,
        "base_voice": speaker.base_voice,
        "formant_ratio": speaker.formant_ratio,
        "f0_mean_hz": speaker.f0_mean_hz,
        "f0_stddev_hz": speaker.f0_stddev_hz,
        "rate": speaker.rate,
        "text": text,
        "split": shard.split,
        "audio": {"bytes": encode_flac(speech.waveform), "path": None},
        "duration_s": speech.waveform.duration_s,
        "phones": [{"phone": p.phone, "end_s": p.end_s} for p in speech.phones],
    }
