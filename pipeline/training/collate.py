"""Training samples -> batches without padding, where rows of one reference share their prompt.

A conversation is a prompt (all up to the end of the reference's turn) and several targets, each a text
turn and the turn that speaks it. A batch is one row of many conversations end to end; `Conversation`
spans tell the attention that a target sees its prompt and itself, and positions go on from the prompt in
each target, so that the losses are those of the samples one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.audio import from_int16
from pipeline.engine.chat_prompt import IGNORED, PromptFormat
from pipeline.engine.delay_pattern import Codes, Ids, build_delay_pattern
from pipeline.errors import ConfigError
from pipeline.records import ChatMLSample
from pipeline.training.phones import PHONES_PER_FRAME
from pipeline.training.reading_guide import FREE_KNOWN, Reading, even_progress, phone_progress

Span = tuple[int, int]  # start and end in the batch's one row


@dataclass(frozen=True, slots=True)
class Target:
    """What follows the prompt: ids and labels [L] of the text and speech turns, codes [K, T].

    `phones` [T, P] are indices of the phones that each frame says, where they are known.
    """

    input_ids: npt.NDArray[np.int32]
    label_ids: npt.NDArray[np.int32]
    codes: Codes
    phones: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """One reference: prompt ids [L], its clips' codes [K, T] each, 16 kHz waveforms, and the targets."""

    prompt_ids: npt.NDArray[np.int32]
    clips: list[Codes]
    waveforms: list[npt.NDArray[np.int16]]
    targets: list[Target]


@dataclass(frozen=True, slots=True)
class Batch:
    """N positions in one row, A of them audio. Labels are those of the next position, -100 is none."""

    input_ids: torch.Tensor  # [1, N]
    position_ids: torch.Tensor  # [1, N]
    audio_input_ids: torch.Tensor  # [1, A, K], delayed
    audio_at: torch.Tensor  # [A], their positions
    audio_positions: torch.Tensor  # [M], where the next codes are learned
    audio_labels: torch.Tensor  # [M, K]
    phone_labels: torch.Tensor  # [M, P]
    text_positions: torch.Tensor  # [S]
    text_labels: torch.Tensor  # [S]
    spans: list[tuple[Span, list[Span]]]  # of each conversation: its prompt, its targets
    readings: list[Reading]  # of the targets, in order
    waveforms: list[npt.NDArray[np.float32]]

    def to(self, device: torch.device) -> Batch:
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            position_ids=self.position_ids.to(device),
            audio_input_ids=self.audio_input_ids.to(device),
            audio_at=self.audio_at.to(device),
            audio_positions=self.audio_positions.to(device),
            audio_labels=self.audio_labels.to(device),
            phone_labels=self.phone_labels.to(device),
            text_positions=self.text_positions.to(device),
            text_labels=self.text_labels.to(device),
        )

    @property
    def num_positions(self) -> int:
        return self.input_ids.shape[1]


def split_sample(
    sample: ChatMLSample, prompt_format: PromptFormat, phones: npt.NDArray[np.uint8] | None = None
) -> Conversation:
    """A labelled sample as a conversation of one target. Raises ConfigError for one without labels."""
    if sample.label_ids is None or sample.label_audio_ids is None:
        raise ConfigError("a training sample has no labels: pack it with label_codes")
    ids = np.asarray(sample.input_ids, dtype=np.int32)
    end = _prompt_length(ids, prompt_format)
    bounds = sample.audio_waveforms_start
    clips = np.split(sample.audio_ids_concat, sample.audio_ids_start[1:-1], axis=1)
    labels = np.asarray(sample.label_ids, dtype=np.int32)
    return Conversation(
        prompt_ids=ids[:end],
        clips=clips[:-1],
        waveforms=[sample.audio_waveforms_concat[a:b] for a, b in pairwise(bounds)],
        targets=[Target(ids[end:], labels[end:], sample.label_audio_ids, phones)],
    )


def _prompt_length(ids: npt.NDArray[np.int32], prompt_format: PromptFormat) -> int:
    # the reference's turn is the first that speaks; it ends at the end of turn after it
    special = prompt_format.special
    speaks = int(np.flatnonzero(ids == special.audio_out_bos)[0])
    return speaks + int(np.flatnonzero(ids[speaks:] == special.eot)[0]) + 1


def share_prompts(conversations: Iterable[Conversation], max_targets: int) -> Iterator[Conversation]:
    """Neighbours of one prompt as one conversation of at most `max_targets` targets."""
    current: Conversation | None = None
    for conversation in conversations:
        if current is not None and len(current.targets) < max_targets and _same_prompt(current, conversation):
            current.targets.extend(conversation.targets)
            continue
        if current is not None:
            yield current
        first = conversation
        current = Conversation(first.prompt_ids, first.clips, first.waveforms, list(first.targets))
    if current is not None:
        yield current


def _same_prompt(a: Conversation, b: Conversation) -> bool:
    if not np.array_equal(a.prompt_ids, b.prompt_ids) or len(a.waveforms) != len(b.waveforms):
        return False
    same_codes = all(map(np.array_equal, a.clips, b.clips))
    return same_codes and all(map(np.array_equal, a.waveforms, b.waveforms))


def next_code_labels(codes: Codes, eos: int) -> Ids:
    """Codes [K, T] as labels [T + K, K] of the delayed columns but the last: what each is followed by.

    As in the original's `audio_label_ids`: BOS is never learned, EOS once in each codebook, and nothing
    where another codebook is still to come or already over.
    """
    num_codebooks, num_frames = codes.shape
    labels = np.full((num_codebooks, num_frames + num_codebooks + 1), IGNORED, dtype=np.int64)
    for k in range(num_codebooks):
        labels[k, k + 1 : k + 1 + num_frames] = codes[k]
        labels[k, k + 1 + num_frames] = eos
    return labels[:, 1:].T


def next_phone_labels(target: Target) -> Ids:
    """Phones as labels [T + K, P], beside the first codebook's; nothing where they are not known."""
    num_codebooks, num_frames = target.codes.shape
    labels = np.full((num_frames + num_codebooks, PHONES_PER_FRAME), IGNORED, dtype=np.int64)
    if target.phones is not None:
        labels[:num_frames] = target.phones
    return labels


def collate(conversations: Sequence[Conversation], prompt_format: PromptFormat) -> Batch:
    """Conversations as one batch, in their order."""
    special = prompt_format.special
    bos, eos = prompt_format.stream_bos, prompt_format.stream_eos
    ids: list[npt.NDArray[Any]] = []
    positions: list[npt.NDArray[Any]] = []
    audio: list[npt.NDArray[Any]] = []
    learned_at: dict[str, list[npt.NDArray[Any]]] = {"audio": [], "text": []}
    labels: dict[str, list[npt.NDArray[Any]]] = {"audio": [], "phones": [], "text": []}
    spans: list[tuple[Span, list[Span]]] = []
    readings: list[Reading] = []
    length = 0
    for conversation in conversations:
        prompt = len(conversation.prompt_ids)
        ids.append(conversation.prompt_ids)
        positions.append(np.arange(prompt))
        audio += [build_delay_pattern(clip, bos, eos).T for clip in conversation.clips]
        start, length = length, length + prompt
        targets: list[Span] = []
        for target in conversation.targets:
            size = len(target.input_ids)
            ids.append(target.input_ids)
            positions.append(np.arange(prompt, prompt + size))
            audio.append(build_delay_pattern(target.codes, bos, eos).T)
            columns = np.flatnonzero(np.isin(target.input_ids, [special.audio_out, special.delay]))
            learned_at["audio"].append(length + columns[:-1])
            labels["audio"].append(next_code_labels(target.codes, eos))
            labels["phones"].append(next_phone_labels(target))
            worded = np.flatnonzero(target.label_ids[1:] != IGNORED)
            learned_at["text"].append(length + worded)
            labels["text"].append(target.label_ids[worded + 1])
            header, end = (
                np.flatnonzero(target.input_ids == i)[0] for i in (special.end_header, special.eot)
            )
            text = (int(header) + 1, int(end))
            if target.phones is None:
                readings.append(Reading(text, int(columns[0]), even_progress(target.codes.shape[1])))
            else:
                progress = phone_progress(target.phones)
                readings.append(Reading(text, int(columns[0]), progress, FREE_KNOWN))
            targets.append((length, length + size))
            length += size
        spans.append(((start, start + prompt), targets))
    input_ids = _tensor(ids)
    speaks = torch.isin(input_ids, torch.tensor([special.audio_out, special.delay]))
    return Batch(
        input_ids=input_ids[None],
        position_ids=_tensor(positions)[None],
        audio_input_ids=_tensor(audio)[None],
        audio_at=speaks.nonzero()[:, 0],
        audio_positions=_tensor(learned_at["audio"]),
        audio_labels=_tensor(labels["audio"]),
        phone_labels=_tensor(labels["phones"]),
        text_positions=_tensor(learned_at["text"]),
        text_labels=_tensor(labels["text"]),
        spans=spans,
        readings=readings,
        waveforms=[from_int16(w) for conversation in conversations for w in conversation.waveforms],
    )


def _tensor(arrays: Sequence[npt.NDArray[Any]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(arrays).astype(np.int64))
