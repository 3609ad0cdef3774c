"""Rows that share a prompt are learned as they are one by one, and only what should be learned is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dummies import mini_format, random_samples
from torch.nn.functional import cross_entropy
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration, WhisperConfig

from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.semantic import SemanticPathway, inject_features
from pipeline.errors import ConfigError
from pipeline.training.collate import collate, next_code_labels, share_prompts, split_sample
from pipeline.training.losses import TrainedModel, with_wrong_history
from pipeline.training.mini_model import mini_tokenizer
from pipeline.training.phones import PHONES

K = 3


@pytest.fixture(scope="module")
def prompt_format(tmp_path_factory: pytest.TempPathFactory) -> PromptFormat:
    return mini_format(tmp_path_factory.mktemp("mini"), K)


@pytest.fixture(scope="module")
def trained(prompt_format: PromptFormat) -> TrainedModel:
    torch.manual_seed(0)
    return TrainedModel(
        HiggsAudioV2ForConditionalGeneration(tiny_config(prompt_format), use_text_head=True),
        SemanticPathway(tiny_whisper(), 64),
        prompt_format.special.audio,
    ).eval()


def tiny_config(prompt_format: PromptFormat) -> HiggsAudioV2Config:
    special = prompt_format.special
    return HiggsAudioV2Config(
        vocab_size=mini_tokenizer().get_vocab_size(),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        num_codebooks=K,
        codebook_size=1026,
        audio_stream_bos_id=1024,
        audio_stream_eos_id=1025,
        pad_token_id=0,
        audio_token_id=special.audio_out,
        audio_bos_token_id=special.audio_out_bos,
        audio_delay_token_id=special.delay,
    )


def tiny_whisper() -> WhisperConfig:
    return WhisperConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, max_source_positions=500
    )


def one_by_one(trained: TrainedModel, prompt_format: PromptFormat, samples) -> dict[str, float]:
    """The same losses by transformers' own attention, a sample at a time, labels laid out by hand."""
    model = trained.model
    sums = {f"audio_{k}": 0.0 for k in range(K)} | {"text": 0.0}
    counts = dict.fromkeys(sums, 0)
    model.set_attn_implementation("sdpa")
    try:
        for sample in samples:
            inputs = prompt_format.unpack(sample)
            ids = torch.from_numpy(inputs.input_ids)[None]
            with inject_features(
                model.model.embed_tokens, prompt_format.special.audio, trained.semantic(inputs.waveforms)
            ):
                hidden = model.model(
                    input_ids=ids,
                    audio_input_ids=torch.from_numpy(inputs.audio_input_ids)[None],
                    use_cache=False,
                ).last_hidden_state
            logits = model.audio_lm_head(hidden)[0].view(-1, K, 1026)
            codes = sample.label_audio_ids.astype(np.int64)
            frames = codes.shape[1]
            # the column of BOS, the frames and EOS, the late ones, and the two tokens that close the turn
            first = ids.shape[1] - 2 - (frames + K + 1)
            for k in range(K):
                wanted = torch.tensor([*codes[k], 1025])
                # what stands at column k + 1 + t is said from column k + t
                said = logits[first + k : first + k + frames + 1, k]
                sums[f"audio_{k}"] += float(cross_entropy(said, wanted, reduction="sum"))
                counts[f"audio_{k}"] += frames + 1
            s = prompt_format.special
            text = model.text_lm_head(hidden)[0]
            for at, token in (
                (first - 2, s.audio_out_bos),
                (ids.shape[1] - 3, s.audio_eos),
                (ids.shape[1] - 2, s.eot),
            ):
                sums["text"] += float(cross_entropy(text[at], torch.tensor(token)))
                counts["text"] += 1
    finally:
        model.set_attn_implementation("voicemill_shared_prompt")
    return {name: total / counts[name] for name, total in sums.items()}


def test_shared_prompts_give_the_losses_of_samples_one_by_one(
    trained: TrainedModel, prompt_format: PromptFormat
) -> None:
    samples = random_samples(prompt_format, 2, 3)
    batch = collate(list(share_prompts((split_sample(s, prompt_format) for s in samples), 3)), prompt_format)
    assert batch.num_positions < 0.7 * sum(len(s.input_ids) for s in samples)
    with torch.no_grad():
        losses = trained(batch)
        expected = one_by_one(trained, prompt_format, samples)
    assert losses.keys() == expected.keys() | {"semantic", "reading"}
    for name, value in expected.items():
        assert float(losses[name]) == pytest.approx(value, rel=1e-5), name


def test_the_phones_of_each_frame_are_asked_of_the_layer_half_way(prompt_format: PromptFormat) -> None:
    torch.manual_seed(0)
    model = HiggsAudioV2ForConditionalGeneration(tiny_config(prompt_format), use_text_head=True)
    asked = TrainedModel(
        model, SemanticPathway(tiny_whisper(), 64), prompt_format.special.audio, phones=True
    ).eval()
    known, unknown = random_samples(prompt_format, 1, 2)
    frames = known.label_audio_ids.shape[1]
    phones = np.random.default_rng(0).integers(0, len(PHONES), (frames, 4)).astype(np.uint8)
    told = split_sample(known, prompt_format, phones)
    with torch.no_grad():
        alone = asked(collate([told], prompt_format))["phones"]
        beside = asked(collate([told, split_sample(unknown, prompt_format)], prompt_format))["phones"]
        nothing = asked(collate([split_sample(unknown, prompt_format)], prompt_format))["phones"]
    # the same by transformers' own forward: two layers, so the one half-way up is the second
    inputs = prompt_format.unpack(known)
    ids = torch.from_numpy(inputs.input_ids)[None]
    seen = []
    hook = model.model.layers[1].register_forward_hook(
        lambda _module, _args, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    model.set_attn_implementation("sdpa")
    with (
        torch.no_grad(),
        inject_features(
            model.model.embed_tokens, prompt_format.special.audio, asked.semantic(inputs.waveforms)
        ),
    ):
        model.model(
            input_ids=ids, audio_input_ids=torch.from_numpy(inputs.audio_input_ids)[None], use_cache=False
        )
    hook.remove()
    # frame t is said from column t; the column of BOS is the first of frames + K + 1 before the last two
    first = ids.shape[1] - 2 - (frames + K + 1)
    hidden = seen[0].view(ids.shape[1], 64)[first : first + frames]
    normed = hidden / (hidden.pow(2).mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()
    with torch.no_grad():
        scores = asked.phone_head(normed).view(frames, 4, len(PHONES)).log_softmax(-1)
    wanted = torch.from_numpy(phones.astype(np.int64))
    expected = -scores.gather(-1, wanted[..., None]).mean()
    assert float(alone) == pytest.approx(float(expected), rel=1e-4)
    assert float(beside) == pytest.approx(float(expected), rel=1e-4)
    assert float(nothing) == 0.0


def test_gradients_are_those_of_the_unshared_batch(
    trained: TrainedModel, prompt_format: PromptFormat
) -> None:
    samples = random_samples(prompt_format, 1, 3)
    gradients = []
    for max_targets in (3, 1):
        conversations = list(share_prompts((split_sample(s, prompt_format) for s in samples), max_targets))
        assert len(conversations) == 3 // max_targets
        trained.zero_grad()
        losses = trained(collate(conversations, prompt_format))
        sum(loss for name, loss in losses.items() if name not in ("semantic", "reading")).backward()
        gradients.append({n: p.grad.clone() for n, p in trained.named_parameters() if p.grad is not None})
    shared, unshared = gradients
    assert shared.keys() == unshared.keys()
    for name in shared:
        torch.testing.assert_close(shared[name], unshared[name], rtol=1e-4, atol=1e-6, msg=name)


def test_every_part_learns_but_nothing_from_the_reference(
    trained: TrainedModel, prompt_format: PromptFormat
) -> None:
    (conversation,) = [split_sample(s, prompt_format) for s in random_samples(prompt_format, 1, 1)]
    batch = collate([conversation], prompt_format)
    prompt = len(conversation.prompt_ids)
    assert int(batch.audio_positions.min()) > prompt
    assert int(batch.text_positions.min()) > prompt
    trained.zero_grad()
    sum(trained(batch).values()).backward()
    without = [n for n, p in trained.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # whisper's key biases cancel in the softmax
    assert [n for n in without if "embed_positions" not in n] == []


def test_labels_of_a_clip_by_hand() -> None:
    codes = np.array([[1, 2], [3, 4], [5, 6]])
    expected = [[1, -100, -100], [2, 3, -100], [9, 4, 5], [-100, 9, 6], [-100, -100, 9]]
    assert next_code_labels(codes, 9).tolist() == expected


def test_positions_go_on_from_the_prompt_in_every_target(prompt_format: PromptFormat) -> None:
    samples = random_samples(prompt_format, 1, 2)
    (conversation,) = share_prompts((split_sample(s, prompt_format) for s in samples), 9)
    batch = collate([conversation], prompt_format)
    prompt = len(conversation.prompt_ids)
    (span, targets) = batch.spans[0]
    assert span == (0, prompt)
    for (a, b), sample in zip(targets, samples, strict=True):
        whole = batch.input_ids[0, :prompt].tolist() + batch.input_ids[0, a:b].tolist()
        assert whole == sample.input_ids
        assert batch.position_ids[0, a:b].tolist() == list(range(prompt, len(whole)))


def test_different_references_are_not_shared(prompt_format: PromptFormat) -> None:
    samples = random_samples(prompt_format, 3, 2)
    conversations = list(share_prompts((split_sample(s, prompt_format) for s in samples), 6))
    assert [len(c.targets) for c in conversations] == [2, 2, 2]


def test_a_sample_without_labels_is_refused(prompt_format: PromptFormat) -> None:
    sample = random_samples(prompt_format, 1, 1)[0]
    with pytest.raises(ConfigError, match="no labels"):
        split_sample(
            type(sample)(**{f: getattr(sample, f) for f in sample.__slots__} | {"label_ids": None}),
            prompt_format,
        )


def test_the_wrong_frames_are_whole_ones_of_what_was_said(prompt_format: PromptFormat) -> None:
    samples = random_samples(prompt_format, 2, 2)
    batch = collate(list(share_prompts((split_sample(s, prompt_format) for s in samples), 2)), prompt_format)
    assert with_wrong_history(batch, 0.0, 1024) is batch
    torch.manual_seed(0)
    heard = with_wrong_history(batch, 0.5, 1024)
    before, after = batch.audio_input_ids[0], heard.audio_input_ids[0]
    changed = (before != after).any(1)
    # nothing of the references, nor a column that holds BOS or EOS
    assert set(batch.audio_at[changed].tolist()) <= set(batch.audio_positions.tolist())
    assert int(before[changed].max()) < 1024
    assert int(after[changed].max()) < 1024
    frames = sum(s.label_audio_ids.shape[1] for s in samples)
    assert 0.3 * frames < int(changed.sum()) < 0.55 * frames
    known = {tuple(row) for row in before.tolist()}
    assert all(tuple(row) in known for row in after[changed].tolist())
    assert torch.equal(heard.audio_labels, batch.audio_labels)


def test_history_is_right_outside_of_training(trained: TrainedModel, prompt_format: PromptFormat) -> None:
    samples = random_samples(prompt_format, 1, 1)
    batch = collate([split_sample(samples[0], prompt_format)], prompt_format)
    trained.wrong_history = 0.9
    try:
        with torch.no_grad():
            losses = [float(trained(batch)["audio_0"]) for _ in range(2)]
            wrong = [float(trained.train()(batch)["audio_0"]) for _ in range(2)]
    finally:
        trained.wrong_history = 0.0
        trained.eval()
    assert losses[0] == losses[1]
    assert wrong[0] != wrong[1]
