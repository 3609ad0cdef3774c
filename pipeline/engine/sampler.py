"""From logits to the next frame: temperature, top-k, top-p, RAS and the delay pattern, a row at a time.

All on the device and of fixed shapes, so that it can be captured in a CUDA graph: what is not wanted is
computed as well and left out by `where`. The rules are those of transformers' generation of Higgs Audio.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pipeline.engine.noise import gumbel

RAS_WINDOW = 7
RAS_MAX_REPEATS = 2


@dataclass(frozen=True, slots=True)
class SamplingState:
    """Per-slot settings, all [S]; `temperature` 0 is greedy without RAS, `top_k` is at most the width."""

    words: torch.Tensor  # int32 [2, S], of `noise.seed_words`
    temperature: torch.Tensor
    top_p: torch.Tensor
    top_k: torch.Tensor


def sample(
    logits: torch.Tensor,
    state: SamplingState,
    frame: torch.Tensor,
    history: torch.Tensor,
    stream_ids: tuple[int, int],
    width: int,
) -> torch.Tensor:
    """Tokens [S, K] of `frame` [S] from logits [S, K, V].

    `history` [S, 7, K] are the frames before: a token that was said twice there is drawn anew from the
    untempered, unfiltered logits (RAS; BOS and EOS of the stream, `stream_ids`, do not count). `width` is
    how many of the likeliest tokens are looked at, at least the largest `top_k`.
    """
    codebooks = torch.arange(logits.shape[1], device=logits.device)
    greedy = logits.max(dim=-1).indices
    tempered = state.temperature.clamp(min=1e-5)[:, None, None]
    likeliest, ids = logits.topk(width, dim=-1)
    likeliest = likeliest / tempered
    kept = _within_top_p(likeliest, state.top_k, state.top_p)
    noisy = likeliest + gumbel(state.words[0], frame, codebooks, ids)
    choice = noisy.masked_fill(~kept, -torch.inf).argmax(dim=-1, keepdim=True)
    drawn = ids.gather(-1, choice)[..., 0]

    said = (history == drawn[:, None]).sum(dim=1)
    counted = (drawn != stream_ids[0]) & (drawn != stream_ids[1])
    tokens = torch.arange(logits.shape[2], device=logits.device)[None, None]
    again = (logits + gumbel(state.words[1], frame, codebooks, tokens)).max(dim=-1).indices
    drawn = torch.where((said >= RAS_MAX_REPEATS) & counted, again, drawn)
    return torch.where(state.temperature[:, None] == 0, greedy, drawn)


def _within_top_p(scores: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Which of the descending `scores` [S, K, width] are in the top k and, of these, the nucleus of `top_p`.

    A token stays while those before it hold less than `top_p`, so that one always does. The total is read
    off the running sum: it is then the same for every width.
    """
    rank = torch.arange(scores.shape[-1], device=scores.device)
    within_k = rank < top_k[:, None, None]
    weights = (scores - scores[..., :1]).exp() * within_k
    running = weights.cumsum(dim=-1)
    last = top_k.clamp(max=scores.shape[-1]) - 1  # a slot that stands still may ask for more
    total = running.gather(-1, last[:, None, None].expand(*running.shape[:2], 1))
    return within_k & (running - weights < top_p[:, None, None] * total)


def delayed(
    tokens: torch.Tensor, frame: torch.Tensor, winding: torch.Tensor, bos: int, eos: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`tokens` [S, K] with the delay pattern forced on, and the wind-down count of the next frame.

    Codebook k says BOS up to frame k. `winding` [S] is -1 while the stream runs; an EOS in any codebook sets
    it to 0, and n frames later the first n codebooks say EOS, until all of them do.
    """
    codebooks = torch.arange(tokens.shape[1], device=tokens.device)
    tokens = torch.where(codebooks >= frame[:, None], bos, tokens)
    winding = torch.where(winding >= 0, winding + 1, winding)
    tokens = torch.where(codebooks < winding[:, None], eos, tokens)
    starts = (winding < 0) & (tokens == eos).any(dim=-1)
    return tokens, torch.where(starts, 0, winding)
