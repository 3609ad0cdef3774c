"""WavLM with an x-vector head, as transformers has it (e.g. `microsoft/wavlm-base-plus-sv`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoFeatureExtractor, WavLMForXVector

from pipeline.audio import Waveform, resample
from pipeline.evaluators.base import SpeakerEmbedding, as_embedding, is_silent
from pipeline.evaluators.checkpoints import loaded_id, loading, refuse_missing_weights

_KIND = "a WavLM x-vector checkpoint"


class WavLMEncoder:
    """X-vectors in float32, one clip at a time and without a mask.

    A padded batch changes them: group-norm models see the padding even when masked, and the head's length
    formula forgets its dilation (cosine 0.9998 masked, 0.89 unmasked against single clips).
    """

    def __init__(self, spec: str, revision: str | None = None, device: str = "cpu") -> None:
        """`spec` is a local folder or a hub id. Raises CheckpointError."""
        with loading(spec, _KIND):
            model, info = WavLMForXVector.from_pretrained(
                spec, revision=revision, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            refuse_missing_weights(spec, _KIND, info)
            self._features: Any = AutoFeatureExtractor.from_pretrained(spec, revision=revision)
            self._model: Any = model.to(device).eval()
        self.id = loaded_id(spec, revision, model.config)

    def embed(self, waveforms: Sequence[Waveform]) -> list[SpeakerEmbedding]:
        """One x-vector per waveform, in order; unscored where a clip is silent or too short."""
        return [self._one(waveform) for waveform in waveforms]

    def _one(self, waveform: Waveform) -> SpeakerEmbedding:
        if is_silent(waveform):
            return SpeakerEmbedding(None, "no audio to take an embedding of")
        rate = self._features.sampling_rate
        samples = resample(waveform, rate).samples
        if self._pooled_frames(len(samples)) < 2:  # a deviation needs two
            return SpeakerEmbedding(None, f"{len(samples) / rate:.2f} s are too short for {self.id}")
        inputs = self._features(samples, sampling_rate=rate, return_tensors="pt")
        with torch.inference_mode():
            embedding = self._model(inputs["input_values"].to(self._model.device)).embeddings[0]
        return as_embedding(embedding.float().cpu().numpy())

    def _pooled_frames(self, samples: int) -> int:
        config = self._model.config
        frames = int(self._model._get_feat_extract_output_lengths(samples))
        head = zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)
        return frames - sum(int(dilation * (kernel - 1)) for kernel, dilation in head)
