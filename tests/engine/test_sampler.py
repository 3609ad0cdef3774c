"""Against transformers' own warpers and delay processor; draws against the probabilities these give."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from transformers.models.higgs_audio_v2.generation_higgs_audio_v2 import (
    HiggsAudioV2DelayPatternLogitsProcessor,
)

from pipeline.engine.noise import seed_words
from pipeline.engine.sampler import RAS_WINDOW, SamplingState, _within_top_p, delayed, sample

BOS, EOS, VOCABULARY = 30, 31, 32


def state(rows: int, temperature: float = 1.0, top_p: float = 1.0, top_k: int = VOCABULARY) -> SamplingState:
    return SamplingState(
        words=torch.tensor([seed_words(seed) for seed in range(rows)], dtype=torch.int32).T.contiguous(),
        temperature=torch.full((rows,), temperature),
        top_p=torch.full((rows,), top_p),
        top_k=torch.full((rows,), top_k),
    )


def draw(
    logits: torch.Tensor, settings: SamplingState, history: torch.Tensor | None = None, width=VOCABULARY
):
    rows, codebooks, _ = logits.shape
    if history is None:
        history = torch.full((rows, RAS_WINDOW, codebooks), BOS)
    return sample(logits, settings, torch.full((rows,), 3), history, (BOS, EOS), width)


def warped(logits: torch.Tensor, temperature: float, top_p: float, top_k: int) -> torch.Tensor:
    """Probabilities as `generate` makes them of logits [N, V]."""
    for warper in (TemperatureLogitsWarper(temperature), TopKLogitsWarper(top_k), TopPLogitsWarper(top_p)):
        logits = warper(None, logits)
    return logits.softmax(-1)


@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k"), [(1.0, 0.95, 50), (0.7, 0.5, 20), (1.4, 0.9, 3), (0.3, 1.0, 1)]
)
def test_the_same_tokens_are_kept_as_by_transformers(temperature, top_p, top_k):
    logits = torch.randn(40, 8, 100, generator=torch.Generator().manual_seed(1)) * 2
    likeliest, ids = logits.topk(64)
    kept = _within_top_p(likeliest / temperature, torch.full((40,), top_k), torch.full((40,), top_p))
    found = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, ids, kept)
    expected = warped(logits.view(-1, 100), temperature, top_p, top_k).view_as(logits) > 0
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("temperature", "top_p", "top_k"), [(1.0, 1.0, VOCABULARY), (0.8, 0.9, 12)])
def test_draws_over_many_seeds_have_the_probabilities_of_transformers(temperature, top_p, top_k):
    rows = 4000
    logits = torch.randn(1, 2, VOCABULARY, generator=torch.Generator().manual_seed(2))
    drawn = draw(logits.expand(rows, -1, -1), state(rows, temperature, top_p, top_k))
    probabilities = warped(logits[0], temperature, top_p, top_k)
    for codebook in range(2):
        counts = torch.bincount(drawn[:, codebook], minlength=VOCABULARY)
        possible = probabilities[codebook] > 0
        assert counts[~possible].sum() == 0
        expected = probabilities[codebook][possible].double()
        assert chisquare(counts[possible], rows * expected / expected.sum()).pvalue > 1e-3
    # what the codebooks of a frame draw is independent
    both = torch.zeros(VOCABULARY, VOCABULARY).index_put((drawn[:, 0], drawn[:, 1]), torch.ones(rows), True)
    independent = torch.outer(both.sum(1), both.sum(0)) / rows
    enough = independent >= 5
    statistic = ((both - independent)[enough] ** 2 / independent[enough]).sum()
    assert statistic < enough.sum() + 4 * (2 * enough.sum()) ** 0.5


def test_a_token_said_twice_in_the_window_is_drawn_anew_from_the_raw_logits():
    rows = 4000
    logits = torch.randn(1, 1, VOCABULARY, generator=torch.Generator().manual_seed(3))
    logits[..., [BOS, EOS]] = -1.0  # not the favourites: they never count as repeated
    favourite = int(logits.argmax())
    history = torch.full((rows, RAS_WINDOW, 1), BOS)
    history[:, [0, 6]] = favourite
    # top_k 1 would always say the favourite
    drawn = draw(logits.expand(rows, -1, -1), state(rows, 0.5, 1.0, 1), history)
    counts = torch.bincount(drawn[:, 0], minlength=VOCABULARY)
    assert chisquare(counts, rows * logits[0, 0].double().softmax(-1)).pvalue > 1e-3


def test_once_in_the_window_is_no_repetition_and_bos_and_eos_never_are():
    logits = torch.randn(3, 2, VOCABULARY, generator=torch.Generator().manual_seed(4))
    logits[1, :, EOS] += 100
    logits[2, :, BOS] += 100
    favourites = logits.argmax(-1)
    history = torch.full((3, RAS_WINDOW, 2), 99)
    history[0, 4] = favourites[0]
    history[1:, :] = favourites[1:, None]
    assert torch.equal(draw(logits, state(3, 1.0, 1.0, 1), history), favourites)


def test_temperature_zero_is_greedy_whatever_was_said_before():
    logits = torch.randn(3, 2, VOCABULARY, generator=torch.Generator().manual_seed(5))
    history = logits.argmax(-1)[:, None].expand(3, RAS_WINDOW, 2)
    assert torch.equal(draw(logits, state(3, temperature=0.0, top_k=5), history), logits.argmax(-1))


@pytest.mark.parametrize("width", [16, 24])
def test_the_width_does_not_change_a_draw(width):
    logits = torch.randn(200, 8, VOCABULARY, generator=torch.Generator().manual_seed(6))
    settings = state(200, 0.9, 0.9, 12)
    assert torch.equal(draw(logits, settings, width=width), draw(logits, settings))


def test_the_delay_pattern_is_that_of_transformers_from_the_first_frame_to_the_last():
    """Every step's forced ids against the processor's, with an EOS drawn by codebook 2 in frame 9."""
    codebooks, text, audio, delay, audio_bos = 5, 7, 8, 9, 10
    processor = HiggsAudioV2DelayPatternLogitsProcessor(
        [k + 1 for k in range(codebooks)], audio_bos, delay, BOS, EOS, codebooks, VOCABULARY
    )
    generator = torch.Generator().manual_seed(7)
    ids = torch.tensor([[text] * codebooks + [audio_bos]])
    winding, ended = torch.tensor([-1]), []
    for frame in range(20):
        logits = torch.randn(1, codebooks * VOCABULARY, generator=generator)
        view = logits.view(codebooks, VOCABULARY)
        view[:, [BOS, EOS]] -= 100
        if frame == 9:
            view[2, EOS] += 1000
        expected = processor(ids, logits).argmax(-1)[None]
        drawn = view.argmax(-1)[None]
        found, winding = delayed(drawn, torch.tensor([frame]), winding, BOS, EOS)
        assert torch.equal(found, expected), frame
        some, all_ = bool((expected == EOS).any()), bool((expected == EOS).all())
        following = delay if some or ids[0, -1] == delay else audio
        ids = torch.cat([ids, torch.tensor([[following]])], dim=1)
        ended.append(all_)
        if all_:
            break
    assert ended.index(True) == 9 + codebooks
