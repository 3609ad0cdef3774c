"""What was said before stays in the prompt: a row that follows another goes on from its text and codes.

These turns stand behind the reference, which stays first, and before the row's own text.
Source: `generation_chunk_buffer_size` of the original repository's examples/generation.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.codecs.base import Codes
from pipeline.engine.base import GenerationItem
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.errors import RowError
from pipeline.records import ChatMLSample, GeneratedCodes


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """Ids of a row's text turn and of the turn that speaks it, and the codes [K, T] of the latter."""

    ids: list[int]
    codes: Codes


@dataclass(frozen=True, slots=True)
class Context:
    """How much of what was said before is kept: `rows` turns at most, 0 for none."""

    prompt_format: PromptFormat
    rows: int

    def extend(self, sample: ChatMLSample, turns: Sequence[SpokenTurn]) -> ChatMLSample:
        """`sample` with as many of the latest `turns` as there is room for; the oldest are left out first.

        The very `sample` where that is none.
        """
        own = self._own_turn(sample)
        free = self.prompt_format.max_positions - len(sample.input_ids) - sample.max_new_frames
        free -= self.prompt_format.num_codebooks
        kept: list[SpokenTurn] = []
        for turn in reversed(turns[-self.rows :] if self.rows else []):
            free -= len(turn.ids)
            if free < 0:
                break
            kept.insert(0, turn)
        if not kept:
            return sample
        before = [i for turn in kept for i in turn.ids]
        ends = sample.audio_ids_start[-1] + np.cumsum([turn.codes.shape[1] for turn in kept], dtype=np.int64)
        return replace(
            sample,
            input_ids=[*sample.input_ids[:own], *before, *sample.input_ids[own:]],
            audio_ids_concat=np.concatenate(
                [sample.audio_ids_concat, *(turn.codes for turn in kept)], axis=1
            ),
            audio_ids_start=[*sample.audio_ids_start, *ends.tolist()],
        )

    def turn(self, sample: ChatMLSample, codes: Codes) -> SpokenTurn:
        """What the row of `sample` leaves to those that follow it, once its codes [K, T] are known."""
        special = self.prompt_format.special
        asked = sample.input_ids[self._own_turn(sample) :]
        frames = self.prompt_format.frame_ids(codes)
        return SpokenTurn([*asked, *frames, special.audio_eos, special.eot], codes)

    def _own_turn(self, sample: ChatMLSample) -> int:
        """Where the row's text turn begins: it and the header of the turn to be spoken are the last two."""
        headers = np.flatnonzero(np.equal(sample.input_ids, self.prompt_format.special.start_header))
        return int(headers[-2])


class Chains:
    """The rows of one call, each let go once the row that it follows has been spoken.

    A row follows the one right before it, if it names that one's id; any other begins anew. What a row that
    failed, or did not end by itself, has said is nobody's context: a babble would go on for ever.
    """

    def __init__(self, items: Sequence[GenerationItem], context: Context | None) -> None:
        self._items = items
        self._context = context
        self._said: dict[int, list[SpokenTurn]] = {}  # of rows that another one still waits for
        self._spoken: dict[int, GeneratedCodes | RowError] = {}

    def first(self) -> Iterator[tuple[int, GenerationItem]]:
        """The rows that wait for no other, with their places."""
        return ((i, item) for i, item in enumerate(self._items) if not self._follows(i))

    def ended(self, place: int, spoken: GeneratedCodes | RowError) -> Iterator[tuple[int, GenerationItem]]:
        """Takes what became of a row; gives the row that follows it, if there is one."""
        self._spoken[place] = spoken
        said = self._said.pop(place, [])
        if self._context is None or not self._follows(place + 1):
            return
        if isinstance(spoken, GeneratedCodes) and spoken.finish_reason == "eos" and spoken.codes.shape[1]:
            turn = self._context.turn(self._items[place].sample, spoken.codes)
            said = [*said, turn][-self._context.rows :]
        item = self._items[place + 1]
        self._said[place + 1] = said
        sample = self._context.extend(item.sample, said)
        yield place + 1, replace(item, sample=sample, extended=sample is not item.sample)

    @property
    def spoken(self) -> list[GeneratedCodes | RowError]:
        """What became of every row, in the rows' order, once all have ended."""
        return [self._spoken[place] for place in range(len(self._items))]

    def _follows(self, place: int) -> bool:
        if self._context is None or not self._context.rows or not 0 < place < len(self._items):
            return False
        return self._items[place].follows == self._items[place - 1].utterance_id
