"""transformers' own generation is the oracle; work is counted, never timed."""

from __future__ import annotations

import dataclasses
import random
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from pipeline.engine.attention import MaskedAttention
from pipeline.engine.base import GenerationItem, Sampling
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.continuous_engine import ContinuousEngine
from pipeline.engine.stepper import Flags
from pipeline.engine.transformers_engine import TransformersEngine
from pipeline.errors import EngineFatalError, RowError

GREEDY = Sampling(temperature=0.0)
GROUPED = 512  # tokens of texts prefilled together, as on a GPU: a few of the rows below
TEXTS = ["A cat sat.", "Go.", "It was a long way to the sea, and nobody knew.", "Why not? Because."]


@pytest.fixture(scope="module")
def checkpoint_with_ends(folder_of):
    """A random model that says EOS now and then: the EOS rows of its head are longer than the others."""

    def load(num_codebooks: int = 8):
        checkpoint = load_checkpoint(str(folder_of(num_codebooks)))
        head = checkpoint.model.audio_lm_head.weight.data.view(num_codebooks, 1026, -1)
        head[:, 1025] *= 1.4
        return checkpoint

    return cache(load)


@pytest.fixture(scope="module")
def items_for(request_for, prompt_for):
    """`count` rows over `voices` voices, of 3 to 40 frames at most."""

    def items(checkpoint, count: int, voices: int = 3, frames: int = 6) -> list[GenerationItem]:
        limits = random.Random(0)
        packed = checkpoint.prompt_format
        return [
            GenerationItem(
                utterance_id=f"u{i}",
                sample=packed.pack(
                    request_for(TEXTS[i % 4]),
                    prompt_for(packed.num_codebooks, frames=frames + 3 * (i % voices), seed=i % voices),
                    max_new_frames=limits.randint(3, 40),
                ),
                seed=1000 + i,
            )
            for i in range(count)
        ]

    return items


def said(generated) -> dict[str, tuple]:
    return {row.utterance_id: (row.codes.tolist(), row.finish_reason, row.seed) for row in generated}


@pytest.mark.parametrize(("num_codebooks", "tokens_together"), [(8, 0), (8, GROUPED), (12, 0)])
def test_greedy_codes_are_those_of_transformers(
    checkpoint_with_ends, items_for, num_codebooks, tokens_together
):
    checkpoint = checkpoint_with_ends(num_codebooks)
    items = items_for(checkpoint, 16)
    oracle = said(TransformersEngine(checkpoint, GREEDY, batch_size=1).generate(items))
    engine = ContinuousEngine(checkpoint, GREEDY, num_slots=4, tokens_together=tokens_together)
    assert said(engine.generate(items)) == oracle
    reasons = [reason for _, reason, _ in oracle.values()]
    assert reasons.count("eos") >= 3, "no wind-down was compared"
    assert reasons.count("length") >= 1


def test_the_semantic_pathway_is_heard(folder_of, items_for):
    checkpoint = load_checkpoint(str(folder_of(8)))
    assert checkpoint.semantic is not None
    # a random pathway says next to nothing; loud enough to change what the model says, it must be placed right
    checkpoint.semantic.projector.weight.data *= 30
    [item] = items_for(checkpoint, 1)
    noise = item.sample.audio_waveforms_concat
    tone = (8000 * np.sin(np.arange(len(noise)) * 2 * np.pi * 200 / 16_000)).astype(np.int16)
    other = dataclasses.replace(item.sample, audio_waveforms_concat=tone)
    items = [item, dataclasses.replace(item, utterance_id="other", sample=other)]
    engine = ContinuousEngine(checkpoint, GREEDY, num_slots=2)
    found = said(engine.generate(items))
    assert found == said(TransformersEngine(checkpoint, GREEDY, batch_size=1).generate(items))
    assert found["u0"][0] != found["other"][0]
    assert engine.counters.voices_prefilled == 2


def test_the_first_code_is_drawn_with_the_probabilities_of_transformers(checkpoint_with_ends, items_for):
    """One forward pass of transformers and its warpers give the probabilities; 600 seeds the draws."""
    checkpoint = checkpoint_with_ends()
    [item] = items_for(checkpoint, 1)
    sample = dataclasses.replace(item.sample, max_new_frames=1)
    items = [
        GenerationItem(str(seed), sample, seed, temperature=1.2, top_p=0.9, top_k=12) for seed in range(600)
    ]
    engine = ContinuousEngine(checkpoint, num_slots=8, ignore_eos=True)
    first_codes = [int(row.codes[0, 0]) for row in engine.generate(items)]
    assert engine.counters.voices_prefilled == 1

    oracle = TransformersEngine(checkpoint)
    inputs = checkpoint.prompt_format.unpack(sample)
    bos = np.full((1, 8), checkpoint.prompt_format.stream_bos)
    inputs = dataclasses.replace(
        inputs,
        input_ids=np.append(inputs.input_ids, checkpoint.prompt_format.special.audio_out),
        audio_input_ids=np.concatenate([inputs.audio_input_ids, bos]),
    )
    with torch.no_grad(), oracle._semantic([inputs]):
        logits = checkpoint.model(**oracle._collate([inputs])).logits[0, -1].view(8, 1026)[:1]
    logits[0, 1025] = -torch.inf
    for warper in (TemperatureLogitsWarper(1.2), TopKLogitsWarper(12), TopPLogitsWarper(0.9)):
        logits = warper(None, logits)
    probabilities = logits[0, :1025].double().softmax(-1)
    counts = np.bincount(np.minimum(first_codes, 1023), minlength=1025)
    possible = (probabilities > 0).numpy()
    assert counts[~possible].sum() == 0
    assert chisquare(counts[possible], 600 * probabilities[possible]).pvalue > 1e-3


@pytest.mark.parametrize("tokens_together", [0, GROUPED])
def test_order_and_mates_never_change_the_codes_of_a_row(checkpoint_with_ends, items_for, tokens_together):
    checkpoint = checkpoint_with_ends()
    items = items_for(checkpoint, 18)
    # rows with settings of their own among the others
    items[4] = dataclasses.replace(items[4], temperature=0.6, top_p=0.8, top_k=7)
    items[5] = dataclasses.replace(items[5], temperature=0.0)
    items[6] = dataclasses.replace(items[6], top_k=0)  # no limit

    def spoken(some: list[GenerationItem]) -> dict[str, tuple]:
        engine = ContinuousEngine(checkpoint, num_slots=4, tokens_together=tokens_together)
        return said(engine.generate(some))

    together = spoken(items)
    assert spoken(items[::-1]) == together
    shuffled = random.Random(1).sample(items, len(items))
    assert spoken(shuffled) == together
    for item in items[3:8]:
        assert spoken([item]) == {item.utterance_id: together[item.utterance_id]}
    few = spoken(items[::3])
    assert few == {name: together[name] for name in few}


def test_evicted_voices_and_padded_prefill_give_the_same_codes(checkpoint_with_ends, items_for):
    checkpoint = checkpoint_with_ends()
    items = items_for(checkpoint, 12)
    kept = ContinuousEngine(checkpoint, num_slots=3)
    expected = said(kept.generate(items))
    assert kept.counters.voices_prefilled == 3
    forgetful = ContinuousEngine(checkpoint, num_slots=3, voice_bytes=0)
    by_turns = sorted(items, key=lambda item: int(item.utterance_id[1:]) // 3)
    found = {}
    for item in by_turns:
        found |= said(forgetful.generate([item]))
    assert found == expected
    assert forgetful.counters.voices_prefilled > 3


def test_what_earlier_rows_left_in_the_kv_is_never_read(checkpoint_with_ends, items_for):
    checkpoint = checkpoint_with_ends()
    items = items_for(checkpoint, 10)
    expected = said(ContinuousEngine(checkpoint, num_slots=3).generate(items))
    poisoned = ContinuousEngine(checkpoint, num_slots=3)
    for tensor in poisoned._slots.kv:
        tensor.fill_(1e30)
    assert said(poisoned.generate(items)) == expected


def test_slots_stay_busy_and_voices_are_prefilled_once(checkpoint_of, request_for, prompt_for):
    """The mixed workload of the reference: 48 rows over 4 voices in 8 slots, forced lengths."""
    checkpoint = checkpoint_of(8)
    lengths = random.Random(0)
    items = []
    for i in range(48):
        text = "word " * lengths.randint(2, 8)
        prompt = prompt_for(frames=120, text="It was a long way to the sea.", seed=i % 4)
        frames = lengths.choice([20, 40, 60, 80, 120, 200])
        sample = checkpoint.prompt_format.pack(request_for(text), prompt, max_new_frames=frames)
        items.append(GenerationItem(f"u{i}", sample, seed=i))
    engine = ContinuousEngine(checkpoint, num_slots=8, ignore_eos=True)
    generated = list(engine.generate(items))
    assert {row.finish_reason for row in generated} == {"length"}
    # a row of n frames takes n + K - 1 steps after the all-BOS frame
    steps = sum(item.sample.max_new_frames + 7 for item in items)
    assert engine.counters.frames == steps
    assert engine.counters.slot_use(8) >= 0.95
    assert engine.counters.prompt_tokens == sum(len(item.sample.input_ids) for item in items)
    assert engine.counters.prefill_tokens <= 0.25 * engine.counters.prompt_tokens


class LateStepper:
    """Blocks of four steps whose flags are read a block late, as on a GPU."""

    steps = 4

    def __init__(self, slots) -> None:
        self.slots, self.block, self.last = slots, 0, None

    def run(self, reach: int, top_k: int):
        for _ in range(self.steps):
            self.slots.step(self.slots.num_positions, 1026)
        self.block += 1
        flags = Flags(self.block, self.slots.done.tolist(), self.slots.frame.tolist())
        flags, self.last = self.last, flags
        return flags

    def spoken(self, slot: int, num_frames: int):
        return self.slots.spoken(slot, num_frames)


def test_flags_that_come_late_are_of_the_row_they_were_read_for(checkpoint_with_ends, items_for):
    """A slot is taken anew while the block before, in which it was done, has not been read."""
    checkpoint = checkpoint_with_ends()
    items = items_for(checkpoint, 16)
    expected = said(ContinuousEngine(checkpoint, num_slots=4).generate(items))
    engine = ContinuousEngine(checkpoint, num_slots=4)
    engine._stepper = LateStepper(engine._slots)
    for tensor in engine._slots.kv:
        tensor.fill_(1e30)
    assert said(engine.generate(items)) == expected
    assert engine.counters.rows == 16


ASKS = {"_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "_unique2", "is_nonzero"}


class Ops(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.boolean_indices = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        if func.overloadpacket.__name__ in ("index", "index_put", "index_put_", "_index_put_impl_"):
            self.boolean_indices += sum(i is not None and i.dtype == torch.bool for i in args[1])
        return func(*args, **(kwargs or {}))


def test_a_slot_that_is_done_looks_at_one_position(checkpoint_with_ends, items_for):
    engine = ContinuousEngine(checkpoint_with_ends(), num_slots=3)
    slots, seen = engine._slots, []

    class Watched(MaskedAttention):
        def reach(self, positions, span):
            seen.append((slots.done.tolist(), slots.position.tolist(), positions.tolist()))
            return super().reach(positions, span)

    slots.attention = Watched()
    list(engine.generate(items_for(checkpoint_with_ends(), 7)))
    looks = [look for step in seen for look in zip(*step, strict=True)]
    assert {reached for done, _, reached in looks if done} == {0}
    assert all(reached == position > 0 for done, position, reached in looks if not done)


def test_texts_are_filled_up_to_products_that_depend_on_the_row_alone(checkpoint_of, items_for):
    checkpoint, items = checkpoint_of(8), items_for(checkpoint_of(8), 8, voices=1)
    engine = ContinuousEngine(checkpoint, num_slots=8, tokens_together=GROUPED)
    voice, own = engine._prompter.read(items[0].sample).shared, []
    for item in items:
        own.append(len(item.sample.input_ids) - voice)
    list(engine.generate(items))
    assert engine.counters.prefill_tokens == voice + sum(own)
    # each length in steps of 32, as many texts of it as fill 512 tokens, and as many such products as they need
    filled = [-(-tokens // 32) * 32 for tokens in own]
    products = {length: -(-filled.count(length) // (512 // length)) for length in filled}
    computed = sum(count * (512 // length) * length for length, count in products.items())
    assert engine.counters.padding_tokens == computed - sum(own) > 0
    alone = ContinuousEngine(checkpoint, num_slots=8)
    list(alone.generate(items))
    assert alone.counters.padding_tokens == 0


def test_mates_change_nothing_in_half_precision_either(folder_of, items_for):
    """Many logits are equal there: which of them are among the 50 likeliest must not depend on a mate's top_k."""
    checkpoint = load_checkpoint(str(folder_of(8)), dtype=torch.bfloat16)
    items = items_for(checkpoint, 6)
    alone = said(ContinuousEngine(checkpoint, num_slots=4).generate(items))
    mates = [dataclasses.replace(item, utterance_id=f"all {i}", top_k=0) for i, item in enumerate(items)]
    beside = said(ContinuousEngine(checkpoint, num_slots=4).generate([*mates, *items]))
    assert {name: beside[name] for name in alone} == alone


def test_admission_never_asks_the_device(folder_of, items_for):
    engine = ContinuousEngine(load_checkpoint(str(folder_of(8)), semantic="off"), num_slots=4)
    for item in items_for(engine.checkpoint, 6):
        engine.add(item)
    with torch.inference_mode(), Ops() as ops:
        engine._admit()
    assert "index_put_" in ops.names, "nothing was traced"
    assert not ops.names & ASKS
    assert ops.boolean_indices == 0


def test_a_step_never_asks_the_device_and_has_no_shape_that_depends_on_data(checkpoint_of, items_for):
    engine = ContinuousEngine(checkpoint_of(8), num_slots=4)
    for item in items_for(checkpoint_of(8), 6):
        engine.add(item)
    engine.advance()
    with torch.inference_mode(), Ops() as ops:
        engine._slots.step(512, 64)
    assert {"topk", "argmax", "addmm", "mm"} & ops.names, "nothing was traced"
    assert not ops.names & ASKS
    assert ops.boolean_indices == 0


def test_weights_are_borrowed_not_copied(folder_of):
    checkpoint = load_checkpoint(str(folder_of(8)))
    before = {name: parameter.clone() for name, parameter in checkpoint.model.named_parameters()}
    engines = [ContinuousEngine(checkpoint, num_slots=2) for _ in range(2)]
    layers = [engine._slots.weights.layers[0] for engine in engines]
    attention = checkpoint.model.model.layers[0].self_attn
    assert layers[0].qkv.data_ptr() == layers[1].qkv.data_ptr() == attention.q_proj.weight.data_ptr()
    assert layers[0].audio.gate_up.data_ptr() == layers[1].audio.gate_up.data_ptr()
    for name, parameter in checkpoint.model.named_parameters():
        assert torch.equal(parameter, before[name]), name
    storages = {
        p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in checkpoint.model.parameters()
    }
    assert sum(storages.values()) == sum(p.numel() * p.element_size() for p in before.values())


def test_a_row_that_no_slot_can_hold_is_its_own_fault(folder_of, request_for, prompt_for):
    roomy, tight = (load_checkpoint(str(folder_of(8)), max_positions=n) for n in (4096, 256))
    prompt = prompt_for(frames=20)
    long = roomy.prompt_format.pack(request_for("word " * 50), prompt, max_new_frames=200)
    with pytest.raises(RowError, match="there is room for 256") as fault:
        tight.prompt_format.pack(request_for("word " * 50), prompt, max_new_frames=200)
    assert fault.value.code == "prompt_too_long"
    with pytest.raises(RowError, match="a slot holds 256 positions") as fault:
        ContinuousEngine(tight, num_slots=1).add(GenerationItem("u", long, 1))
    assert fault.value.code == "prompt_too_long"


def test_a_cancelled_row_frees_its_slot(checkpoint_of, items_for):
    items = items_for(checkpoint_of(8), 3)
    expected = said(ContinuousEngine(checkpoint_of(8), num_slots=1).generate(items[1:]))
    engine = ContinuousEngine(checkpoint_of(8), num_slots=1)
    ticket = engine.add(items[0])
    assert not engine.cancel(ticket), "it is not being spoken yet"
    engine.advance()
    assert engine.cancel(ticket)
    assert not engine.cancel(ticket)
    assert said(engine.generate(items[1:])) == expected


def test_a_failed_device_is_fatal(checkpoint_of, items_for, monkeypatch):
    engine = ContinuousEngine(checkpoint_of(8), num_slots=2)
    engine.add(items_for(checkpoint_of(8), 1)[0])

    def fail(*_args):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    monkeypatch.setattr(engine._slots, "step", fail)
    with pytest.raises(EngineFatalError, match=r"illegal memory access.*restart"):
        engine.advance()
