"""The shipped checkpoint, as it is and with a part taken away: what is heard of a few held-out rows.

A fixed part of `manifests/held_out.csv`; bounds stand well off what MODEL_CARD.md reports, so that they
fail when a prompt, the delay pattern, the sampling or the conditioning is broken, and not by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.codecs import load_codec
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.continuous_engine import ContinuousEngine
from pipeline.evaluators import load_speaker_encoder, load_transcriber
from pipeline.training.ablations import Ablation, ablate_model
from pipeline.training.held_out import as_audio, items_of, pack_rows, samples_by_voice
from pipeline.training.speech_quality import listen, summary, voices_of

MANIFEST = Path(__file__).parents[2] / "manifests" / "held_out.csv"
ROWS = 16
Figures = dict[str, Any]


@pytest.fixture(scope="module")
def figures_of() -> Callable[[Ablation], Figures]:
    codec = load_codec("mini")
    encoder, transcriber = load_speaker_encoder("demo:resemblyzer"), load_transcriber("demo:pocketsphinx")
    assert encoder is not None
    assert transcriber is not None

    @cache
    def figures(ablation: Ablation) -> Figures:
        checkpoint = load_checkpoint("mini")
        rows = pack_rows(MANIFEST, ROWS, checkpoint.prompt_format, codec)
        ablate_model(checkpoint.model, ablation)
        engine = ContinuousEngine(checkpoint, checkpoint.sampling, num_slots=8)
        items = items_of(rows, ablation, checkpoint.prompt_format, seed=1, take=0)
        found = {codes.utterance_id: codes for codes in engine.generate(items)}
        spoken = as_audio(rows, [found[item.utterance_id] for item in items], codec, ablation)
        voices = voices_of(samples_by_voice(rows), encoder)
        return summary(listen(spoken, transcriber, encoder, voices, num_voices=8))

    return figures


def test_it_can_be_understood_and_follows_the_voice(figures_of: Callable[[Ablation], Figures]) -> None:
    found = figures_of("none")
    assert found["cer"] < 0.3
    assert found["right_minus_wrong"] > 0.15
    assert found["identified"] >= 0.8
    assert found["finished"] == 1.0


def test_the_references_codes_carry_the_voice_and_without_them_the_semantic_pathway(
    figures_of: Callable[[Ablation], Figures],
) -> None:
    whole, heard, nothing = (
        figures_of(name)["right_minus_wrong"] for name in ("none", "no_codes", "no_reference")
    )
    assert heard < whole - 0.05
    assert nothing < heard - 0.08
    assert figures_of("no_reference")["identified"] <= 0.4


@pytest.mark.parametrize("ablation", ["no_audio_ffn", "no_delay"])
def test_without_this_it_cannot_be_understood(
    ablation: Ablation, figures_of: Callable[[Ablation], Figures]
) -> None:
    assert figures_of(ablation)["cer"] > figures_of("none")["cer"] + 0.15
