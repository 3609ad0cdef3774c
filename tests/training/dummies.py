"""Random conversations for the language model's tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline.engine.chat_prompt import PromptFormat
from pipeline.records import SAMPLE_ROW, ChatMLSample, SpeakerPrompt, SynthesisRequest, to_table
from pipeline.stages.pack_sample import sample_columns
from pipeline.training.mini_model import new_mini_folder


def mini_format(folder: Path, num_codebooks: int = 3) -> PromptFormat:
    new_mini_folder(folder, num_codebooks)
    return PromptFormat.from_folder(folder, "mini", style="document", semantic="auto")


def random_samples(
    prompt_format: PromptFormat,
    references: int,
    targets: int,
    *,
    seed: int = 0,
    reference_frames: int = 40,
    target_frames: tuple[int, int] = (20, 40),
    codes: int = 1024,
) -> list[ChatMLSample]:
    """Samples of `references` voices x `targets`, neighbours of one voice together."""
    rng = np.random.default_rng(seed)

    def text(length: int) -> str:
        return "".join(rng.choice(list("abcdefgh iklmno"), length)).strip() or "a"

    samples = []
    for r in range(references):
        frames = reference_frames + int(rng.integers(5))
        prompt = SpeakerPrompt(
            prompt_id=f"{r:032x}",
            prompt_text=text(frames // 2),
            codes=rng.integers(0, codes, (prompt_format.num_codebooks, frames)).astype(np.uint16),
            waveform=(rng.standard_normal(frames * 640) * 1000).astype(np.int16),
            duration_s=frames / 25,
            embedding=None,
        )
        for t in range(targets):
            frames = int(rng.integers(*target_frames))
            label = rng.integers(0, codes, (prompt_format.num_codebooks, frames)).astype(np.uint16)
            request = SynthesisRequest(
                t + 1, f"u{r}-{t}", None, prompt.prompt_text, text(frames // 2), "en", 1
            )
            samples.append(prompt_format.pack(request, prompt, max_new_frames=frames, label_codes=label))
    return samples


def write_samples(folder: Path, samples: list[ChatMLSample]) -> None:
    """One shard of SAMPLE_ROW rows; each reference is a voice."""
    folder.mkdir(parents=True)
    rows = [
        {
            "utterance_id": f"u{i}",
            "speaker": hashlib.sha256(s.audio_waveforms_concat.tobytes()).hexdigest()[:8],
            "target_text": "one two",
            "language": "en",
        }
        | sample_columns(s)
        for i, s in enumerate(samples)
    ]
    pq.write_table(to_table(rows, SAMPLE_ROW), folder / "00000.parquet")


def shrink(folder: Path) -> None:
    """Make the model of a new folder small enough to be trained in a test."""
    for name, sizes in (
        ("config.json", {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 16}),
        ("semantic/config.json", {"d_model": 16, "encoder_layers": 1, "encoder_ffn_dim": 32}),
    ):
        config = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(config | sizes))
