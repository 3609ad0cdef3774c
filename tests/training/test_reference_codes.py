"""A dropped reference has no frames, is still heard, and its targets are as they were."""

from __future__ import annotations

import numpy as np
import pytest
from dummies import mini_format, random_samples

from pipeline.engine.chat_prompt import PromptFormat
from pipeline.training.collate import Conversation, collate, split_sample
from pipeline.training.reference_codes import drop_codes

K = 3


@pytest.fixture(scope="module")
def prompt_format(tmp_path_factory: pytest.TempPathFactory) -> PromptFormat:
    return mini_format(tmp_path_factory.mktemp("mini"), K)


@pytest.fixture
def conversations(prompt_format: PromptFormat) -> list[Conversation]:
    samples = random_samples(prompt_format, 40, 1, codes=8, reference_frames=9, target_frames=(6, 10))
    return [split_sample(sample, prompt_format) for sample in samples]


def test_a_dropped_reference_leaves_its_frames_and_nothing_else(
    prompt_format: PromptFormat, conversations: list[Conversation]
) -> None:
    special = prompt_format.special
    for before, after in zip(
        conversations, drop_codes(conversations, special, 1.0, np.random.default_rng(0)), strict=True
    ):
        assert [clip.shape for clip in after.clips] == [(K, 0)]
        # each frame had a placeholder; those of the stream's begin and end, and the delay, stay
        assert len(after.prompt_ids) == len(before.prompt_ids) - before.clips[0].shape[1]
        kept = [special.audio_out] * 2 + [special.delay] * (K - 1)
        columns = np.isin(after.prompt_ids, [special.audio_out, special.delay])
        assert after.prompt_ids[columns].tolist() == kept
        others = ~np.isin(before.prompt_ids, [special.audio_out, special.delay])
        assert after.prompt_ids[~columns].tolist() == before.prompt_ids[others].tolist()
        assert after.targets is before.targets
        assert after.waveforms is before.waveforms
    batch = collate([after], prompt_format)
    assert batch.audio_input_ids.shape[1] == len(batch.audio_at)


def test_the_share_is_drawn_by_the_generator(
    prompt_format: PromptFormat, conversations: list[Conversation]
) -> None:
    special = prompt_format.special

    def dropped(share: float, seed: int) -> list[bool]:
        made = drop_codes(conversations, special, share, np.random.default_rng(seed))
        return [conversation.clips[0].shape[1] == 0 for conversation in made]

    assert not any(dropped(0.0, 1))
    assert dropped(0.5, 1) == dropped(0.5, 1) != dropped(0.5, 2)
    assert 10 <= sum(dropped(0.5, 1)) <= 30  # 20 of 40 expected, three standard deviations are 9.5
