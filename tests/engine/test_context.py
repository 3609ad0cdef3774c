"""What was said before is in the prompt as a training conversation would have it, and the engine heeds it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.engine.base import GenerationItem, Sampling
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.context import Chains, Context
from pipeline.engine.continuous_engine import ContinuousEngine
from pipeline.engine.service import EngineService
from pipeline.engine.transformers_engine import TransformersEngine
from pipeline.errors import RowError
from pipeline.records import GeneratedCodes

GREEDY = Sampling(temperature=0.0)
FRAMES = 5  # of the voice


@pytest.fixture(scope="module")
def checkpoint(folder_of):
    return load_checkpoint(str(folder_of(8)))


@pytest.fixture(scope="module")
def item_for(checkpoint, request_for, prompt_for):
    def item(name: str, text: str, follows: str | None = None, frames: int = 9) -> GenerationItem:
        sample = checkpoint.prompt_format.pack(
            request_for(text), prompt_for(8, frames=FRAMES), max_new_frames=frames
        )
        return GenerationItem(name, sample, seed=1, follows=follows)

    return item


def codes(frames: int, seed: int = 0):
    return np.random.default_rng(seed).integers(0, 1024, (8, frames)).astype(np.uint16)


def said(name: str, frames: int = 4, reason: str = "eos", seed: int = 0) -> GeneratedCodes:
    return GeneratedCodes(name, codes(frames, seed), reason, 1)  # type: ignore[arg-type]


def test_a_context_is_the_conversation_that_a_training_sample_would_be(
    checkpoint, item_for, request_for, prompt_for
):
    packed = checkpoint.prompt_format
    spoken = codes(7)
    voice = prompt_for(8, frames=FRAMES)
    # the row before with its target, as the trainer packs it
    before = packed.pack(request_for("A cat sat."), voice, max_new_frames=9, label_codes=spoken)
    alone = item_for("b", "Go on.").sample
    context = Context(packed, rows=2)
    turn = context.turn(item_for("a", "A cat sat.").sample, spoken)
    extended = context.extend(alone, [turn])
    assert extended.input_ids == [*before.input_ids, *alone.input_ids[_own_turn(packed, alone) :]]
    assert np.array_equal(extended.audio_ids_concat, np.concatenate([voice.codes, spoken], axis=1))
    assert extended.audio_ids_start == [0, FRAMES, FRAMES + 7]
    assert np.array_equal(extended.audio_waveforms_concat, alone.audio_waveforms_concat)


def _own_turn(packed, sample) -> int:
    """By the tokenizer: the last user turn begins with this header."""
    header = packed.tokenizer.encode("user", add_special_tokens=False).ids
    wanted = [packed.special.start_header, *header, packed.special.end_header]
    ids = sample.input_ids
    return max(i for i in range(len(ids)) if ids[i : i + len(wanted)] == wanted)


def test_the_oldest_turns_go_first_and_what_has_no_room_is_left_out(checkpoint, item_for):
    packed = checkpoint.prompt_format
    sample = item_for("c", "Go on.").sample
    turns = [Context(packed, 2).turn(item_for("x", "A.").sample, codes(n, seed=n)) for n in (3, 4, 5)]

    def kept(context: Context) -> list[int]:
        return np.diff(context.extend(sample, turns).audio_ids_start).tolist()

    assert kept(Context(packed, 2)) == [FRAMES, 4, 5]
    assert kept(Context(packed, 1)) == [FRAMES, 5]
    assert kept(Context(packed, 0)) == [FRAMES]
    # room for the row, its nine frames, the delay of eight codebooks, and one turn
    positions = len(sample.input_ids) + 9 + 8 + len(turns[2].ids)
    assert kept(Context(dataclasses.replace(packed, max_positions=positions), 2)) == [FRAMES, 5]
    assert kept(Context(dataclasses.replace(packed, max_positions=positions - 1), 2)) == [FRAMES]


def test_a_row_waits_for_the_one_before_it_and_a_bad_one_is_no_context(checkpoint, item_for):
    items = [
        item_for("a", "One."),
        item_for("b", "Two.", follows="a"),
        item_for("c", "Three.", follows="b"),
        item_for("d", "Four.", follows="elsewhere"),
        item_for("e", "Five.", follows="d"),
        item_for("f", "Six.", follows="e"),
    ]
    chains = Chains(items, Context(checkpoint.prompt_format, 2))

    def clips(given) -> list[tuple[int, list[int]]]:
        return [(place, np.diff(item.sample.audio_ids_start).tolist()[1:]) for place, item in given]

    assert clips(chains.first()) == [(0, []), (3, [])]
    assert clips(chains.ended(3, RowError("generation_timeout", "late"))) == [(4, [])]
    assert clips(chains.ended(0, said("a", 3))) == [(1, [3])]
    # it babbled to its limit: the one after it goes on from what came before
    assert clips(chains.ended(1, said("b", 40, reason="length"))) == [(2, [3])]
    assert clips(chains.ended(4, said("e", 0))) == [(5, [])]
    assert clips(chains.ended(5, said("f"))) == []
    assert clips(chains.ended(2, said("c"))) == []
    assert [getattr(row, "utterance_id", "error") for row in chains.spoken] == [
        *("a", "b", "c", "error", "e", "f"),
    ]


def test_without_a_context_nobody_waits(checkpoint, item_for):
    items = [item_for("a", "One."), item_for("b", "Two.", follows="a")]
    for context in (None, Context(checkpoint.prompt_format, 0)):
        assert [place for place, _ in Chains(items, context).first()] == [0, 1]


def test_the_service_speaks_a_chain_as_the_oracle_does_row_after_row(checkpoint, item_for):
    context = Context(checkpoint.prompt_format, 2)
    texts = ["A cat sat.", "Go.", "It was a long way.", "Why not?"]
    items = [item_for(f"u{i}", text, follows=f"u{i - 1}" if i else None) for i, text in enumerate(texts)]
    # a random model says no EOS; here a row that reaches its limit counts as ended
    oracle, turns = [], []
    for item in items:
        [row] = TransformersEngine(checkpoint, GREEDY, batch_size=1).generate(
            [dataclasses.replace(item, sample=context.extend(item.sample, turns))]
        )
        oracle.append(row.codes.tolist())
        turns.append(context.turn(item.sample, row.codes))
    engine = _Ending(checkpoint, GREEDY, num_slots=2)
    service = EngineService(engine, max_rows=2, deadline_s=600, context=context)
    # another caller's rows share the slots
    spoken = service.speak([*items, item_for("other", "Elsewhere.")])
    service.close()
    assert [row.codes.tolist() for row in spoken[:4]] == oracle
    # what was said before is in nobody else's prompt: only the voice itself is kept
    assert engine.counters.voices_prefilled == 4
    assert len(engine._prompter._store._held) == 1
    alone = [row.codes.tolist() for row in ContinuousEngine(checkpoint, GREEDY, num_slots=2).generate(items)]
    assert oracle[1:] != alone[1:], "the context changed nothing"


def test_rows_without_a_context_share_their_voice_as_any_others_do(checkpoint, item_for):
    items = [
        item_for("a", "A cat sat."),
        item_for("b", "Go.", follows="a"),
        item_for("c", "Why?", follows="b"),
    ]
    for rows, voices in ((0, 1), (2, 3)):
        engine = _Ending(checkpoint, GREEDY, num_slots=2)
        service = EngineService(
            engine, max_rows=2, deadline_s=600, context=Context(checkpoint.prompt_format, rows)
        )
        service.speak(items)
        service.close()
        assert engine.counters.voices_prefilled == voices


class _Ending(ContinuousEngine):
    def advance(self):
        return [(t, dataclasses.replace(codes, finish_reason="eos")) for t, codes in super().advance()]
