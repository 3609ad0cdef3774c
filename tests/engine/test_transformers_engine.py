from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.audio import from_int16
from pipeline.engine.base import GenerationItem, Sampling
from pipeline.engine.semantic import inject_features
from pipeline.engine.transformers_engine import TransformersEngine
from pipeline.errors import CheckpointError, EngineFatalError

GREEDY = Sampling(temperature=0.0)
TEXTS = ["A cat sat.", "Go.", "It was a long way to the sea, and nobody knew.", "Why not?"]


@pytest.fixture(scope="module")
def items_of(checkpoint_of, request_for, prompt_for):
    """Items of differing texts, references and limits."""

    def items(num_codebooks: int = 8, limits=(12, 7, 20, 15), seed: int = 0) -> list[GenerationItem]:
        prompt_format = checkpoint_of(num_codebooks).prompt_format
        return [
            GenerationItem(
                utterance_id=f"u{i}",
                sample=prompt_format.pack(
                    request_for(TEXTS[i]),
                    prompt_for(num_codebooks, frames=4 + 3 * i, seed=i),
                    max_new_frames=limit,
                ),
                seed=seed + i,
            )
            for i, limit in enumerate(limits)
        ]

    return items


@pytest.fixture
def forced_eos(checkpoint_of):
    """Adds `bias` to the EOS logit (from `first` on, 1024 is BOS) of every codebook while a test runs."""
    handles = []

    def force(num_codebooks: int, bias: float, first: int = 1025) -> None:
        def add(_module, _args, logits):
            logits = logits.clone()
            logits.view(*logits.shape[:-1], num_codebooks, 1026)[..., first:] += bias
            return logits

        handles.append(checkpoint_of(num_codebooks).model.audio_lm_head.register_forward_hook(add))

    yield force
    for handle in handles:
        handle.remove()


def said(generated) -> list[tuple]:
    return [(row.utterance_id, row.codes.tolist(), row.finish_reason) for row in generated]


@pytest.mark.parametrize("num_codebooks", [8, 12])
def test_greedy_in_a_batch_is_greedy_alone(checkpoint_of, items_of, num_codebooks):
    engine = TransformersEngine(checkpoint_of(num_codebooks), GREEDY)
    items = items_of(num_codebooks)
    alone = [row for item in items for row in engine.generate([item])]
    assert said(engine.generate(items)) == said(alone)
    assert all(row.codes.shape[0] == num_codebooks for row in alone)
    assert all(row.codes.dtype == np.uint16 and row.codes.max() < 1024 for row in alone)


def test_greedy_codes_are_the_argmax_of_a_plain_forward_pass(checkpoint_of, items_of, forced_eos):
    """Teacher forcing: with the generated frames as inputs, one pass without a cache must predict them."""
    forced_eos(8, -1e9, first=1024)  # a random model says BOS amid its codes, which would come out clipped
    checkpoint, item = checkpoint_of(8), items_of()[2]
    [generated] = TransformersEngine(checkpoint, GREEDY).generate([item])
    special, inputs = checkpoint.prompt_format.special, checkpoint.prompt_format.unpack(item.sample)
    num_frames = generated.codes.shape[1]
    assert (num_frames, generated.finish_reason) == (20, "length")
    # the delayed stream up to the last step that is all codes or BOS
    delayed = np.full((num_frames + 1, 8), 1024)
    for k in range(8):
        delayed[k + 1 :, k] = generated.codes[k, : num_frames - k]
    with torch.no_grad():
        features = checkpoint.semantic(inputs.waveforms)
        ids = np.concatenate([inputs.input_ids, np.full(len(delayed), special.audio_out)])
        audio = torch.from_numpy(np.concatenate([inputs.audio_input_ids, delayed]))[None]
        with inject_features(checkpoint.model.model.embed_tokens, special.audio, features):
            logits = checkpoint.model(
                input_ids=torch.from_numpy(ids)[None],
                audio_input_ids=audio,
                audio_input_ids_mask=torch.ones(1, audio.shape[1], dtype=torch.bool),
                use_cache=False,
            ).logits[0]
    best = logits[len(inputs.input_ids) :].view(-1, 8, 1026).argmax(-1).numpy()
    for step in range(num_frames):
        free = min(step + 1, 8)
        assert best[step, :free].tolist() == delayed[step + 1, :free].tolist()


def test_one_list_has_one_result_and_leaves_no_trace(checkpoint_of, items_of):
    engine = TransformersEngine(checkpoint_of(8))
    torch.manual_seed(11)
    expected = torch.rand(2)
    torch.manual_seed(11)
    first = said(engine.generate(items_of()))
    assert torch.equal(torch.rand(2), expected)
    torch.manual_seed(99)
    assert said(engine.generate(items_of())) == first
    assert said(engine.generate(items_of(seed=40))) != first


def test_rows_come_in_order_whatever_their_sampling(checkpoint_of, items_of):
    engine = TransformersEngine(checkpoint_of(8), GREEDY, batch_size=2)
    plain = items_of()
    mixed = [dataclasses.replace(item, temperature=0.8 if i % 2 else None) for i, item in enumerate(plain)]
    generated = list(engine.generate(mixed))
    assert [row.utterance_id for row in generated] == ["u0", "u1", "u2", "u3"]
    assert [row.seed for row in generated] == [0, 1, 2, 3]
    greedy = list(engine.generate(plain))
    assert said(generated[::2]) == said(greedy[::2])
    assert said(generated[1:2]) != said(greedy[1:2])


def test_every_row_has_its_own_limit(checkpoint_of, items_of, forced_eos):
    forced_eos(8, -1e9)
    generated = list(TransformersEngine(checkpoint_of(8)).generate(items_of(limits=(12, 7, 1, 15))))
    assert [row.codes.shape for row in generated] == [(8, 12), (8, 7), (8, 1), (8, 15)]
    assert {row.finish_reason for row in generated} == {"length"}


@pytest.mark.parametrize("num_codebooks", [8, 12])
def test_a_model_that_ends_at_once_says_nothing(checkpoint_of, items_of, forced_eos, num_codebooks):
    forced_eos(num_codebooks, 1e9)
    [row] = TransformersEngine(checkpoint_of(num_codebooks), GREEDY).generate(items_of(num_codebooks)[:1])
    assert row.codes.shape == (num_codebooks, 0)
    assert row.finish_reason == "eos"


def test_sampling_ends_by_itself_at_times(checkpoint_of, items_of):
    generated = TransformersEngine(checkpoint_of(8)).generate(items_of(limits=(300,) * 4))
    assert "eos" in {row.finish_reason for row in generated}


def test_top_k_of_one_is_greedy_but_for_repeats(checkpoint_of, items_of):
    checkpoint = checkpoint_of(8)
    [greedy] = TransformersEngine(checkpoint, GREEDY).generate(items_of(limits=(2,)))
    [narrow] = TransformersEngine(checkpoint, Sampling(top_k=1)).generate(items_of(limits=(2,)))
    # two frames cannot hold a code three times, so nothing is drawn anew
    assert narrow.codes.tolist() == greedy.codes.tolist()


def test_the_reference_waveform_is_heard(checkpoint_of, items_of):
    """Every row's waveform reaches the pathway, and what comes out of it changes what is said."""
    heard = []

    def features_of(scale: float):
        def pathway(waveforms):
            heard.append(waveforms)
            rng = np.random.default_rng(1)
            return [torch.from_numpy(scale * rng.standard_normal((-(-len(w) // 640), 64))) for w in waveforms]

        return pathway

    items = items_of()[:2]
    plain, other = (
        list(
            TransformersEngine(
                dataclasses.replace(checkpoint_of(8), semantic=features_of(scale)), GREEDY
            ).generate(items)
        )
        for scale in (1.0, -1.0)
    )
    expected = [from_int16(item.sample.audio_waveforms_concat) for item in items]
    assert len(heard) == 2
    for given, wanted in zip(heard[0], expected, strict=True):
        assert np.array_equal(given, wanted)
    assert all(a.codes.tolist() != b.codes.tolist() for a, b in zip(plain, other, strict=True))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: cublas failed")]
)
def test_a_cuda_fault_is_fatal(checkpoint_of, items_of, monkeypatch, error):
    def fail(**_kwargs):
        raise error

    engine = TransformersEngine(checkpoint_of(8))
    monkeypatch.setattr(checkpoint_of(8).model, "generate", fail)
    with pytest.raises(EngineFatalError, match="restart"):
        list(engine.generate(items_of()))


def test_other_faults_stay_what_they_are(checkpoint_of, items_of, monkeypatch):
    def fail(**_kwargs):
        raise RuntimeError("shapes differ")

    engine = TransformersEngine(checkpoint_of(8))
    monkeypatch.setattr(checkpoint_of(8).model, "generate", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(engine.generate(items_of()))


def test_one_eos_id_is_needed(checkpoint_of, monkeypatch):
    monkeypatch.setattr(checkpoint_of(8).model.config, "eos_token_id", [1, 2])
    with pytest.raises(CheckpointError, match="one eos_token_id"):
        TransformersEngine(checkpoint_of(8))
