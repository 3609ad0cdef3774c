"""The semantic pathway: Whisper features of the reference voice at the `<|AUDIO|>` positions of the prompt.

Log-mel of the 16 kHz waveform padded to the encoder's full length, Whisper encoder (50 Hz), average
pooling to 25 Hz, linear projection into the language model. Released Higgs Audio v2 weights have no such
tower and transformers leaves it out; a checkpoint has the pathway when it has a `semantic/` folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from pipeline.audio import WHISPER_SAMPLE_RATE
from pipeline.engine.frame_budget import WHISPER_POOLING, num_semantic_frames
from pipeline.errors import CheckpointError


class SemanticPathway(nn.Module):
    """Whisper encoder, pooling and projector. `hidden_size` is that of the language model."""

    def __init__(self, config: WhisperConfig, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = WhisperEncoder(config)
        self.projector = nn.Linear(config.d_model, hidden_size)
        mel_hop = 160
        positions_per_second = WHISPER_SAMPLE_RATE / (mel_hop * 2)
        self.extract = WhisperFeatureExtractor(
            feature_size=config.num_mel_bins,
            sampling_rate=WHISPER_SAMPLE_RATE,
            hop_length=mel_hop,
            chunk_length=math.ceil(config.max_source_positions / positions_per_second),
        )

    def forward(self, waveforms: Sequence[npt.NDArray[np.float32]]) -> list[torch.Tensor]:
        """16 kHz mono waveforms [N] as features [ceil(N / 640), hidden_size] at 25 Hz.

        Every waveform is padded to the encoder's full length (30 s), so features do not depend on the
        others in the call beyond rounding. ValueError for a waveform that is longer than that.
        """
        longest = max(len(waveform) for waveform in waveforms)
        if num_semantic_frames(longest) > self.config.max_source_positions // WHISPER_POOLING:
            raise ValueError(
                f"{longest / WHISPER_SAMPLE_RATE:.1f} s is longer than the Whisper encoder reads"
            )
        mel = self.extract(
            list(waveforms), sampling_rate=WHISPER_SAMPLE_RATE, padding="max_length", return_tensors="pt"
        )["input_features"]
        weight = self.projector.weight
        hidden = self.encoder(mel.to(weight.device, weight.dtype)).last_hidden_state
        pooled = nn.functional.avg_pool1d(hidden.transpose(1, 2), WHISPER_POOLING).transpose(1, 2)
        projected = self.projector(pooled)
        return [projected[i, : num_semantic_frames(len(w))] for i, w in enumerate(waveforms)]

    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors` into `folder`, a checkpoint's `semantic/`."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(self.config.to_json_string(use_diff=False), "utf-8")
        weights = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    @classmethod
    def load(cls, folder: Path) -> SemanticPathway:
        """What `save` wrote, float32 on the CPU, in eval mode. Raises CheckpointError."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            config = WhisperConfig.from_dict(json.loads((folder / "config.json").read_text("utf-8")))
            weights = load_file(folder / "model.safetensors")
            pathway = cls(config, weights["projector.weight"].shape[0])
            pathway.load_state_dict(weights)
        except (OSError, KeyError, RuntimeError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"{folder}: cannot load the semantic pathway: {error}") from error
        return pathway.eval()


@contextmanager
def inject_features(
    embed_tokens: nn.Module, placeholder_id: int, features: Sequence[torch.Tensor]
) -> Iterator[None]:
    """While open, `embed_tokens` puts `features` (in order of rows and positions) at `placeholder_id`.

    A hook on the embedding, since the model's forward takes ids or embeddings, and its audio mask misses
    the delay tokens when it gets embeddings. It runs once in a generation: decoding feeds no text ids.
    Placeholders and features that differ in number are a ValueError.
    """

    def replace(_module: nn.Module, args: tuple[Any, ...], embedded: torch.Tensor) -> torch.Tensor:
        mask = args[0] == placeholder_id
        wanted, given = int(mask.sum()), sum(len(clip) for clip in features)
        if wanted != given:
            raise ValueError(f"{wanted} semantic placeholders in the ids, but {given} feature frames")
        if given == 0:
            return embedded
        return embedded.masked_scatter(mask[..., None], torch.cat(list(features)).to(embedded))

    handle = embed_tokens.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
