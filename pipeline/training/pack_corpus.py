"""Corpus shard + codec -> labelled training samples of the pipeline's own schema.

The utterances of a shard are one speaker's. Short ones are references, each for a few targets, and every
utterance is a target once; a reference is never its own target. Rows of one reference are neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa

from pipeline.audio import WHISPER_SAMPLE_RATE, Waveform, decode_audio, resample, to_int16
from pipeline.codecs.base import Codec, Codes
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.frame_budget import max_new_frames
from pipeline.records import SAMPLE_ROW, Row, SpeakerPrompt, SynthesisRequest, to_table
from pipeline.stages.load_prompt import prompt_id
from pipeline.stages.pack_sample import sample_columns
from pipeline.training.phones import PHONES_PER_FRAME, phone_labels
from pipeline.training.samples import PHONES_COLUMN

LANGUAGE = "en"
# Mostly short ones, since a model reads the reference's frames again for each target; but people bring
# longer ones, and what was never seen in training is not understood.
SHORT_S, LONG_S, LONG_SHARE = (1.2, 2.6), (2.6, 4.5), 0.3

TRAINING_ROW = SAMPLE_ROW.append(pa.field(PHONES_COLUMN, pa.binary()))


@dataclass(frozen=True, slots=True)
class Pairing:
    """Indices of a shard's utterances: a reference and what it is the reference of."""

    reference: int
    targets: tuple[int, ...]


def pair_up(durations: Sequence[float], targets_each: int, seed: int) -> list[Pairing]:
    """Every utterance a target once, its reference another one, for most `SHORT_S` and for some `LONG_S`.

    Where nothing else is as long as that, any other utterance is the reference.
    """
    rng = np.random.default_rng(seed)
    order = [int(i) for i in rng.permutation(len(durations))]
    pairings = []
    for first in range(0, len(order), targets_each):
        targets = tuple(order[first : first + targets_each])
        low, high = LONG_S if rng.random() < LONG_SHARE else SHORT_S
        others = [i for i in order if i not in targets]
        fitting = [i for i in others if low <= durations[i] <= high] or others
        if fitting:
            pairings.append(Pairing(fitting[rng.integers(len(fitting))], targets))
        else:
            # there are no more utterances than these: each stands for the next
            pairings += [Pairing(targets[i - 1], (target,)) for i, target in enumerate(targets)]
    return sorted(pairings, key=lambda pairing: pairing.reference)


def pack_shard(
    name: str,
    rows: Sequence[Row],
    codec: Codec,
    prompt_format: PromptFormat,
    *,
    targets_each: int = 6,
    limit: int | None = None,
) -> pa.Table:
    """The samples of a corpus shard (`CORPUS_ROW` rows of one speaker) as TRAINING_ROW, the first `limit`."""
    clips = [decode_audio(row["audio"]["bytes"]) for row in rows]
    codes = codec.encode([resample(clip, codec.sample_rate) for clip in clips])
    pairings = pair_up([row["duration_s"] for row in rows], targets_each, seed=int(name))
    samples = _samples(name, rows, clips, codes, pairings, codec.frame_rate, prompt_format)
    return to_table(list(islice(samples, limit)), TRAINING_ROW)


def _samples(
    name: str,
    rows: Sequence[Row],
    clips: Sequence[Waveform],
    codes: Sequence[Codes],
    pairings: Sequence[Pairing],
    frame_rate: float,
    prompt_format: PromptFormat,
) -> Iterator[Row]:
    for pairing in pairings:
        spoken = rows[pairing.reference]
        prompt = spoken_prompt(
            spoken["audio"]["bytes"], spoken["text"], clips[pairing.reference], codes[pairing.reference]
        )
        for target in pairing.targets:
            row = rows[target]
            request = SynthesisRequest(
                row=target + 1,
                utterance_id=row["utterance_id"],
                prompt_audio=f"{name}#{rows[pairing.reference]['utterance_id']}",
                prompt_text=prompt.prompt_text,
                target_text=row["text"],
                language=LANGUAGE,
                seed=0,
                speaker=row["speaker_id"],
                audio_uri=f"{name}#{row['utterance_id']}",
            )
            sample = prompt_format.pack(
                request,
                prompt,
                max_new_frames=max_new_frames(row["text"], LANGUAGE, frame_rate),
                label_codes=codes[target],
            )
            planned = {field: getattr(request, field) for field in SynthesisRequest.__slots__}
            phones = phone_labels(row["phones"], PHONES_PER_FRAME * codes[target].shape[1]).tobytes()
            yield (
                planned
                | {"shard": name, "prompt_id": prompt.prompt_id, PHONES_COLUMN: phones}
                | sample_columns(sample)
            )


def spoken_prompt(data: bytes, text: str, clip: Waveform, codes: Codes) -> SpeakerPrompt:
    """A reference as a run would encode it, but for its embedding: its file, what it says, clip and codes."""
    digest = hashlib.sha256(data).hexdigest()
    return SpeakerPrompt(
        prompt_id=prompt_id(digest, text, LANGUAGE),
        prompt_text=text,
        codes=codes,
        waveform=to_int16(resample(clip, WHISPER_SAMPLE_RATE).samples),
        duration_s=clip.duration_s,
        embedding=None,
    )
