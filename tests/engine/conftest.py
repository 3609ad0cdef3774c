"""Small random checkpoints, built once: 8 and 12 codebooks, with the semantic pathway and a codec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.engine.checkpoint import Checkpoint, load_checkpoint
from pipeline.engine.standin import build_random_checkpoint
from pipeline.records import SpeakerPrompt, SynthesisRequest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    folders: dict[int, Path] = {}

    def build(num_codebooks: int) -> Path:
        if num_codebooks not in folders:
            folder = tmp_path_factory.mktemp(f"random-{num_codebooks}")
            build_random_checkpoint(
                folder, seed=7, name="tiny", note="random", num_codebooks=num_codebooks, hidden_size=64
            )
            folders[num_codebooks] = folder
        return folders[num_codebooks]

    return build


@pytest.fixture(scope="session")
def checkpoint_of(folder_of: Callable[[int], Path]) -> Callable[[int], Checkpoint]:
    loaded: dict[int, Checkpoint] = {}

    def load(num_codebooks: int) -> Checkpoint:
        if num_codebooks not in loaded:
            loaded[num_codebooks] = load_checkpoint(str(folder_of(num_codebooks)))
        return loaded[num_codebooks]

    return load


def _request(text: str = "A cat sat.", **fields: object) -> SynthesisRequest:
    required = {
        "row": 1,
        "utterance_id": "u1",
        "prompt_audio": "voice.wav",
        "prompt_text": None,
        "target_text": text,
        "language": "en",
        "seed": 3,
    }
    return SynthesisRequest(**(required | fields))


def _prompt(
    num_codebooks: int = 8, frames: int = 5, text: str = "Hello you.", seed: int = 0
) -> SpeakerPrompt:
    rng = np.random.default_rng(seed)
    num_samples = 640 * frames - 1
    return SpeakerPrompt(
        prompt_id=f"voice-{seed}",
        prompt_text=text,
        codes=rng.integers(0, 1024, (num_codebooks, frames)).astype(np.uint16),
        waveform=rng.integers(-8000, 8000, num_samples).astype(np.int16),
        duration_s=num_samples / 16_000,
        embedding=None,
    )


@pytest.fixture(scope="session")
def request_for() -> Callable[..., SynthesisRequest]:
    """A row with a text; other fields by name."""
    return _request


@pytest.fixture(scope="session")
def prompt_for() -> Callable[..., SpeakerPrompt]:
    """A voice of `frames` frames at 25 Hz, one sample short of full."""
    return _prompt
